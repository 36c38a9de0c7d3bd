"""One monitored stable: its counters, and what stands between it and an answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sluice.api.monitoring import Measure
from sluice.api.monitoring import Monitoring as Spec
from sluice.api.monitoring_status import Level, MonitoringCheckpoint, MonitoringStatus
from sluice.engine.monitoring import Blind, Seen
from sluice.evidence.decay import DecayFleet, DecayPlan
from sluice.evidence.distances import Distance
from sluice.evidence.features import DriftPlan, Feature
from sluice.evidence.watching import Counts, DriftWatches
from sluice.metrics.counting import Side
from sluice.metrics.kit import Layout, Variable, shown_name
from sluice.metrics.queries import Target
from sluice.metrics.source import Reading

MOST_CHECKPOINT = 128 * 1024
"""Characters of evidence in a status; what is longer is not kept (a restart begins anew)."""
_OPEN = "it"  # the one key of a DecayFleet of its own


@dataclass(frozen=True)
class Wanted:
    """What is to be watched."""

    key: str
    uid: str
    target: Target
    revision: str
    spec: Spec


class Watch:
    """Its drift is in the `DriftWatches` it is handed, under `wanted.key`; its decay is its own."""

    def __init__(self, wanted: Wanted, status: MonitoringStatus | None, now: float) -> None:
        self.wanted = wanted
        self.layout: Layout | None = None
        self.profile: str | None = None
        self.moved_at: float | None = None
        self._kept = status
        self._hashes: frozenset[str] = frozenset()
        self._begun_for: str | None = None
        self._missing: list[str] = []
        self._started_at = None if wanted.spec.drift else now
        self._requested_at: float | None = None
        self._at = now
        self._until: float | None = None
        self._side: Side | None = None
        self._begin_decay(now, status)

    # --- the profile

    def meet(self, hashes: frozenset[str], now: float) -> None:
        """The profiles that the pods show now."""
        self._hashes, self._at = hashes, now

    @property
    def needs_profile(self) -> bool:
        """Training's counts are to be read: there is one profile, and it is not the known one."""
        return (
            self.wanted.spec.drift is not None
            and len(self._hashes) == 1
            and set(self._hashes) != {self._begun_for}
        )

    def begin(self, variables: tuple[Variable, ...], drift: DriftWatches, now: float) -> None:
        """Compare with this training from now on; evidence of the same one goes on."""
        spec = self.wanted.spec.drift
        if spec is None or not variables:
            return  # scraped in between: the next look has it
        names = {shown_name(one, variables): one for one in variables}
        usable = {n: v for n, v in names.items() if len(v.training) > 1 and sum(v.training) > 0}
        chosen = spec.features or list(usable)
        self._missing = [name for name in chosen if name not in usable]
        watched = {name: usable[name] for name in chosen if name in usable}
        [self._begun_for] = self._hashes
        drift.close(self.wanted.key)
        self.profile, self.layout, self._side = self._begun_for, None, None
        if not watched:
            return
        plan = DriftPlan(
            tuple(
                Feature(name, v.training, Distance(spec.distance.value), spec.threshold)
                for name, v in watched.items()
            ),
            rate=self.wanted.spec.rate,
            learning=spec.learning,
        )
        kept = self._kept if self._kept and self._kept.profile == self.profile else None
        old = kept.checkpoint if kept else None
        restored = drift.open(
            self.wanted.key,
            plan,
            old.drift if old else None,
            same_hours=spec.same_hours,
            seasons=old.seasons if old else None,
        )
        self.layout = Layout(tuple(watched.values()))
        self._started_at = old.started_at if old and restored else now
        self._requested_at = old.requested_at if old and restored else None
        self._kept = None

    def change(self, wanted: Wanted, drift: DriftWatches, now: float) -> None:
        """The spec or the stable is another one."""
        before, self.wanted = self.wanted, wanted
        moved = before.target != wanted.target
        stricter = before.spec.rate != wanted.spec.rate
        known = self._as_kept(before, drift)
        if moved or stricter or before.spec.drift != wanted.spec.drift:
            # The same profile may travel in a new image: then the evidence goes on.
            self._kept = known if self.layout is not None else self._kept
            drift.close(wanted.key)
            self._begun_for, self.layout, self.profile, self._side = None, None, None, None
        if moved or stricter or before.spec.decay != wanted.spec.decay:
            self._begin_decay(now, known)

    def close(self, drift: DriftWatches) -> None:
        """It is watched no longer."""
        drift.close(self.wanted.key)

    # --- requests

    @property
    def counting(self) -> bool:
        """There is a baseline."""
        return self._side is not None

    def start(self, readings: Mapping[str, Reading], now: float) -> None:
        """What had been counted before; nothing at all is no baseline."""
        if self.layout is None or not readings:
            return
        self._side = Side(self.layout.columns)
        self._side.begin(readings)
        self._until = now

    def count(
        self, readings: Mapping[str, Reading], drift: DriftWatches, now: float
    ) -> Counts | None:
        """The requests since the last time; None: it cannot be told."""
        if self._side is None or self.layout is None or self._until is None:
            return None
        if len(self._hashes) > 1:
            return None  # pods with different bins: which count is whose cannot be told
        self._side.add(readings)
        seconds = now - self._until
        if seconds <= 0 or not readings:
            return None
        added = self._side.take()
        self._until = now
        if added.any():
            self._requested_at = self.moved_at = now
        return Counts(self.layout.table(added, drift.bins(self.wanted.key)), seconds, now)

    # --- feedback

    def _begin_decay(self, now: float, before: MonitoringStatus | None) -> None:
        """The level goes on where it is that of this revision, and measured alike."""
        self._scores: Side | None = None
        self._fleet: DecayFleet | None = None
        self._level = self._new_level()
        self._scored_until = now
        same = before is not None and before.predictor == self.wanted.target.predictor
        old = before.checkpoint if before and same else None
        decay = self.wanted.spec.decay
        if old is None or old.level is None or decay is None:
            return
        if old.level.measure == decay.measure.value:
            self._level = old.level
            self._started_at = self._started_at and old.started_at
            if self._level.feedback >= decay.level_feedback:
                self._open_decay(old.decay)

    def _new_level(self, feedback: float = 0.0, rewards: float = 0.0) -> Level:
        decay = self.wanted.spec.decay
        measure = decay.measure if decay else Measure.OUTCOMES
        return Level(feedback=feedback, rewards=rewards, measure=measure.value)

    def scores_by(self, measure: Measure) -> bool:
        """Its decay is watched, and measured so."""
        decay = self.wanted.spec.decay
        return decay is not None and decay.measure is measure

    @property
    def scored(self) -> bool:
        """There is a baseline of the feedback."""
        return self._scores is not None

    def start_scores(self, readings: Mapping[str, Reading]) -> None:
        """As `start`."""
        if readings:
            self._scores = Side(2)
            self._scores.begin(readings)
            self._scored_until = self._at

    def score(self, readings: Mapping[str, Reading], now: float) -> None:
        """Feedback since the last time: first for the level, then against it."""
        decay = self.wanted.spec.decay
        if self._scores is None or decay is None or not readings:
            return
        self._scores.add(readings)
        seconds, self._scored_until = now - self._scored_until, now
        if seconds <= 0:
            return
        feedback, rewards = (float(value) for value in self._scores.take())
        rewards = min(max(rewards, 0.0), feedback)
        if feedback > 0:
            self.moved_at = now
        if self._fleet is None:
            self._level = self._new_level(
                self._level.feedback + feedback, self._level.rewards + rewards
            )
            if self._level.feedback >= decay.level_feedback:
                self._open_decay(None)
            return
        self._fleet.update([_OPEN], np.array([feedback]), np.array([rewards]), np.array([seconds]))

    def _open_decay(self, state: str | None) -> None:
        decay = self.wanted.spec.decay
        if decay is None:
            return
        self._fleet = DecayFleet()
        self._fleet.open(
            _OPEN,
            DecayPlan(
                self._level.feedback,
                self._level.rewards,
                tolerance=decay.tolerance,
                rate=self.wanted.spec.rate,
                learning=decay.learning,
            ),
            state,
        )

    # --- what is known

    def seen(self, drift: DriftWatches, outage: Blind | None) -> Seen:
        """What is known, without a checkpoint. `outage`: the metrics cannot be read."""
        watched = self.layout is not None
        decay = self._fleet.result(_OPEN) if self._fleet else None
        spec = self.wanted.spec
        return Seen(
            at=self._at,
            predictor=self.wanted.target.predictor,
            revision=self.wanted.revision,
            profile=self.profile,
            started_at=self._started_at,
            requested_at=self._requested_at,
            drift=drift.results(self.wanted.key) if watched else (),
            decay=decay,
            level=self._level if spec.decay else None,
            drift_blind=outage or self._drift_blind(drift),
            decay_blind=outage or self._decay_blind(),
        )

    def _drift_blind(self, drift: DriftWatches) -> Blind | None:
        predictor = self.wanted.target.predictor
        if len(self._hashes) > 1:
            return Blind(
                "ProfilesDiffer",
                f"the pods of {predictor} have {len(self._hashes)} training profiles: one image "
                "tag with two contents?",
            )
        if not self._hashes and self.profile is None:
            return Blind(
                "NoProfile",
                f"no pod of {predictor} shows a training profile: serve the model with the model "
                "kit (docs/model-kit.md), and let Prometheus scrape its metrics port",
            )
        if self.profile and self.layout is None:
            asked = ", ".join(self._missing) or "nothing that training has counted"
            return Blind("NoSuchFeature", f"the training profile has none of: {asked}")
        if self._missing:
            return Blind("NoSuchFeature", f"the training profile lacks {', '.join(self._missing)}")
        if self.layout is not None and (known := drift.filled(self.wanted.key)) < 1.0:
            return Blind(
                "LearningHours", f"{known:.0%} of the hours to compare with are known by now"
            )
        return None

    def _decay_blind(self) -> Blind | None:
        decay = self.wanted.spec.decay
        if decay is None or self._scores is not None:
            return None
        what = "outcomes" if decay.measure is Measure.OUTCOMES else "rewards"
        return Blind(
            "NoFeedback",
            f"no pod of {self.wanted.target.predictor} shows {what} of feedback "
            "(docs/model-kit.md#feedback)",
        )

    def checkpoint(self, drift: DriftWatches) -> MonitoringCheckpoint | None:
        """The evidence, to be kept in the status; None: there is none yet."""
        if self.layout is None and not self._level.feedback:
            return None
        state, seasons = drift.export(self.wanted.key) if self.layout else (None, None)
        if len(state or "") + len(seasons or "") > MOST_CHECKPOINT:
            state, seasons = None, None
        return MonitoringCheckpoint(
            at=round(self._at, 3),
            started_at=round(self._started_at or self._at, 3),
            requested_at=self._requested_at and round(self._requested_at, 3),
            drift=state,
            seasons=seasons,
            decay=self._fleet.export(_OPEN) if self._fleet else None,
            level=self._level if self.wanted.spec.decay else None,
        )

    def _as_kept(self, before: Wanted, drift: DriftWatches) -> MonitoringStatus:
        return MonitoringStatus(
            predictor=before.target.predictor,
            revision=before.revision,
            profile=self.profile,
            checkpoint=self.checkpoint(drift),
        )
