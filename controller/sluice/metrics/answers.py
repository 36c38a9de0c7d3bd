"""What stables and candidates answered since the last look, both sides over the same time.

As `observe` for requests, with the model kit's counters: which there are is only known when a
version was seen. A rollout without a check of answers is not asked about, and costs no query.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from sluice.evidence.answer_bank import AnswerIncrement
from sluice.evidence.answers import Cell, Incomparable, Shown
from sluice.metrics.answer_queries import INFO, AnswerQueries, Family, Wants, cell_of, families_of
from sluice.metrics.counting import Side
from sluice.metrics.history import SECONDS, RangeClient, growth_between
from sluice.metrics.observe import LONGEST_WAIT_SECONDS, LOOKBACK_SECONDS
from sluice.metrics.queries import Labels, Target
from sluice.metrics.source import Client, Floats, Reading

_FEWEST = 60  # moments of a history that is to tell something
_SAMPLES = 400_000  # about so many of them in one answer over a range


class Reads(Client, RangeClient, Protocol):
    """What is needed of `PrometheusClient`."""


@dataclass(frozen=True)
class AnswerPair:
    """Two predictors of one SeldonDeployment, and what is read of them."""

    key: str
    namespace: str
    deployment: str
    stable: str
    candidate: str
    wants: Wants

    @property
    def targets(self) -> tuple[Target, Target]:
        """Stable and candidate."""
        return (
            Target(self.namespace, self.deployment, self.stable),
            Target(self.namespace, self.deployment, self.candidate),
        )


@dataclass(frozen=True)
class AnswerPulse:
    """One look at all pairs. `increments` only has those for which something was released.

    `missing` says of those pairs why a side is not seen.
    """

    at: float
    increments: dict[str, AnswerIncrement]
    missing: dict[str, Incomparable]
    queries: int


@dataclass
class _Pod:
    scraped_at: float
    cells: dict[Cell, float] = field(default_factory=dict)


@dataclass
class _Sight:
    """What a query batch has of one predictor."""

    pods: dict[str, _Pod] = field(default_factory=dict)
    bins: set[str] = field(default_factory=set)
    models: set[str] = field(default_factory=set)


@dataclass
class _Version:
    """One side of a pair."""

    side: Side = field(default_factory=lambda: Side(0))
    cells: set[Cell] = field(default_factory=set)
    bins: frozenset[str] = frozenset()
    models: frozenset[str] = frozenset()

    @property
    def shown(self) -> Shown:
        return Shown(frozenset(self.cells), self.bins, self.models)


@dataclass
class _Tracked:
    pair: AnswerPair
    since: float | None
    from_when: float
    stable: _Version = field(default_factory=_Version)
    candidate: _Version = field(default_factory=_Version)
    cells: tuple[Cell, ...] = ()
    asked: bool = False
    begun: bool = False
    released_at: float = 0.0

    @property
    def versions(self) -> tuple[tuple[Target, _Version], ...]:
        stable, candidate = self.pair.targets
        return ((stable, self.stable), (candidate, self.candidate))

    def widen(self, cells: Iterable[Cell]) -> None:
        """Make room for counters that were not seen before."""
        known = set(self.cells)
        if new := [cell for cell in cells if cell not in known]:
            self.cells = (*self.cells, *dict.fromkeys(new))
            for _, version in self.versions:
                version.side.widen(len(self.cells))

    def readings(self, sight: _Sight) -> dict[str, Reading]:
        """By pod; what a pod does not show is 0."""
        return {
            name: Reading(np.array([pod.cells.get(c, 0.0) for c in self.cells]), pod.scraped_at)
            for name, pod in sight.pods.items()
        }

    def begin(self, sights: Mapping[Target, _Sight], at: float) -> None:
        """Count from these on."""
        for target, version in self.versions:
            version.side.begin(self.readings(sights.get(target, _Sight())))
        self.released_at = max(self.released_at, at)
        self.begun = True


class AnswerObserver:
    """Follows pairs through the kit's counters. Not thread-safe.

    `interval` is the time between pulses, seconds; `wait` as in `Observer`.
    """

    def __init__(
        self, client: Reads, labels: Labels, *, interval: float = 10.0, wait: float | None = None
    ) -> None:
        self._client = client
        self._ask = AnswerQueries(labels)
        self._pod_label = labels.pod
        self._interval = interval
        self._wait = wait
        self._tracked: dict[str, _Tracked] = {}

    def track(self, pair: AnswerPair, now: float, since: float | None = None) -> None:
        """Follow a pair: from the next pulse, or from `since` (Unix seconds) after a restart."""
        self._tracked[pair.key] = _Tracked(pair, since, now)

    def forget(self, key: str) -> None:
        """Follow it no longer; unknown keys are fine."""
        self._tracked.pop(key, None)

    def restart(self, key: str, at: float) -> None:
        """Count anew: each pod's first scrape from `at` on is its baseline."""
        if tracked := self._tracked.get(key):
            tracked.stable.side.restart(at)
            tracked.candidate.side.restart(at)
            tracked.released_at = max(tracked.released_at, at)

    def shown(self, key: str) -> tuple[Shown, Shown] | None:
        """What stable and candidate count; None until both were seen."""
        tracked = self._tracked[key]
        both = tracked.stable.shown, tracked.candidate.shown
        return both if all(side.models for side in both) else None

    def counted_until(self, key: str) -> float | None:
        """Up to when the counts were released, Unix seconds; None before the first look."""
        tracked = self._tracked.get(key)
        return tracked.released_at if tracked is not None and tracked.begun else None

    def pulse(self, now: float) -> AnswerPulse:
        """Read once for all pairs. Raises MetricsError, and then nothing is lost or changed."""
        if not self._tracked:
            return AnswerPulse(now, {}, {}, 0)
        queries = self._begin([t for t in self._tracked.values() if not t.asked], now)
        sights, asked = self._fetch(self._tracked.values(), now, None)
        increments: dict[str, AnswerIncrement] = {}
        missing: dict[str, Incomparable] = {}
        for key, tracked in self._tracked.items():
            self._see(tracked, sights)
            if not tracked.begun and any(sights.get(target) for target, _ in tracked.versions):
                tracked.begin(sights, now)
            if (released := self._follow(tracked, sights, now)) is not None:
                increments[key] = released
            if (problem := self._missing(tracked, now)) is not None:
                missing[key] = problem
        return AnswerPulse(now, increments, missing, queries + asked)

    def history(
        self, keys: Iterable[str], now: float
    ) -> dict[str, tuple[tuple[Cell, ...], Floats]]:
        """What the stables of these pairs answered before `now`: cells, and counts of shape (T, C)
        for every `interval`, oldest first. One query for each kind of counter. Raises MetricsError.
        """
        pairs = {key: self._tracked[key] for key in keys if key in self._tracked}
        if not pairs:
            return {}
        series = sum(len(tracked.cells) for tracked in pairs.values())
        seconds = min(SECONDS, self._interval * max(_FEWEST, _SAMPLES / max(series, 1)))
        moments = int(seconds / self._interval) + 1
        start = now - (moments - 1) * self._interval
        stables = {tracked.pair.targets[0]: tracked for tracked in pairs.values()}
        tables: dict[tuple[Target, str], Floats] = {}
        at = {
            target: {cell: i for i, cell in enumerate(tracked.cells)}
            for target, tracked in stables.items()
        }
        wants = _wanted(pairs.values())
        for family in families_of(wants):
            promql = self._ask.counts(family, list(stables))
            for element in self._client.matrix(promql, start, now, self._interval):
                labels = element["metric"]
                target, cell = self._ask.target(labels), cell_of(family, labels)
                column = at.get(target, {}).get(cell) if cell is not None else None
                if column is None:
                    continue
                key = (target, labels.get(self._pod_label, ""))
                table = tables.setdefault(key, np.full((moments, len(at[target])), np.nan))
                for time, text in element["values"]:
                    row = round((float(time) - start) / self._interval)
                    if 0 <= row < moments:
                        table[row, column] = float(text)
        sums: dict[Target, Floats] = {}
        for (target, _), table in tables.items():
            seen = np.asarray(np.isfinite(table).any(axis=1))
            grown = growth_between(np.nan_to_num(table), seen)
            sums[target] = sums[target] + grown if target in sums else grown
        return {
            key: (tracked.cells, sums[tracked.pair.targets[0]])
            for key, tracked in pairs.items()
            if tracked.pair.targets[0] in sums
        }

    def _begin(self, new: list[_Tracked], now: float) -> int:
        """Read the baselines, with one batch for each moment. Returns the number of queries."""
        queries = 0
        moments: dict[float, list[_Tracked]] = {}
        for tracked in new:
            moment = now if tracked.since is None else min(tracked.since, now)
            moments.setdefault(moment, []).append(tracked)
        for moment, group in moments.items():
            sights, asked = self._fetch(group, moment, LOOKBACK_SECONDS)
            queries += asked
            for tracked in group:
                then = [sights[t] for t, _ in tracked.versions if t in sights]
                for sight in then:
                    tracked.widen(_cells(sight))
                # Seen nowhere in the look-back: what is seen first is all there is to start from.
                if then:
                    tracked.begin(sights, moment)
                tracked.asked = True
        return queries

    def _fetch(
        self, tracked: Collection[_Tracked], at: float, window: float | None
    ) -> tuple[dict[Target, _Sight], int]:
        """By predictor, of those asked about alone; and how many queries that took."""
        wanted = {target for one in tracked for target, _ in one.versions}
        targets = sorted(wanted, key=lambda t: (t.namespace, t.deployment, t.predictor))
        found: dict[Target, _Sight] = {}
        families = families_of(_wanted(tracked))
        if window is None:
            # Scrape times first: counts may then be newer than they say, never older.
            for element in self._client.vector(self._ask.info(targets), at):
                labels = element["metric"]
                if (target := self._ask.target(labels)) in wanted:
                    sight = found.setdefault(target, _Sight())
                    sight.bins.add(labels.get("bins", ""))
                    sight.models.add(labels.get("model_name", ""))
                    pod = labels.get(self._pod_label, "")
                    scraped = float(element["value"][1])
                    before = sight.pods.setdefault(pod, _Pod(scraped))
                    before.scraped_at = max(before.scraped_at, scraped)
        for family in families:
            for element in self._client.vector(self._ask.counts(family, targets, window), at):
                self._count(family, element, wanted, found, at if window is not None else None)
        return found, len(families) + (window is None)

    def _count(
        self,
        family: Family,
        element: Mapping[str, Any],
        wanted: set[Target],
        found: dict[Target, _Sight],
        scraped_at: float | None,
    ) -> None:
        labels = element["metric"]
        target, cell = self._ask.target(labels), cell_of(family, labels)
        value = float(element["value"][1])
        if target not in wanted or cell is None or not np.isfinite(value):
            return
        name = labels.get(self._pod_label, "")
        if scraped_at is not None:
            pods = found.setdefault(target, _Sight()).pods
            pods.setdefault(name, _Pod(scraped_at))
        # Without a scrape time a pod was not in the snapshot of one moment: next time.
        if target in found and (pod := found[target].pods.get(name)) is not None:
            pod.cells[cell] = pod.cells.get(cell, 0.0) + value

    def _see(self, tracked: _Tracked, sights: Mapping[Target, _Sight]) -> None:
        for target, version in tracked.versions:
            sight = sights.get(target)
            if sight is None:
                continue
            cells = _cells(sight)
            tracked.widen(cells)
            version.cells.update(cells)
            version.bins, version.models = frozenset(sight.bins), frozenset(sight.models)

    def _follow(
        self, tracked: _Tracked, sights: Mapping[Target, _Sight], now: float
    ) -> AnswerIncrement | None:
        if not tracked.begun:
            return None
        for target, version in tracked.versions:
            version.side.add(tracked.readings(sights.get(target, _Sight())))
        stable, candidate = tracked.stable.side, tracked.candidate.side
        held = now - tracked.released_at
        fresh = stable.fresh and candidate.fresh
        if held < 0 or (not fresh and held < self._patience(tracked)):
            return None
        counted = AnswerIncrement(tracked.cells, candidate.take(), stable.take())
        tracked.released_at = now
        return counted if counted.candidate.any() or counted.stable.any() else None

    def _patience(self, tracked: _Tracked) -> float:
        if self._wait is not None:
            return self._wait
        scrapes = max(tracked.stable.side.gap, tracked.candidate.side.gap)
        return min(LONGEST_WAIT_SECONDS, 2 * max(self._interval, scrapes))

    def _missing(self, tracked: _Tracked, now: float) -> Incomparable | None:
        pair = tracked.pair
        unseen = [
            f"the {what} {name}"
            for what, name, version in (
                ("stable", pair.stable, tracked.stable),
                ("candidate", pair.candidate, tracked.candidate),
            )
            if not version.models
        ]
        if not unseen:
            return None
        who = " and ".join(unseen)
        if now - tracked.from_when <= 2 * self._patience(tracked):
            return Incomparable("NoRequests", f"No answers of {who} are in Prometheus yet.")
        return Incomparable(
            "AnswersNotCounted",
            f"No answers of {who} are in Prometheus (no {INFO}): wrap the model with the "
            "model kit, and let Prometheus scrape its metrics port (docs/model-kit.md); or take "
            "this check out.",
        )


def _wanted(tracked: Iterable[_Tracked]) -> Wants:
    wants = Wants()
    for one in tracked:
        wants |= one.pair.wants
    return wants


def _cells(sight: _Sight) -> set[Cell]:
    return {cell for pod in sight.pods.values() for cell in pod.cells}
