"""The pulse's memory: which comparisons run, their evidence, and what the checks say.

One vectorised update for all rollouts. Thread-safe: the pulse writes, reconcile workers read.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import structlog

from sluice.api.policy import CanaryPolicySpec
from sluice.api.status import Checkpoint, CheckStatus, Phase, RolloutStatus, Verdict
from sluice.api.times import from_wire
from sluice.errors import MetricsError, QueryError
from sluice.evidence.bank import EvidenceBank
from sluice.evidence.judge import judge
from sluice.evidence.spec import plans_of
from sluice.loops.answers import AnswerJudging
from sluice.metrics.observe import Freshness, Observer, Pair

log = structlog.get_logger()


@dataclass(frozen=True)
class Comparison:
    """One running comparison. `name` tells it from an earlier one of the same rollout.

    `ready`: when the candidate became ready, Unix seconds. `stable_only`: before a blue-green
    switch. `counts_from` (Unix seconds): requests before it are the warm-up's, or those of people
    who tried a candidate that had no users yet.
    """

    key: str
    name: str
    pair: Pair
    policy: CanaryPolicySpec
    baking: bool
    ready: float
    stable_only: bool = False
    counts_from: float = 0.0
    resume_from: Checkpoint | None = None


@dataclass(frozen=True)
class Judgement:
    """What is known of one comparison; times in Unix seconds.

    `at` is when the metrics were read, `covered_until` up to when their counts are in the evidence
    (None while some wait for their pair: no moment to go on from). `requests` are those of the last
    increment, by predictor.
    """

    name: str
    at: float
    checks: tuple[CheckStatus, ...] = ()
    requests: dict[str, float] = field(default_factory=dict)
    problem: str = ""
    covered_until: float | None = None


def comparison_of(
    key: str,
    deployment: str,
    namespace: str,
    uid: str,
    status: RolloutStatus,
    policy: CanaryPolicySpec,
    now: float,
) -> Comparison | None:
    """The comparison that a rollout in this status needs, or None.

    It begins with the first step (with a shadow, before it; in blue-green, when green is ready),
    when the candidate's warm-up is over: where VirtualServices may not be read, the requests
    counted here are what the step's traffic is verified by. After a shadow the candidate's pods
    are new, and so is their warm-up; the evidence goes on.
    """
    if not status.phase.judged or status.stable is None or status.candidate is None:
        return None
    if status.phase is Phase.STEPPING and status.step is None:
        return None
    ready = from_wire(status.ready_at)
    if ready is None or now < ready + policy.warmup:
        return None
    name = f"{uid}/{status.stable.predictor}/{status.candidate.predictor}/{status.started_at}"
    checkpoint, counts_from = status.checkpoint, ready + policy.warmup
    if status.phase is Phase.PROMOTING and status.preview is not None:
        counts_from = max(counts_from, from_wire(status.phase_started_at) or 0.0)
    return Comparison(
        key=key,
        name=name,
        pair=Pair(key, namespace, deployment, status.stable.predictor, status.candidate.predictor),
        policy=policy,
        # With a holdback the comparison goes on as it was; without one only the past is left.
        baking=status.phase in (Phase.PROMOTING, Phase.BAKING)
        and status.traffic.desired.get(status.candidate.predictor) == 100,
        ready=ready,
        stable_only=status.phase is Phase.PREVIEWING,
        counts_from=counts_from,
        resume_from=checkpoint if checkpoint and checkpoint.key == name else None,
    )


class Judging:
    """All running comparisons."""

    def __init__(self, observer: Observer, answers: AnswerJudging | None = None) -> None:
        self._observer = observer
        self._answers = answers
        self._bank = EvidenceBank()
        self._lock = threading.RLock()
        self._running: dict[str, Comparison] = {}
        self._tried: set[str] = set()  # candidates somebody asked before they had users
        self._judgements: dict[str, Judgement] = {}
        self._problem = ""
        self._unread: set[str] = set()  # whose stable's history is still to be read

    @property
    def problem(self) -> str:
        """Why the last read of the metrics failed; "" when it did not."""
        with self._lock:
            return self._problem

    def follow(self, comparisons: Iterable[Comparison], now: float = 0.0) -> None:
        """Make the running comparisons be these: open new ones, close ended ones."""
        wanted = {c.key: c for c in comparisons}
        with self._lock:
            for key in [
                k for k, c in self._running.items() if k not in wanted or wanted[k].name != c.name
            ]:
                self._close(key)
            for key, comparison in wanted.items():
                before = self._running.get(key)
                if before is None or before.policy != comparison.policy:
                    self._open(comparison, now)
                elif self._counts_anew(before, comparison):
                    self._observer.restart(key, comparison.counts_from)
                    if self._answers:
                        self._answers.restart(key, comparison.counts_from)
                self._running[key] = comparison

    def _counts_anew(self, before: Comparison, now: Comparison) -> bool:
        """What came before must not count: a warm-up, or people who tried green."""
        if before.stable_only and not now.stable_only:
            return now.key in self._tried
        # A shadow's pods were made anew, and no pulse has seen the phase in between.
        return now.counts_from > before.counts_from and not before.baking

    def _open(self, comparison: Comparison, now: float) -> None:
        if comparison.key in self._running:
            self._bank.close(comparison.key)  # the policy was changed under way: start afresh
        checkpoint = comparison.resume_from
        fresh = comparison.key in self._running
        state = checkpoint.state if checkpoint and not fresh else None
        restored = self._bank.open(
            comparison.key, plans_of(comparison.policy), self._observer.edges, state=state
        )
        if not restored:
            self._unread.add(comparison.key)
        if not fresh:
            since = max(checkpoint.at, comparison.counts_from) if checkpoint else None
            self._observer.track(comparison.pair, since=since)
        if self._answers:
            self._answers.open(
                comparison.pair,
                comparison.policy,
                ready=comparison.ready,
                now=now,
                counts_from=comparison.counts_from,
                checkpoint=checkpoint.answers if checkpoint and not fresh else None,
            )

    def _close(self, key: str) -> None:
        if self._answers:
            self._answers.close(key)
        self._bank.close(key)
        self._observer.forget(key)
        self._unread.discard(key)
        self._running.pop(key, None)
        self._judgements.pop(key, None)
        self._tried.discard(key)

    def pulse(self, now: float) -> tuple[set[str], int]:
        """Read the metrics once and judge everything.

        Returns the keys whose verdicts changed, and the queries sent. A failed read changes no
        evidence; it is remembered as the problem that every rollout then shows.
        """
        with self._lock:
            if not self._running:
                return set(), 0
            begins = {key: self._observer.counted_until(key) for key in self._running}
            try:
                self._read_histories(now)
                pulse = self._observer.pulse(now)
            except MetricsError as error:
                first = not self._problem
                self._problem = str(error)
                return (set(self._running) if first else set()), 0
            changed = set(self._running) if self._problem else set()
            self._problem = ""
            baking = [key for key, c in self._running.items() if c.baking]
            alone = [key for key, c in self._running.items() if c.stable_only]
            self._tried.update(
                k for k in alone if k in pulse.increments and pulse.increments[k].n_c
            )
            self._bank.update(
                {
                    key: replace(increment, age=_age(self._running[key], begins[key]))
                    for key, increment in pulse.increments.items()
                },
                baking=baking,
                stable_only=alone,
            )
            queries = pulse.queries
            if self._answers:
                queries += self._answers.pulse(now, {*baking, *alone})
            for key, comparison in self._running.items():
                if self._judge(key, comparison, pulse.at, pulse.freshness.get(key)):
                    changed.add(key)
            return changed, queries

    def _read_histories(self, now: float) -> None:
        """What the stables of new comparisons did before: it says how bunched failures are.

        Without it that is learned on the way, so a source that cannot tell stops nothing.
        """
        if not self._unread:
            return
        try:
            self._bank.remember(self._observer.history(self._unread, now))
        except QueryError as error:
            log.warning("the stables' history cannot be read", problem=str(error))
        self._unread.clear()

    def fail(self, problem: str) -> None:
        """A pulse that could not be done is no reason to decide anything: all hold, and say so."""
        with self._lock:
            self._problem = problem

    def _judge(
        self, key: str, comparison: Comparison, at: float, freshness: Freshness | None
    ) -> bool:
        before = self._judgements.get(key)
        alone = comparison.stable_only
        seen = (
            freshness is not None
            and (freshness.candidate_seen or alone)
            and (freshness.stable_seen or comparison.baking)
        )
        problem = ""  # a failed read holds every rollout; a missing side is NoData
        checks = tuple(
            judge(evidence, fresh=seen, problem=problem) for evidence in self._bank.results(key)
        )
        if alone and seen:
            both = zip(checks, self._bank.stable_left(key), strict=True)
            checks = tuple(c.model_copy(update={"stable_left": left}) for c, left in both)
        checks = self._with_answers(comparison, checks, seen=seen)
        covered = freshness.covered_until if freshness is not None else None
        self._judgements[key] = Judgement(
            comparison.name, at, checks, self._observer.requests(key), "", covered
        )
        return before is None or _answers(checks) != _answers(before.checks)

    def _with_answers(
        self, comparison: Comparison, checks: tuple[CheckStatus, ...], *, seen: bool
    ) -> tuple[CheckStatus, ...]:
        """With the checks of answers, in the order of the policy."""
        if self._answers is None or comparison.key not in self._answers:
            return checks
        beside = not (comparison.baking or comparison.stable_only)
        found = self._answers.checks(comparison.key, fresh=seen, beside=beside)
        if comparison.stable_only and seen:  # they wait for no past of the stable
            found = {n: c.model_copy(update={"stable_left": 0}) for n, c in found.items()}
        found |= {check.name: check for check in checks}
        return tuple(found[c.name] for c in comparison.policy.checks if c.name in found)

    def harmed(self, key: str) -> bool:
        """Whether a check says Harm."""
        with self._lock:
            found = self._judgements.get(key)
            return found is not None and any(c.verdict is Verdict.HARM for c in found.checks)

    def judgement(self, key: str, name: str) -> Judgement:
        """What is known now; `problem` says why the last read failed, if it did."""
        with self._lock:
            found = self._judgements.get(key)
            if found is None or found.name != name:
                found = Judgement(name, 0.0)
            return replace(found, problem=self._problem if key in self._running else "")

    def dispersion(self, key: str) -> tuple[float, ...]:
        """What the evidence of each check is divided by; () where nothing runs."""
        with self._lock:
            running = key in self._running
            return tuple(e.dispersion for e in self._bank.results(key)) if running else ()

    def checkpoint(self, key: str, name: str) -> Checkpoint | None:
        """The evidence as it stands, to be kept in the status."""
        with self._lock:
            found = self._judgements.get(key)
            if found is None or found.name != name or found.covered_until is None:
                return None
            if key not in self._running:
                return None
            answers = self._answers.checkpoint(key) if self._answers else None
            state = self._bank.export(key)
            return Checkpoint(at=found.covered_until, key=name, state=state, answers=answers)


def _age(comparison: Comparison, begins: float | None) -> float:
    """Seconds from the candidate's readiness to the beginning of an increment."""
    return 0.0 if begins is None else begins - comparison.ready


def _answers(checks: tuple[CheckStatus, ...]) -> list[tuple[str, Verdict, bool]]:
    """What of the checks may let a rollout go on."""
    return [(c.name, c.verdict, c.stable_left == 0) for c in checks]
