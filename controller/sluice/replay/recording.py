"""Counters as Prometheus had them, on a grid of moments: what the pulses would have read."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sluice.api.times import to_wire
from sluice.errors import MetricsUnavailableError, QueryError
from sluice.metrics import answer_queries
from sluice.metrics.answer_queries import AnswerQueries, Wants, families_of
from sluice.metrics.dialects import Dialect, Labels, Target, dialect_named
from sluice.metrics.observe import LOOKBACK_SECONDS
from sluice.metrics.source import Floats, scraped_anything

LEAD = 3
"""Moments before the first that can be judged: a baseline looks back a little."""

Bools = NDArray[np.bool_]


class Family(StrEnum):
    """What is kept; the names are those in a dump."""

    SCRAPES = "scrapes"
    COUNTS = "counts"
    BUCKETS = "buckets"
    LAST_COUNTS = "lastCounts"
    LAST_BUCKETS = "lastBuckets"
    ALIVE = "alive"
    """When Prometheus last scraped anything at all."""
    PROFILES = "answerProfiles"
    """When each pod with the model kit in it was last scraped; the others are its counters."""
    PREDICTIONS = "predictions"
    OUTCOMES = "outcomes"
    SLICE_PREDICTIONS = "slicePredictions"
    SLICE_OUTCOMES = "sliceOutcomes"
    LAST_PREDICTIONS = "lastPredictions"
    LAST_OUTCOMES = "lastOutcomes"
    LAST_SLICE_PREDICTIONS = "lastSlicePredictions"
    LAST_SLICE_OUTCOMES = "lastSliceOutcomes"


# Of each metric of the kit: its counters at a moment, and their last values for baselines.
_KIT = {
    answer_queries.PREDICTIONS: (Family.PREDICTIONS, Family.LAST_PREDICTIONS),
    answer_queries.OUTCOMES: (Family.OUTCOMES, Family.LAST_OUTCOMES),
    answer_queries.SLICE_PREDICTIONS: (Family.SLICE_PREDICTIONS, Family.LAST_SLICE_PREDICTIONS),
    answer_queries.SLICE_OUTCOMES: (Family.SLICE_OUTCOMES, Family.LAST_SLICE_OUTCOMES),
}


@dataclass(frozen=True)
class Series:
    """One series: `values` of shape (moments,), `there` says where Prometheus had it at all."""

    labels: Mapping[str, str]
    values: Floats
    there: Bools

    @classmethod
    def empty(cls, labels: Mapping[str, str], moments: int) -> Series:
        """A series that is nowhere yet."""
        return cls(labels, np.full(moments, np.nan), np.zeros(moments, dtype=np.bool_))


@dataclass(frozen=True)
class Recording:
    """Everything that judging `targets` needs, from `start` (Unix seconds) on, every `step`.

    `moments` of them, the first `LEAD` before the time that was asked for.
    """

    dialect_name: str
    labels: Labels
    start: float
    step: float
    moments: int
    targets: tuple[Target, ...]
    families: Mapping[Family, Sequence[Series]] = field(default_factory=dict)

    @property
    def dialect(self) -> Dialect:
        """The dialect the queries were made by."""
        return dialect_named(self.dialect_name, self.labels)

    def time(self, index: int) -> float:
        """Unix seconds of a moment."""
        return round(self.start + index * self.step, 3)

    def index(self, at: float) -> int:
        """The newest moment that is not later than `at`, within the recording."""
        return min(max(math.floor((at - self.start) / self.step + 1e-6), 0), self.moments - 1)

    def series(self, family: Family) -> Sequence[Series]:
        """All series of a family."""
        return self.families.get(family, ())

    @property
    def has_answers(self) -> bool:
        """Counters of the model kit are in it."""
        return bool(self.series(Family.PROFILES))

    def vector(self, family: Family, index: int) -> list[dict[str, Any]]:
        """What an instant query at that moment gives."""
        there, values, labels = self._columns(family)
        at = self.time(index)
        return [
            {"metric": labels[row], "value": [at, values[index, row]]}
            for row in np.flatnonzero(there[index]).tolist()
        ]

    def _columns(self, family: Family) -> tuple[Bools, Floats, list[dict[str, str]]]:
        if family not in self._by_moment:
            series = self.series(family)
            there = np.zeros((self.moments, len(series)), dtype=np.bool_)
            values = np.full((self.moments, len(series)), np.nan)
            for row, one in enumerate(series):
                there[:, row], values[:, row] = one.there, one.values
            self._by_moment[family] = (there, values, [dict(one.labels) for one in series])
        return self._by_moment[family]

    @cached_property
    def _by_moment(self) -> dict[Family, tuple[Bools, Floats, list[dict[str, str]]]]:
        return {}

    @cached_property
    def newest(self) -> Floats:
        """When anything was last scraped, by moment; -inf where nothing is known."""
        found = np.full(self.moments, -np.inf)
        for family in (Family.ALIVE, Family.SCRAPES):
            for series in self.series(family):
                seen = series.there & np.isfinite(series.values)
                found[seen] = np.maximum(found[seen], series.values[seen])
        return found

    @cached_property
    def blind(self) -> Bools:
        """Moments at which Prometheus did not scrape: the controller would have got no answer.

        A target that is down is still scraped (`up` is 0), so this is about Prometheus alone: its
        newest scrape of anything is more than two usual distances of scrapes old.
        """
        newest = self.newest
        ages = np.array([self.time(i) for i in range(self.moments)]) - newest
        moves = np.unique(newest[np.isfinite(newest)])
        usual = float(np.median(np.diff(moves))) if len(moves) > 1 else self.step
        late: Bools = ages > 2.0 * usual + 1e-6
        if not self.series(Family.ALIVE):
            late &= np.isfinite(newest)  # without `up`, nothing at all may as well be no traffic
        return late

    def outages(self, first: int, last: int) -> list[tuple[float, float]]:
        """From when to when nothing could be read; ends at the last blind moment or the end."""
        found: list[tuple[float, float]] = []
        began: int | None = None
        for index in range(first, last + 1):
            if self.blind[index] and began is None:
                began = index
            elif not self.blind[index] and began is not None:
                found.append((self.time(began), self.time(index)))
                began = None
        if began is not None:
            found.append((self.time(began), self.time(last)))
        return found

    def first_seen(self, target: Target, since: int) -> int | None:
        """The first moment from `since` on at which a pod of the predictor was scraped."""
        seen = [np.flatnonzero(one.there[since:]) for one in self._pods_of(target)]
        return min((int(found[0]) + since for found in seen if len(found)), default=None)

    def last_seen(self, target: Target, until: int) -> int | None:
        """The last moment up to `until` at which Prometheus had a pod of the predictor."""
        seen = [np.flatnonzero(one.there[: until + 1]) for one in self._pods_of(target)]
        return max((int(found[-1]) for found in seen if len(found)), default=None)

    def _pods_of(self, target: Target) -> list[Series]:
        find = self.dialect.finder([target])
        return [s for s in self.series(Family.SCRAPES) if find(s.labels) == target]


class Answers:
    """A recording in the place of Prometheus, for the controller's own observers.

    `wants`: what is asked of the model kit's counters. Raises MetricsUnavailableError where
    Prometheus was out, as a query at that time would have.
    """

    warnings: tuple[str, ...] = ()

    def __init__(
        self, recording: Recording, targets: Collection[Target], wants: Wants | None = None
    ) -> None:
        self._recording = recording
        self._families = queries_of(recording.dialect, targets)
        self._kit = kit_queries_of(recording.labels, targets, families_of(wants or Wants()))

    def vector(self, promql: str, at: float) -> list[dict[str, Any]]:
        """The recorded answer to one of the dialect's queries at a moment of the recording."""
        recording = self._recording
        if promql == scraped_anything(LOOKBACK_SECONDS):
            return self._scraped(recording.index(at))
        family = self._families.get(promql, self._kit.get(promql))
        index = recording.index(at)
        if family is None or abs(recording.time(index) - at) > 0.002:
            raise QueryError(f"the recording has no answer to {promql} at {at:.3f}")
        if recording.blind[index]:
            newest = recording.newest[index]
            since = f"since {to_wire(newest)}" if math.isfinite(newest) else "at that time"
            raise MetricsUnavailableError(
                f"Prometheus recorded nothing {since}: it was down or cut off"
            )
        return recording.vector(family, index)

    def matrix(self, promql: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
        """The recorded counts between two moments, whichever predictors are asked for.

        The controller reads a stable's last hour when a rollout begins; a recording has as much of
        it as it has before the first step. Raises QueryError for another step than its own.
        """
        recording = self._recording
        family = self._kit.get(promql, Family.COUNTS)
        if family not in recording.families or abs(step - recording.step) > 1e-6:
            raise QueryError(f"the recording has no answer to {promql} every {step:g} s")
        first = math.ceil((start - recording.start) / step - 1e-6)
        moments = range(max(first, 0), recording.index(end) + 1)
        times = [recording.time(i) for i in moments]
        found = []
        for series in recording.series(family):
            part = slice(moments.start, moments.stop)
            there, values = series.there[part].tolist(), series.values[part].tolist()
            samples = [[t, v] for t, v, is_in in zip(times, values, there, strict=True) if is_in]
            if samples:
                found.append({"metric": dict(series.labels), "values": samples})
        return found

    def _scraped(self, index: int) -> list[dict[str, Any]]:
        recording = self._recording
        newest, at = recording.newest[index], recording.time(index)
        if newest <= at - LOOKBACK_SECONDS:
            return []
        return [{"metric": {}, "value": [at, 1.0]}]


def queries_of(dialect: Dialect, targets: Collection[Target]) -> dict[str, Family]:
    """The queries whose answers make a recording of these predictors."""
    return {
        dialect.scrapes(targets): Family.SCRAPES,
        dialect.counts(targets): Family.COUNTS,
        dialect.buckets(targets): Family.BUCKETS,
        dialect.counts(targets, LOOKBACK_SECONDS): Family.LAST_COUNTS,
        dialect.buckets(targets, LOOKBACK_SECONDS): Family.LAST_BUCKETS,
    }


def kit_queries_of(
    labels: Labels, targets: Collection[Target], families: Collection[answer_queries.Family]
) -> dict[str, Family]:
    """The queries about these predictors' counters of the model kit, that of profiles first."""
    ask = AnswerQueries(labels)
    found = {ask.info(targets): Family.PROFILES}
    for family in families:
        now, last = _KIT[family.metric]
        found[ask.counts(family, targets)] = now
        found[ask.counts(family, targets, LOOKBACK_SECONDS)] = last
    return found


def every_kit_query_of(labels: Labels, targets: Collection[Target]) -> dict[str, Family]:
    """The same for all that any check could ask for."""
    every = (
        answer_queries.ALL_PREDICTIONS,
        answer_queries.ALL_OUTCOMES,
        answer_queries.ALL_SLICE_PREDICTIONS,
        answer_queries.ALL_SLICE_OUTCOMES,
    )
    return kit_queries_of(labels, targets, every)
