"""What stables and candidates answered since the last look, both sides over the same time.

As `observe` for requests, with the model kit's counters: which there are is only known when a
version was seen. A rollout without a check of answers is not asked about, and costs no query.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from sluice.evidence.answer_bank import AnswerIncrement
from sluice.evidence.answers import Cell, Incomparable, Shown
from sluice.metrics.answer_queries import INFO, Wants
from sluice.metrics.answer_source import AnswerSource, Reads, Sight
from sluice.metrics.counting import Side
from sluice.metrics.observe import LONGEST_WAIT_SECONDS, LOOKBACK_SECONDS
from sluice.metrics.queries import Labels, Target
from sluice.metrics.source import Floats, Reading


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
class _Version:
    """One side of a pair."""

    side: Side = field(default_factory=lambda: Side(0))
    shown: Shown = field(default_factory=Shown)

    def see(self, sight: Sight) -> None:
        """Note what it counts; once seen, a counter stays."""
        known = self.shown
        bins, models = frozenset(sight.bins), frozenset(sight.models)
        if not sight.cells <= known.cells or (bins, models) != (known.bins, known.models):
            self.shown = Shown(known.cells | sight.cells, bins, models)


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

    def readings(self, sight: Sight) -> dict[str, Reading]:
        """By pod; what a pod does not show is 0."""
        return {
            name: Reading(np.array([pod.cells.get(c, 0.0) for c in self.cells]), pod.scraped_at)
            for name, pod in sight.pods.items()
        }

    def begin(self, sights: Mapping[Target, Sight], at: float) -> None:
        """Count from these on."""
        for target, version in self.versions:
            version.side.begin(self.readings(sights.get(target, Sight())))
        self.released_at = max(self.released_at, at)
        self.begun = True


class AnswerObserver:
    """Follows pairs through the kit's counters. Not thread-safe.

    `interval` is the time between pulses, seconds; `wait` as in `Observer`.
    """

    def __init__(
        self, client: Reads, labels: Labels, *, interval: float = 10.0, wait: float | None = None
    ) -> None:
        self._source = AnswerSource(client, labels)
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
        stables = {tracked.pair.targets[0]: tracked.cells for tracked in pairs.values()}
        found = self._source.history(stables, _wanted(pairs.values()), now, self._interval)
        return {
            key: (tracked.cells, found[tracked.pair.targets[0]])
            for key, tracked in pairs.items()
            if tracked.pair.targets[0] in found
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
                    tracked.widen(sight.cells)
                # Seen nowhere in the look-back: what is seen first is all there is to start from.
                if then:
                    tracked.begin(sights, moment)
                tracked.asked = True
        return queries

    def _fetch(
        self, tracked: Collection[_Tracked], at: float, window: float | None
    ) -> tuple[dict[Target, Sight], int]:
        targets = {target for one in tracked for target, _ in one.versions}
        return self._source.fetch(targets, _wanted(tracked), at, window)

    def _see(self, tracked: _Tracked, sights: Mapping[Target, Sight]) -> None:
        for target, version in tracked.versions:
            sight = sights.get(target)
            if sight is None:
                continue
            tracked.widen(sight.cells)
            version.see(sight)

    def _follow(
        self, tracked: _Tracked, sights: Mapping[Target, Sight], now: float
    ) -> AnswerIncrement | None:
        if not tracked.begun:
            return None
        for target, version in tracked.versions:
            version.side.add(tracked.readings(sights.get(target, Sight())))
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
        unseen, gone = [], []
        for what, name, version in (
            ("stable", pair.stable, tracked.stable),
            ("candidate", pair.candidate, tracked.candidate),
        ):
            if not version.shown.models:
                unseen.append(f"the {what} {name}")
            elif not version.side.live:
                gone.append(f"the {what} {name}")
        if not unseen and not gone:
            return None
        if not unseen:
            text = f"The answers of {' and '.join(gone)} are no longer in Prometheus. Nothing is "
            return Incomparable("MetricsStale", text + "decided until they return.")
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
