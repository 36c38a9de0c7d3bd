"""One attempt of a preflight: read the requests, ask both revisions, say what came of it.

Neither side is to blame for what never reached it: then the attempt is Blocked, and made again
later. Predictions are repeatable, so it begins with the first request again.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from sluice.api.base import format_duration
from sluice.api.preflight import (
    LabelMove,
    Preflight,
    PreflightCheck,
    PreflightExample,
    PreflightState,
    SideAnswers,
)
from sluice.api.status import Verdict
from sluice.clock import Clock
from sluice.compare.answers import Answer
from sluice.compare.asking import Side, ask_both
from sluice.compare.checks import Check, together
from sluice.compare.classes import CLASSES, PREFIX, PerClass, gravest, in_short, of_class
from sluice.compare.lines import content_of, requests_in
from sluice.compare.totals import Tolerance, Totals, latencies
from sluice.engine.preflight_facts import PreflightWish
from sluice.errors import ApiError, ForbiddenError, NotFoundError, RequestsError, SluiceError

# Pauses between tries of a request that reached nobody, seconds: a pod that was just replaced.
_TRIES_AFTER = (0.2, 0.5, 1.0, 2.0, 4.0)
# More labels than this are free text, which is not for a status.
_MOST_LABELS, _LONGEST_LABEL, _MOVES_SHOWN = 20, 60, 10
_LONGEST_MESSAGE = 400
_CLASSES_KEPT, _CLASSES_TOLD = 20, 3
# Answers that are under way when the time is up get this long to end, seconds.
_GRACE = 1.0

Fields = dict[str, Any]


class Way(Side, Protocol):
    """A side whose requests under way can be cut."""

    def close(self) -> None: ...


class Ways(Protocol):
    """Where a preflight gets its requests, and reaches its two sides. Raises ApiError."""

    def config_map(self, namespace: str, name: str) -> Mapping[str, Any]: ...

    def side(self, wish: PreflightWish, predictor: Mapping[str, Any], *, parallel: int) -> Way: ...


class Unreachable(SluiceError):
    """Nobody answers at one side's address."""

    def __init__(self, name: str, where: str, trouble: str) -> None:
        super().__init__(f"the {name} is not reached at {where}: {trouble}")
        self.reason = f"{name.capitalize()}Unreachable"


@dataclass
class Attempt:
    """One attempt under way. `done` of `total` requests were answered by both."""

    wish: PreflightWish
    ways: Ways
    clock: Clock
    parallel: int
    done: int = 0
    total: int = 0
    stopped: threading.Event = field(default_factory=threading.Event)
    _open: list[Way] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def cancel(self) -> None:
        """End it soon: no further request, and those under way are cut."""
        self.stopped.set()
        self._cut()

    def run(self) -> Fields:
        """What came of it: fields for a PreflightStatus. Never raises on purpose."""
        wish = self.wish
        source = wish.spec.requests.config_map
        try:
            held = self.ways.config_map(wish.namespace, source.name)
            content = content_of(held, source.key)
            digest = hashlib.sha256(content).hexdigest()
            if digest == wish.passed_hash:
                return {
                    "state": PreflightState.PASSED,
                    "verdict": Verdict.PASS,
                    "reason": None,
                    "message": "the same pair has passed with the same requests before",
                    "requests_hash": digest,
                }
            self.total = sum(1 for _ in requests_in(content))
            if not self.total:
                raise RequestsError("RequestsInvalid", "expected requests, found none")
            return {**self._ask(content), "requests_hash": digest}
        except NotFoundError:
            place = f"{wish.namespace}/{source.name}"
            return _blocked("RequestsNotFound", f"there is no ConfigMap {place}: make it")
        except RequestsError as error:
            return _blocked(error.reason, f"ConfigMap {source.name}/{source.key}: {error}")
        except ForbiddenError as error:
            return _blocked("RightMissing", f"the controller's role lacks a right: {error}")
        except Unreachable as error:
            return _blocked(error.reason, str(error))
        except ApiError as error:
            return _blocked("ApiUnavailable", f"the API server does not help: {error}")
        finally:
            self._cut()

    def _ask(self, content: bytes) -> Fields:
        spec = self.wish.spec
        totals = Totals(_tolerance(spec), spec.examples)
        stable = self._way("stable", self.wish.stable)
        candidate = self._way("candidate", self.wish.candidate)
        ended, late = threading.Event(), threading.Event()

        def watch() -> None:
            if not self.clock.wait(ended, spec.timeout):
                late.set()
                # Beside the halt below: an answer that drips would never end.
                if not self.clock.wait(ended, _GRACE):
                    self._cut()

        threading.Thread(target=watch, name="preflight-time", daemon=True).start()
        began = self.clock.monotonic()
        try:
            ask_both(
                requests_in(content),
                stable,
                candidate,
                totals,
                parallel=self.parallel,
                tell=self._tell,
                halt=lambda: self.stopped.is_set() or late.is_set(),
            )
        except Unreachable:
            if not late.is_set():
                raise
        finally:
            ended.set()
        return told(totals, spec, self.total, self.clock.monotonic() - began)

    def _tell(self, done: int) -> None:
        self.done = done

    def _way(self, name: str, predictor: Mapping[str, Any]) -> Side:
        way = self.ways.side(self.wish, predictor, parallel=self.parallel)
        with self._lock:
            self._open.append(way)
        return _Patient(name, way, self.clock, self.stopped)

    def _cut(self) -> None:
        with self._lock:
            ways, self._open = self._open, []
        for way in ways:
            way.close()


class _Patient:
    """A side that is asked again where nobody was there, and given up after some seconds."""

    def __init__(self, name: str, way: Way, clock: Clock, stopped: threading.Event) -> None:
        self.where = way.where
        self._name, self._way, self._clock, self._stopped = name, way, clock, stopped

    def ask(self, body: str) -> Answer:
        answer = self._way.ask(body)
        for pause in _TRIES_AFTER:
            if answer.reached or self._clock.wait(self._stopped, pause):
                break
            answer = self._way.ask(body)
        if not answer.reached:
            raise Unreachable(self._name, self.where, answer.trouble)
        return answer


def told(totals: Totals, spec: Preflight, total: int, seconds: float) -> Fields:
    """The fields of what was compared. Too few answers, for want of time too, are Undecided."""
    every = _discreet(totals.checks(), spec)
    verdict, checks = Verdict(together(every)), gravest(every, _CLASSES_KEPT)
    message = _in_words(checks, verdict)
    reason: str | None = None
    if verdict is Verdict.HARM:
        state = PreflightState.FAILED
    elif totals.requests < total:
        state, reason, verdict = PreflightState.UNDECIDED, "TimedOut", Verdict.UNDECIDED
        message = (
            f"{totals.requests:,} of {total:,} requests were answered within "
            f"{format_duration(spec.timeout)}: send fewer, or give it a longer timeout"
        )
    elif verdict is Verdict.NO_DATA:
        codes = ", ".join(f"{n} x {stable}" for (stable, _), n in totals.codes.most_common(3))
        state, reason = PreflightState.BLOCKED, "NoAnswers"
        message = (
            f"the stable answered none of {total:,} requests in a way that can be compared "
            f"({codes}): are they what the model takes?"
        )
    elif verdict is Verdict.PASS:
        state = PreflightState.PASSED
        classes = in_short(every)
        message += f"; {classes}" if classes else ""
    else:
        nothing = any(check.name == CLASSES and check.verdict == verdict for check in checks)
        state, reason = PreflightState.UNDECIDED, "NoClasses" if nothing else "NotShown"
    return {
        "state": state,
        "verdict": verdict,
        "reason": reason,
        "message": f"{message} ({totals.requests:,} requests in {seconds:.1f}s)",
        "requests": totals.requests,
        "rows": totals.rows,
        "agreeing": totals.agreeing,
        "checks": [
            PreflightCheck(
                name=one.name,
                verdict=Verdict(one.verdict),
                message=one.message,
                share=one.share,
                low=one.low,
                high=one.high,
                wanted=one.wanted,
                counted=one.counted,
                harm_only=one.harm_only,
            )
            for one in checks
        ],
        "moved": _moved(totals) if spec.examples else [],
        "answers": {
            name: SideAnswers(failed=totals.only(stable_ok=not stable), **latencies(seconds))
            for name, stable, seconds in (
                ("stable", True, totals.seconds[0]),
                ("candidate", False, totals.seconds[1]),
            )
        },
        "examples": [
            PreflightExample(
                line=one.number,
                why=one.why,
                request=one.request,
                stable=one.stable,
                candidate=one.candidate,
            )
            for one in totals.worst()
        ],
    }


def _tolerance(spec: Preflight) -> Tolerance:
    classes = spec.per_class
    per_class = PerClass(classes.agreement, classes.least_rows) if classes else None
    return Tolerance(spec.agreement, spec.distance, spec.slower, per_class)


def _in_words(checks: Sequence[Check], verdict: Verdict) -> str:
    """The checks that made the verdict. Of classes the gravest: the others are in the status."""
    made = [one for one in checks if one.verdict == verdict.value]
    if verdict is Verdict.PASS:
        made = [one for one in made if not of_class(one)]
    elif verdict is not Verdict.HARM:
        made = [one for one in made if not one.harm_only]
    told = gravest(made, _CLASSES_TOLD)
    words = "; ".join(f"{one.name}: {one.message}" for one in told)
    return words + (f"; and {len(made) - len(told)} more classes" if len(told) < len(made) else "")


def _discreet(checks: Sequence[Check], spec: Preflight) -> list[Check]:
    """Of a schema the names are answers too: keys of JSON, say. And some have thousands.

    So are the names of classes: without examples they are numbered, the most frequent first.
    """
    told, number = [], 0
    for check in checks:
        name, message = check.name, check.message
        if of_class(check):
            number += 1
            name = f"{PREFIX}#{number}" if not spec.examples else name
        if name == "schema" and not spec.examples:
            message = message.partition(": ")[0]
        if len(message) > _LONGEST_MESSAGE:
            message = message[: _LONGEST_MESSAGE - 1] + "…"
        told.append(replace(check, name=name, message=message))
    return told


def _moved(totals: Totals) -> list[LabelMove]:
    """What labels became, where they are labels and no free text."""
    labels = {label for pair in totals.moved for label in pair}
    if len(labels) > _MOST_LABELS or any(len(label) > _LONGEST_LABEL for label in labels):
        return []
    moved = [(pair, n) for pair, n in totals.moved.most_common() if pair[0] != pair[1]]
    return [LabelMove(stable=a, candidate=b, rows=n) for (a, b), n in moved[:_MOVES_SHOWN]]


def _blocked(reason: str, message: str) -> Fields:
    return {"state": PreflightState.BLOCKED, "verdict": None, "reason": reason, "message": message}
