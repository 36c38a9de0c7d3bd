"""All pairs together, with a verdict. Pure, and of a size that does not grow with the requests,
but for two numbers a request (its latencies)."""

from __future__ import annotations

import heapq
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from sluice.compare.answers import Answer
from sluice.compare.checks import (
    HARM,
    NO_DATA,
    PASS,
    UNDECIDED,
    Check,
    agreement,
    percent,
    together,
)
from sluice.compare.classes import Classes, PerClass
from sluice.compare.exact import interval
from sluice.compare.pairs import Difference, What, compare

_LABELS = 200
_COLUMNS = 200
_TEXT = 400


@dataclass(frozen=True)
class Tolerance:
    """What may differ. `agreement`: at least this share of rows must agree. `distance`: see
    `pairs.compare`. `slower`: Harm where more than half of the requests took the candidate more
    than so many times as long. `per_class`: see `classes`. `risk` is that of a wrong Pass, and of a
    wrong Harm, of the agreement and all classes together; latency has its own."""

    agreement: float = 0.99
    distance: float | None = None
    slower: float | None = None
    per_class: PerClass | None = None
    risk: float = 0.025


@dataclass(frozen=True, order=True)
class Example:
    """One pair that differs, the worst first when sorted downwards."""

    what: int
    size: float
    number: int = field(compare=False)
    why: str = field(compare=False)
    request: str = field(compare=False)
    stable: str = field(compare=False)
    candidate: str = field(compare=False)


class Totals:
    """Takes pairs with `add`; the rest reads what came of them."""

    def __init__(self, tolerance: Tolerance, examples: int = 10) -> None:
        self.tolerance = tolerance
        self.requests = self.rows = self.agreeing = self.differing = 0
        self.codes: Counter[tuple[str, str]] = Counter()
        self.fields: Counter[str] = Counter()
        self.schemas: tuple[str, str] | None = None
        self.moved: Counter[tuple[str, str]] = Counter()
        self.classes = Classes()
        self.columns: dict[str, float] = {}
        self.greatest = self.relative = 0.0
        self.seconds = array("d"), array("d")
        self._most = examples
        self._heap: list[tuple[Example, int]] = []

    def add(self, number: int, request: str, stable: Answer, candidate: Answer) -> Difference:
        """Count a pair; `number` is the request's line."""
        found = compare(stable, candidate, self.tolerance.distance)
        self.requests += 1
        self.codes[stable.code, candidate.code] += 1
        self.rows += found.counted
        self.agreeing += found.agreeing
        if found.counted:
            self.classes.add(found.classes)
        self.fields.update(found.fields)
        if found.what is What.SCHEMA:
            self.differing += 1
            self.schemas = self.schemas or found.schemas
        for pair in found.moved:
            if pair in self.moved or len(self.moved) < _LABELS:
                self.moved[pair] += 1
        self.greatest = max(self.greatest, found.greatest)
        self.relative = max(self.relative, found.relative)
        for name, value in (found.by_column or {}).items():
            if name in self.columns or len(self.columns) < _COLUMNS:
                self.columns[name] = max(value, self.columns.get(name, 0.0))
        if stable.ok and candidate.ok:
            self.seconds[0].append(stable.seconds)
            self.seconds[1].append(candidate.seconds)
        if found.what is not What.NOTHING and self._most:
            self._keep(number, request, found, stable, candidate)
        return found

    def _keep(
        self, number: int, request: str, found: Difference, stable: Answer, candidate: Answer
    ) -> None:
        example = Example(
            int(found.what), found.greatest, number, _why(found, candidate), _short(request),
            _short(stable.body.decode(errors="replace")),
            _short(candidate.body.decode(errors="replace") or candidate.code),
        )  # fmt: skip
        item = (example, -number)  # of two alike the first is kept
        if len(self._heap) < self._most:
            heapq.heappush(self._heap, item)
        elif item > self._heap[0]:
            heapq.heapreplace(self._heap, item)

    def worst(self) -> list[Example]:
        """The pairs that differ most, worst first."""
        return [example for example, _ in sorted(self._heap, reverse=True)]

    # --- verdicts

    def checks(self) -> list[Check]:
        """Schema, agreement, classes and latency where they are judged."""
        found = [self._schema(), self._agreement()]
        if self.tolerance.per_class is not None:
            found += self.classes.checks(self.tolerance.per_class, self.tolerance.risk)
        return [*found, self._latency()] if self.tolerance.slower is not None else found

    def verdict(self) -> str:
        """Harm if any check says so, Pass if all do that are waited for."""
        return together(self.checks())

    def only(self, stable_ok: bool) -> int:
        """Requests that one side alone answered: the stable, or the candidate."""
        return sum(
            n for (a, b), n in self.codes.items() if _ok(a) is stable_ok and _ok(b) is not stable_ok
        )

    def _schema(self) -> Check:
        both = len(self.seconds[0])
        share = self.differing / both if both else 0.0
        verdict, message = PASS, f"the same in all {both} answers of both"
        if self.schemas is not None:
            verdict = HARM
            what = ", ".join(f"{name} ({n})" for name, n in self.fields.most_common())
            message = (
                f"{self.differing} of {both} answers differ in {what}: "
                f"{self.schemas[0]} became {self.schemas[1]}"
            )
        elif not both:
            verdict, message = NO_DATA, "no request was answered by both"
        return Check("schema", verdict, share, 0.0, 1.0, 0.0, both, message)

    def _agreement(self) -> Check:
        wanted, risk = self.tolerance.agreement, self.tolerance.risk
        if not self.rows:
            words = "the stable answered no request"
            return Check("agreement", NO_DATA, 0.0, 0.0, 1.0, wanted, 0, words)
        split = self.tolerance.per_class is not None and self.classes.judged
        said = f"{percent(self.agreeing / self.rows)} of {self.rows} rows agree"
        return agreement(
            "agreement", self.agreeing, self.rows, wanted,
            risk=risk, harm_risk=risk / 2 if split else risk, said=said,
        )  # fmt: skip

    def _latency(self) -> Check:
        limit = self.tolerance.slower or 1.0
        stable, candidate = (np.frombuffer(one) for one in self.seconds)
        slower = int((candidate > limit * stable).sum()) if len(stable) else 0
        low, high = interval(slower, len(stable), self.tolerance.risk)
        share = slower / len(stable) if len(stable) else 0.0
        words = f"{percent(share)} of requests took the candidate over {limit:g} times as long"
        verdict = HARM if low > 0.5 else PASS if high < 0.5 else UNDECIDED
        if not len(stable):
            verdict, words = NO_DATA, "no request was answered by both"
        return Check("latency", verdict, share, low, high, 0.5, len(stable), words)


def latencies(seconds: Sequence[float]) -> dict[str, float]:
    """Median, 95th and 99th percentile in milliseconds."""
    if not len(seconds):
        return {}
    at = np.percentile(np.array(seconds), [50, 95, 99])
    return dict(zip(("p50", "p95", "p99"), (round(1e3 * float(x), 2) for x in at), strict=True))


def _why(found: Difference, candidate: Answer) -> str:
    if found.what is What.SCHEMA:
        return _short(f"{', '.join(found.fields)}: {found.schemas[0]} became {found.schemas[1]}")
    if found.what is What.FAILED:
        return f"the candidate failed: {candidate.code}"
    if found.what is What.LABEL:
        first, other = next(pair for pair in found.moved if pair[0] != pair[1])
        return f"{_short(first, 60)} became {_short(other, 60)}"
    return f"{found.greatest:.3g} away"


def _ok(code: str) -> bool:
    return code.isdigit() and 200 <= int(code) < 300


def _short(text: str, most: int = _TEXT) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[: most - 3]}..."
