"""The model kit's counters of all rollouts at one moment, and what they were before."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from sluice.evidence.answers import Cell
from sluice.metrics.answer_queries import AnswerQueries, Family, Wants, cell_of, families_of
from sluice.metrics.history import SECONDS, RangeClient, growth_between
from sluice.metrics.queries import Labels, Target
from sluice.metrics.source import Client, Floats

_FEWEST = 60  # moments of a history that is to tell something
_SAMPLES = 400_000  # about so many of them in one answer over a range


class Reads(Client, RangeClient, Protocol):
    """What is needed of `PrometheusClient`."""


@dataclass
class SeenPod:
    """One pod's counters; `scraped_at` Unix seconds."""

    scraped_at: float
    cells: dict[Cell, float] = field(default_factory=dict)


@dataclass
class Sight:
    """What is seen of one predictor. `bins` and `models` are those of its pods' profiles."""

    pods: dict[str, SeenPod] = field(default_factory=dict)
    bins: set[str] = field(default_factory=set)
    models: set[str] = field(default_factory=set)

    @property
    def cells(self) -> set[Cell]:
        """The counters of all pods."""
        return {cell for pod in self.pods.values() for cell in pod.cells}


class AnswerSource:
    """Reads the kit's counters, of any number of predictors with as many queries."""

    def __init__(self, client: Reads, labels: Labels) -> None:
        self._client = client
        self._ask = AnswerQueries(labels)
        self._pod_label = labels.pod

    def fetch(
        self, targets: Collection[Target], wants: Wants, at: float, window: float | None = None
    ) -> tuple[dict[Target, Sight], int]:
        """What is seen at Unix time `at`, of these alone, and how many queries that took.

        With `window` the last values in so many seconds before: then nothing is known of profiles,
        and `scraped_at` is only known to be at most `at`. Raises MetricsError.
        """
        wanted = set(targets)
        asked = sorted(wanted, key=lambda t: (t.namespace, t.deployment, t.predictor))
        found: dict[Target, Sight] = {}
        if window is None:
            # Scrape times first: counts may then be newer than they say, never older.
            for element in self._client.vector(self._ask.info(asked), at):
                self._profile(element, wanted, found)
        families = families_of(wants)
        for family in families:
            for element in self._client.vector(self._ask.counts(family, asked, window), at):
                self._count(family, element, wanted, found, None if window is None else at)
        return found, len(families) + (window is None)

    def _profile(
        self, element: Mapping[str, Any], wanted: set[Target], found: dict[Target, Sight]
    ) -> None:
        labels, scraped = element["metric"], float(element["value"][1])
        if (target := self._ask.target(labels)) not in wanted:
            return
        sight = found.setdefault(target, Sight())
        sight.bins.add(labels.get("bins", ""))
        sight.models.add(labels.get("model_name", ""))
        pod = sight.pods.setdefault(labels.get(self._pod_label, ""), SeenPod(scraped))
        pod.scraped_at = max(pod.scraped_at, scraped)

    def _count(
        self,
        family: Family,
        element: Mapping[str, Any],
        wanted: set[Target],
        found: dict[Target, Sight],
        scraped_at: float | None,
    ) -> None:
        labels = element["metric"]
        target, cell = self._ask.target(labels), cell_of(family, labels)
        value = float(element["value"][1])
        if target not in wanted or cell is None or not np.isfinite(value):
            return
        name = labels.get(self._pod_label, "")
        if scraped_at is not None:
            found.setdefault(target, Sight()).pods.setdefault(name, SeenPod(scraped_at))
        # Without a scrape time a pod was not in the snapshot of one moment: next time.
        if target in found and (pod := found[target].pods.get(name)) is not None:
            pod.cells[cell] = pod.cells.get(cell, 0.0) + value

    def history(
        self, cells: Mapping[Target, Collection[Cell]], wants: Wants, end: float, step: float
    ) -> dict[Target, Floats]:
        """Counts of every `step` seconds before Unix time `end`, oldest first, of shape (T, C) in
        the order of each predictor's `cells`. The more cells, the shorter. Raises MetricsError.
        """
        if not cells:
            return {}
        series = sum(len(each) for each in cells.values())
        seconds = min(SECONDS, step * max(_FEWEST, _SAMPLES / max(series, 1)))
        moments = int(seconds / step) + 1
        start = end - (moments - 1) * step
        at = {t: {cell: i for i, cell in enumerate(each)} for t, each in cells.items()}
        tables: dict[tuple[Target, str], Floats] = {}
        for family in families_of(wants):
            promql = self._ask.counts(family, list(cells))
            for element in self._client.matrix(promql, start, end, step):
                labels = element["metric"]
                target, cell = self._ask.target(labels), cell_of(family, labels)
                column = at.get(target, {}).get(cell) if cell is not None else None
                if column is None:
                    continue
                key = (target, labels.get(self._pod_label, ""))
                table = tables.setdefault(key, np.full((moments, len(at[target])), np.nan))
                for time, text in element["values"]:
                    row = round((float(time) - start) / step)
                    if 0 <= row < moments:
                        table[row, column] = float(text)
        found: dict[Target, Floats] = {}
        for (target, _), table in tables.items():
            seen = np.asarray(np.isfinite(table).any(axis=1))
            grown = growth_between(np.nan_to_num(table), seen)
            found[target] = found[target] + grown if target in found else grown
        return found
