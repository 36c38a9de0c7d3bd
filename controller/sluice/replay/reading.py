"""Prometheus -> recording: the controller's queries over a range, in answers of bearable size."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from sluice.errors import MetricsError, QueryError, UsageError
from sluice.metrics.dialects import Dialect, dialect_named
from sluice.metrics.queries import Finder, Labels, Target
from sluice.replay.recording import (
    LEAD,
    Family,
    Recording,
    Series,
    every_kit_query_of,
    queries_of,
)

MOST_MOMENTS = 400_000
CHUNK = 4000
"""Moments in one answer. Prometheus gives at most 11,000, and counts all samples it touches."""
_SMALLEST_CHUNK = 50
_COARSE = 240  # moments that are looked at to see which predictors there are
_ALIVE = "max(timestamp(up))"


class RangeClient(Protocol):
    """What is needed of `PrometheusClient`."""

    @property
    def warnings(self) -> tuple[str, ...]: ...

    def matrix(
        self, promql: str, start: float, end: float, step: float
    ) -> list[dict[str, Any]]: ...


@dataclass(frozen=True)
class Found:
    """A predictor that was recorded: requests, and between which moments (Unix seconds)."""

    target: Target
    requests: float
    first: float
    last: float


@dataclass(frozen=True)
class Span:
    """What is to be read: from and to (Unix seconds), every `step` seconds."""

    start: float
    end: float
    step: float

    def check(self) -> None:
        """Raise UsageError for a span that cannot be read."""
        if self.end - self.start < self.step:
            raise UsageError(
                f"--start and --end are {self.end - self.start:g} s apart: expected at least one "
                f"step of {self.step:g} s, with --end the later one"
            )
        if self.moments > MOST_MOMENTS:
            raise UsageError(
                f"{self.moments:,} looks of {self.step:g} s lie between --start and --end: at most "
                f"{MOST_MOMENTS:,} are read; choose a longer --step or a shorter time"
            )

    @property
    def moments(self) -> int:
        """How many looks there are."""
        return int((self.end - self.start) / self.step + 1e-6) + 1


def find(
    client: RangeClient,
    dialect: Dialect,
    span: Span,
    namespace: str | None = None,
    deployment: str | None = None,
    named: Collection[Target] = (),
) -> list[Found]:
    """The predictors that Prometheus has of that time; with `named`, which of these.

    A coarse look: requests are about right. Raises UsageError where they must be named.
    """
    step = max(span.step, round((span.end - span.start) / _COARSE, 3))
    window = max(step, 300.0)
    which = dialect.finder(named) if named else dialect.guess
    promql = dialect.counts(named, window) if named else None
    promql = promql or dialect.everything(namespace, deployment, window)
    if promql is None:
        raise UsageError(
            f"--dialect {dialect.name} does not tell which predictors there are: name them with "
            "--namespace, --deployment, --stable and --candidate"
        )
    elements = client.matrix(promql, round(span.start, 3), round(span.end, 3), step)
    return found_in(which, [(e["metric"], e["values"]) for e in elements])


def found_of(recording: Recording) -> list[Found]:
    """The predictors of a recording, exactly."""
    rows = []
    for series in recording.series(Family.COUNTS):
        where = np.flatnonzero(series.there)
        rows.append(
            (series.labels, [(recording.time(i), series.values[i]) for i in where.tolist()])
        )
    return found_in(recording.dialect.finder(recording.targets), rows)


def found_in(which: Finder, rows: Iterable[tuple[Any, Sequence[Any]]]) -> list[Found]:
    """Requests and times by predictor, of counters over time."""
    totals: dict[Target, list[tuple[float, float, float]]] = {}
    rows = [(labels, values) for labels, values in rows if len(values)]
    begins = min((float(values[0][0]) for _, values in rows), default=0.0)
    for labels, values in rows:
        target = which(labels)
        if target is None:
            continue
        times = np.array([float(time) for time, _ in values])
        counts = np.nan_to_num([float(count) for _, count in values])
        growth = np.diff(counts)
        # A counter that falls began anew; one that came later than the others began at 0.
        total = np.where(growth < 0, counts[1:], growth).sum()
        total += counts[0] if times[0] > begins else 0.0
        totals.setdefault(target, []).append((float(total), float(times[0]), float(times[-1])))
    found = [
        Found(target, sum(t for t, _, _ in seen), min(f for _, f, _ in seen), max(
            last for _, _, last in seen))
        for target, seen in totals.items()
    ]  # fmt: skip
    return sorted(found, key=lambda f: (f.target.namespace, f.target.deployment, f.first))


def read(
    client: RangeClient,
    dialect_name: str,
    labels: Labels,
    targets: Collection[Target],
    span: Span,
    tell: Callable[[int, int], None] = lambda _done, _all: None,
    warn: Callable[[str], None] = lambda _text: None,
    *,
    answers: bool = False,
) -> Recording:
    """Read all that a replay of these predictors needs. `tell` hears of moments done and in all,
    `warn` of what Prometheus warned of, such as a store that did not answer.

    With `answers` the model kit's counters, too: one query more where none of them has the kit,
    else nine. Raises MetricsError when Prometheus refuses or cannot be reached.
    """
    dialect = dialect_named(dialect_name, labels)
    queries = {**queries_of(dialect, targets), _ALIVE: Family.ALIVE}
    moments = span.moments + LEAD
    start = round(span.start - LEAD * span.step, 3)
    kit = every_kit_query_of(labels, targets) if answers else {}
    most = moments * len({**queries, **kit})
    families: dict[Family, list[Series]] = {}
    for promql, family in {**queries, **kit}.items():
        done_before = len(families) * moments

        def note(done: int, before: int = done_before) -> None:
            tell(before + done, most)

        if promql in kit and families.get(Family.PROFILES) == []:
            break
        families[family] = _range(client, promql, start, span.step, moments, note, warn)
    return Recording(dialect_name, labels, start, span.step, moments, tuple(targets), families)


def _range(
    client: RangeClient,
    promql: str,
    start: float,
    step: float,
    moments: int,
    note: Callable[[int], None],
    warn: Callable[[str], None],
) -> list[Series]:
    """All series of a query on the grid, in chunks that shrink when they are found too large."""
    found: dict[tuple[tuple[str, str], ...], Series] = {}
    at, chunk = 0, min(CHUNK, moments)
    while at < moments:
        last = min(at + chunk, moments) - 1
        try:
            elements = client.matrix(
                promql, round(start + at * step, 3), round(start + last * step, 3), step
            )
        except MetricsError as error:
            if chunk <= _SMALLEST_CHUNK or not _too_much(error):
                raise
            chunk = max(_SMALLEST_CHUNK, chunk // 4)
            continue
        for text in client.warnings:
            warn(text)
        for element in elements:
            _place(found, element["metric"], element["values"], start, step, moments)
        at = last + 1
        note(at)
    return list(found.values())


def _too_much(error: MetricsError) -> bool:
    said = str(error)
    return any(
        text in said
        for text in ("too many samples", "maximum resolution", "did not answer within", "timed out")
    )


def _place(
    found: dict[tuple[tuple[str, str], ...], Series],
    labels: dict[str, str],
    values: Sequence[Sequence[Any]],
    start: float,
    step: float,
    moments: int,
) -> None:
    """Put the values of a series (as Prometheus sends them) on the grid.

    Raises QueryError for a time that was not asked for.
    """
    key = tuple(sorted(labels.items()))
    if key not in found:
        found[key] = Series.empty(labels, moments)
    series = found[key]
    if not values:
        return
    times = np.array([float(time) for time, _ in values])
    numbers = np.array([float(text) for _, text in values])
    exact = (times - start) / step
    where = np.rint(exact).astype(np.int64)
    if (np.abs(exact - where) * step > 0.002).any() or where.min() < 0 or where.max() >= moments:
        raise QueryError("Prometheus answered a range query with times that were not asked for")
    series.values[where] = numbers
    series.there[where] = True
