"""All rollouts' counters of one moment: one query per metric family, however many there are."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from sluice.metrics.dialects import Dialect, Outcome, Target, codes_of

Floats = npt.NDArray[np.float64]

FIRST_BIN = len(Outcome)
"""Columns of a reading: one per Outcome, then latency bins (up to each edge, then above all)."""


def scraped_anything(window: float) -> str:
    """PromQL: without a result unless Prometheus scraped within `window` seconds."""
    return f"count(last_over_time(up[{max(1, round(window))}s]))"


class Client(Protocol):
    """What is needed of `PrometheusClient`."""

    @property
    def warnings(self) -> tuple[str, ...]: ...

    def vector(self, promql: str, at: float) -> list[dict[str, Any]]: ...


@dataclass(frozen=True)
class Reading:
    """One pod's counters: `values` as FIRST_BIN says; `scraped_at` Unix seconds."""

    values: Floats
    scraped_at: float


@dataclass(frozen=True)
class Snapshot:
    """What was counted at `at`: per predictor and pod. What was never requested is absent."""

    at: float
    pods: Mapping[Target, Mapping[str, Reading]]
    warnings: tuple[str, ...] = ()
    queries: int = 0

    def of(self, target: Target) -> Mapping[str, Reading]:
        """The readings of one predictor by pod; empty if there is none."""
        return self.pods.get(target, {})


class Source:
    """Reads counters by way of a dialect."""

    def __init__(self, client: Client, dialect: Dialect) -> None:
        self._client = client
        self.dialect = dialect
        self._edges = np.array(dialect.edges)
        self._bins: dict[str, int | None] = {}
        self._outcomes: dict[tuple[str, ...], Outcome] = {}

    @property
    def columns(self) -> int:
        """Length of a reading's values."""
        return FIRST_BIN + len(self._edges) + 1

    def fetch(self, targets: Collection[Target], at: float, *, latency: bool = True) -> Snapshot:
        """The counters at Unix time `at`; two queries, with `latency` three.

        Raises MetricsError, and then nothing was read.
        """
        ask = self._client.vector
        # Scrape times first: a scrape stored in between may make the counts newer than they say,
        # never older.
        scrapes = ask(self.dialect.scrapes(targets), at)
        counts = ask(self.dialect.counts(targets), at)
        warnings = self._client.warnings
        buckets = ask(self.dialect.buckets(targets), at) if latency else []
        pods = self._table(targets, counts, buckets, scrapes, at)
        return Snapshot(at, pods, warnings, 3 if latency else 2)

    def fetch_last(
        self, targets: Collection[Target], at: float, window: float, *, latency: bool = True
    ) -> Snapshot:
        """As `fetch`, but with the last value within `window` seconds before `at`.

        Finds pods whose last scrape failed, too. `scraped_at` is only known to be at most `at`."""
        ask = self._client.vector
        counts = ask(self.dialect.counts(targets, window), at)
        warnings = self._client.warnings
        buckets = ask(self.dialect.buckets(targets, window), at) if latency else []
        pods = self._table(targets, counts, buckets, None, at)
        return Snapshot(at, pods, warnings, 2 if latency else 1)

    def was_scraping(self, at: float, window: float) -> bool:
        """Whether Prometheus scraped anything within `window` seconds before `at`. One query."""
        return bool(self._client.vector(scraped_anything(window), at))

    def _table(
        self,
        targets: Collection[Target],
        counts: list[dict[str, Any]],
        buckets: list[dict[str, Any]],
        scrapes: list[dict[str, Any]] | None,
        at: float,
    ) -> dict[Target, dict[str, Reading]]:
        rows = _Rows(self.dialect, targets)
        outcome_at, outcome_of_row, outcome_value = self._counted(counts, rows)
        bin_at, bin_of_row, bin_value = self._binned(buckets, rows)
        values = np.zeros((len(rows.keys), self.columns))
        np.add.at(values, (outcome_at, outcome_of_row), outcome_value)
        cumulative = np.zeros((len(rows.keys), len(self._edges) + 1))
        np.add.at(cumulative, (bin_at, bin_of_row), bin_value)
        # An edge that is not exported takes over the count of the next lower one.
        np.maximum.accumulate(cumulative, axis=1, out=cumulative)
        values[:, FIRST_BIN:] = np.diff(cumulative, axis=1, prepend=0.0)
        readable = np.isfinite(values.sum(axis=1))
        seen_at = np.full(len(rows.keys), at if scrapes is None else -math.inf)
        for element in scrapes or ():
            if (row := rows.of(element["metric"])) is not None and row < len(seen_at):
                seen_at[row] = float(element["value"][1])
        table: dict[Target, dict[str, Reading]] = {}
        for (target, pod), row in rows.keys.items():
            # Without a scrape time a pod was not in the snapshot of one moment: next time.
            if row < len(seen_at) and readable[row] and seen_at[row] > -math.inf:
                table.setdefault(target, {})[pod] = Reading(values[row], float(seen_at[row]))
        return table

    def _counted(
        self, counts: list[dict[str, Any]], rows: _Rows
    ) -> tuple[list[int], list[int], list[float]]:
        at: list[int] = []
        column: list[int] = []
        value: list[float] = []
        dialect, known = self.dialect, self._outcomes
        for element in counts:
            labels = element["metric"]
            row = rows.of(labels)
            if row is None:
                continue
            codes = codes_of(dialect, labels)
            outcome = known.get(codes)
            if outcome is None:
                outcome = known[codes] = dialect.outcome(codes)
            at.append(row)
            column.append(outcome)
            value.append(float(element["value"][1]))
        return at, column, value

    def _binned(
        self, buckets: list[dict[str, Any]], rows: _Rows
    ) -> tuple[list[int], list[int], list[float]]:
        at: list[int] = []
        column: list[int] = []
        value: list[float] = []
        bins = self._bins
        for element in buckets:
            labels = element["metric"]
            le = labels.get("le", "")
            index = bins.get(le, -1)
            if index == -1:
                index = bins[le] = self._bin_of(le)
            if index is None or (row := rows.of(labels)) is None:
                continue
            at.append(row)
            column.append(index)
            value.append(float(element["value"][1]))
        return at, column, value

    def _bin_of(self, le: str) -> int | None:
        """The index of an edge as Prometheus writes it ("0.5", "1" or "1.0", "+Inf")."""
        try:
            edge = float(le) * self.dialect.edge_unit
        except ValueError:
            return None
        if math.isinf(edge):
            return len(self._edges)
        close = np.flatnonzero(np.isclose(self._edges, edge, rtol=1e-6, atol=0.0))
        return int(close[0]) if len(close) else None


class _Rows:
    """Row numbers of (predictor, pod), given out as they are met."""

    def __init__(self, dialect: Dialect, wanted: Collection[Target]) -> None:
        self._find = dialect.finder(wanted)
        self._pod_label = dialect.pod_label
        self._known: dict[tuple[tuple[str, str], ...], int | None] = {}
        self._skip = frozenset((*dialect.code_labels, "le"))
        self.keys: dict[tuple[Target, str], int] = {}

    def of(self, labels: dict[str, str]) -> int | None:
        """The row of a series, None if it is of no wanted predictor."""
        # Asking the dialect costs more than all the rest, so each combination is asked once.
        skip = self._skip
        key = tuple([label for label in labels.items() if label[0] not in skip])
        try:
            return self._known[key]
        except KeyError:
            row = self._known[key] = self._row(labels)
            return row

    def _row(self, labels: dict[str, str]) -> int | None:
        target = self._find(labels)
        if target is None:
            return None
        pod = labels.get(self._pod_label, "")
        return self.keys.setdefault((target, pod), len(self.keys))
