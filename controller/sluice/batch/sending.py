"""From rows to outcomes: trying again, waiting an outage out, and finding the row that is at fault.

A request that several rows share and that fails for what is in it is cut in halves until the rows
at fault stand alone. A target that is away is nobody's fault: rows fail for it only when others
are answered in the meantime, else they wait until `Weather` loses its patience.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sluice.batch.pace import Pace, Weather
from sluice.batch.payloads import Item, Shape, UnfitRow, take_apart
from sluice.batch.rows import Failure, Outcome, Row, failed
from sluice.batch.wire import Exchange, NoAnswerError, Reply
from sluice.errors import SluiceError

_AWAY = frozenset({429, 502, 503, 504})
# Never the row's fault: all others would end the same.
_REFUSED = {401: "who is asking is not known", 403: "this is not allowed",
            404: "nothing is served there", 405: "nothing takes POST there"}  # fmt: skip
# What Seldon's executor answers, as a 500, when the model's container does not: Go's words.
_MODEL_AWAY = re.compile(
    r'\w+ "http[^"]*": .*(connection refused|connection reset|broken pipe|no such host|\bEOF\b)'
)
_BACKOFF, _BACKOFF_CAP = 0.5, 30.0
_EXCERPT = 200
_MOST_UNDIVIDED = 3


class TargetRefusedError(SluiceError):
    """The target answers, and will take none of these requests."""


@dataclass(frozen=True)
class Trouble:
    """What went wrong with a request. `away`: not for what was in it. `final`: so it will be again.

    `whole`: the answer is fine, but of one piece.
    """

    reason: str
    status: int = 0
    away: bool = False
    final: bool = False
    whole: bool = False
    retry_after: float | None = None


class Sender:
    """Sends rows, from any number of threads at once. `attempts` bounds the requests for a row."""

    def __init__(
        self, exchange: Exchange, shape: Shape, pace: Pace, weather: Weather, attempts: int
    ) -> None:
        self._exchange = exchange
        self._shape = shape
        self._pace = pace
        self._weather = weather
        self._attempts = attempts
        self._undivided = 0
        self._jitter = random.Random()  # noqa: S311 - spreads retries, hides nothing

    @property
    def joins(self) -> bool:
        """Whether rows may share requests: not once answers have shown to be of one piece."""
        return self._shape.joins and self._undivided < _MOST_UNDIVIDED

    def send(self, rows: Sequence[Row]) -> list[Outcome]:
        """An outcome for each row, in their order.

        Raises StoppedError, OutageError or TargetRefusedError: then none of them is done.
        """
        outcomes: dict[int, Outcome] = {}
        items: list[tuple[int, Item]] = []
        for place, row in enumerate(rows):
            try:
                if row.bad:
                    raise UnfitRow(row.bad)
                items.append((place, self._shape.item(row)))
            except UnfitRow as error:
                outcomes[place] = self._failed(row, Failure(str(error)))
        size = len(items) if self.joins else 1
        for at in range(0, len(items), max(size, 1)):
            part = items[at : at + size]
            done = self._deliver([item for _, item in part])
            outcomes.update((place, one) for (place, _), one in zip(part, done, strict=True))
        return [outcomes[place] for place in range(len(rows))]

    def _deliver(self, items: list[Item]) -> list[Outcome]:
        try:
            body = self._shape.request(items)
        except UnfitRow as error:
            return self._split(items, Trouble(str(error), final=True), 0)
        weather = self._weather
        before, attempts, strikes = weather.answers, 0, 0
        while True:
            self._pace.take()
            attempts += 1
            found = self._attempt(items, body)
            if not isinstance(found, Trouble):
                if weather.known is None and self._shape.repeatable:
                    weather.known = body
                return found
            if not found.away:
                if len(items) > 1 or found.final or attempts >= self._attempts:
                    return self._split(items, found, attempts)
                self._pace.wait(self._backoff(attempts))
                continue
            if weather.answers > before or not weather.patient:
                strikes += 1  # others were answered, only these rows were not
            if strikes >= self._attempts:
                return self._split(items, found, attempts)
            weather.away(found.reason)
            if found.retry_after:
                self._pace.hold(found.retry_after)
            before = weather.answers
            self._pace.wait(self._backoff(attempts))
            if attempts >= self._attempts:
                self._await_target(attempts)

    def _await_target(self, attempts: int) -> None:
        """Until a request that was answered before is answered again, if there is one.

        It tells a row that breaks its connections, or the server, from a target that is away.
        """
        weather = self._weather
        while weather.patient and weather.known is not None:
            self._pace.take()
            attempts += 1
            try:
                status = self._exchange(weather.known, f"{self._shape.batch_id}-probe").status
                reason = f"HTTP {status}"
            except NoAnswerError as error:
                status, reason = 0, str(error)
            if status == 200:
                weather.answered()
                return
            weather.away(reason)
            self._pace.wait(self._backoff(attempts))

    def _attempt(self, items: list[Item], body: bytes) -> list[Outcome] | Trouble:
        request_id = f"{self._shape.batch_id}-{items[0].row.number}"
        try:
            reply = self._exchange(body, request_id)
        except NoAnswerError as error:
            # A row may take too long all by itself, while the target is well.
            return Trouble(str(error), away=not error.slow)
        if 300 <= reply.status < 400:
            raise TargetRefusedError(
                f"HTTP {reply.status}: a redirect, perhaps to a login, which is not followed; give "
                "the address it leads to, or a token"
            )
        if reply.status in _REFUSED:
            raise TargetRefusedError(
                f"HTTP {reply.status}: {_REFUSED[reply.status]} ({excerpt(reply.body)})"
            )
        if reply.status in _AWAY:
            reason = f"HTTP {reply.status}: {excerpt(reply.body)}"
            return Trouble(reason, reply.status, away=True, retry_after=reply.retry_after)
        found = self._read(items, reply)
        if not isinstance(found, Trouble) or not found.away:
            self._weather.answered()
        return found

    def _read(self, items: list[Item], reply: Reply) -> list[Outcome] | Trouble:
        status = reply.status
        if status != 200:
            said = _said(reply.body)
            away = status == 500 and _MODEL_AWAY.match(said) is not None
            return Trouble(
                f"HTTP {status}: {said}", status, away=away, final=status not in (408, 500)
            )
        try:
            answer = json.loads(reply.body)
        except (ValueError, RecursionError):
            return Trouble(f"the answer is not JSON: {excerpt(reply.body)}", status)
        if not isinstance(answer, dict):
            return Trouble(f"the answer is no object: {excerpt(reply.body)}", status)
        stated = answer.get("status")
        if isinstance(stated, dict) and stated.get("status") in ("FAILURE", 1):
            return Trouble(f"the model said FAILURE: {_said(reply.body)}", status)
        parts: list[dict[str, Any]] | None = [answer]
        if len(items) > 1:
            parts = take_apart(answer, [len(item.instances) for item in items])
        if parts is None:
            return Trouble("the answer has not one row for each row sent", status, whole=True)
        try:
            return [self._shape.outcome(i, a) for i, a in zip(items, parts, strict=True)]
        except (UnfitRow, TypeError, ValueError) as error:
            return Trouble(str(error), status, final=True)

    def _split(self, items: list[Item], trouble: Trouble, attempts: int) -> list[Outcome]:
        if len(items) == 1:
            failure = Failure(trouble.reason, trouble.status, attempts)
            return [self._failed(items[0].row, failure)]
        if trouble.whole:
            self._undivided += 1
            return [one for item in items for one in self._deliver([item])]
        middle = len(items) // 2
        return self._deliver(items[:middle]) + self._deliver(items[middle:])

    def _failed(self, row: Row, failure: Failure) -> Outcome:
        return failed(row, self._shape.id_of(row), failure)

    def _backoff(self, attempts: int) -> float:
        """Seconds. The first new try is at once: a kept connection may just have been closed."""
        if attempts <= 1:
            return 0.0
        most = min(_BACKOFF_CAP, _BACKOFF * float(2 ** min(attempts - 2, 10)))
        return most * self._jitter.uniform(0.5, 1.0)


def excerpt(body: bytes) -> str:
    """The beginning of an answer, on one line."""
    text = " ".join(body[: 4 * _EXCERPT].decode("utf-8", "replace").split())
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return (text[:_EXCERPT] + "…" if len(text) > _EXCERPT else text) or "an empty body"


def _said(body: bytes) -> str:
    """The words of Seldon's own failure, else the beginning of the answer."""
    try:
        status = json.loads(body)["status"]
        words = [str(status[key]) for key in ("reason", "info") if status.get(key)]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return excerpt(body)
    return excerpt(": ".join(words).encode()) if words else excerpt(body)
