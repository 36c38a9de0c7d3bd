"""What the monitoring has found, as `status.monitoring` and the conditions Drifted and Decayed.

True and False are only ever said on evidence. What stands in the way of evidence (no profile, no
requests, an outage of the metrics) is Unknown; it neither declares a condition nor clears one.
"""

from __future__ import annotations

from dataclasses import dataclass

from sluice.api.monitoring import Monitoring
from sluice.api.monitoring_status import (
    DecayRow,
    FeatureRow,
    Level,
    MonitoringCheckpoint,
    MonitoringStatus,
)
from sluice.api.status import Condition, RolloutStatus
from sluice.api.times import to_wire
from sluice.evidence.decay import DecayEvidence
from sluice.evidence.features import FeatureEvidence

DRIFTED, DECAYED = "Drifted", "Decayed"
CONDITIONS = (DRIFTED, DECAYED)
CHECKPOINT_SECONDS = 300.0
"""Numbers alone are written at most so often."""
SILENT_SECONDS = 3600.0
"""Without a request for so long nothing is known of the present."""
MOST_ROWS = 100
_SHOWN = 4

Answer = tuple[str, str, str]  # status, reason, message


@dataclass(frozen=True)
class Blind:
    """Why nothing can be told: `reason` for the condition, and a sentence."""

    reason: str
    message: str


@dataclass(frozen=True)
class Seen:
    """What is known of the stable `predictor` at Unix time `at`.

    `profile` is the hash of the profile compared with, None before one was seen. `drift` has a row
    for each feature, `decay` is None before the level is known. `requested_at`: when it was last
    seen to be asked.
    """

    at: float
    predictor: str
    revision: str
    profile: str | None = None
    started_at: float | None = None
    requested_at: float | None = None
    drift: tuple[FeatureEvidence, ...] = ()
    decay: DecayEvidence | None = None
    level: Level | None = None
    drift_blind: Blind | None = None
    decay_blind: Blind | None = None
    checkpoint: MonitoringCheckpoint | None = None


def findings(
    spec: Monitoring, status: RolloutStatus, seen: Seen, now: float
) -> tuple[MonitoringStatus, dict[str, Answer]]:
    """The status as the newest look leaves it, and what the conditions say."""
    old = status.monitoring
    same = old is not None and old.predictor == seen.predictor
    rows = [_row(one, seen.at) for one in seen.drift]
    if len(rows) > MOST_ROWS:
        rows = sorted(rows, key=lambda r: (not r.drifted, -r.value / r.threshold))[:MOST_ROWS]
    decay = _decay_row(spec, seen)
    if old is not None and same:  # an outage right after a start: what was known stands
        rows = rows or (old.features if spec.drift and seen.profile is None else [])
        decay = decay or (old.decay if spec.decay else None)
    found = MonitoringStatus(
        predictor=seen.predictor,
        revision=seen.revision,
        profile=seen.profile or (old.profile if old and same else None),
        since=to_wire(seen.started_at)
        if seen.started_at
        else (old.since if same and old else None),
        at=to_wire(seen.at),
        features=rows if spec.drift else [],
        decay=decay if spec.decay else None,
        checkpoint=seen.checkpoint or (old.checkpoint if old and same else None),
        retrainings=old.retrainings if old else [],
    )
    answers: dict[str, Answer] = {}
    if spec.drift is not None:
        was = _is_true(status, DRIFTED) and same
        answers[DRIFTED] = _drifted(spec, found, seen, now, was=was)
    if spec.decay is not None:
        was = _is_true(status, DECAYED) and same
        answers[DECAYED] = _decayed(spec, found, seen, was=was)
    return found, answers


def _drifted(
    spec: Monitoring, found: MonitoringStatus, seen: Seen, now: float, *, was: bool
) -> Answer:
    assert spec.drift is not None
    drifted = [row for row in found.features if row.drifted]
    if drifted and (was or seen.drift):
        return "True", "Drifted", _told(drifted) + _but(seen.drift_blind)
    if seen.drift_blind is not None:
        return "Unknown", seen.drift_blind.reason, seen.drift_blind.message
    if not seen.drift:
        return "Unknown", "NotYet", f"the profile of {seen.predictor} has not been read yet"
    if seen.requested_at is None or now - seen.requested_at > SILENT_SECONDS:
        since = f" since {to_wire(seen.requested_at)}" if seen.requested_at else ""
        return "Unknown", "NoData", f"no request of {seen.predictor} was counted{since}"
    if not all(one.learned for one in seen.drift):
        return "Unknown", "Learning", "learns how requests wander by themselves"
    return "False", "WithinThreshold", f"{len(seen.drift)} variables are as in training"


def _decayed(spec: Monitoring, found: MonitoringStatus, seen: Seen, *, was: bool) -> Answer:
    assert spec.decay is not None
    row = found.decay
    if row is not None and row.decayed and (was or seen.decay is not None):
        message = (
            f"the mean of feedback is {row.reward:.3f}, {row.drop:.3f} below its level of "
            f"{row.level:.3f}; {row.tolerance:g} is tolerated"
            if row.reward is not None and row.level is not None
            else "feedback fell below its level"
        )
        return "True", "Decayed", message + _but(seen.decay_blind)
    if seen.decay_blind is not None:
        return "Unknown", seen.decay_blind.reason, seen.decay_blind.message
    if seen.decay is None:
        have = seen.level.feedback if seen.level else 0
        wanted = spec.decay.level_feedback
        message = f"{have:.0f} of the {wanted} answers with feedback that the level is made of"
        return "Unknown", "MeasuringLevel", message
    if not seen.decay.learned:
        return "Unknown", "Learning", "learns how feedback wanders by itself"
    return "False", "WithinTolerance", f"not below {seen.decay.level:.3f} by more than tolerated"


def _told(drifted: list[FeatureRow]) -> str:
    worst = sorted(drifted, key=lambda row: -row.value / row.threshold)
    told = [f"{r.name}: {r.distance} {r.value:.3g} (threshold {r.threshold:g})" for r in worst]
    more = f", and {len(told) - _SHOWN} more" if len(told) > _SHOWN else ""
    return ", ".join(told[:_SHOWN]) + more


def _but(blind: Blind | None) -> str:
    return f"; now: {blind.message}" if blind else ""


def _is_true(status: RolloutStatus, kind: str) -> bool:
    condition = status.condition(kind)
    return condition is not None and condition.status == "True"


def _row(one: FeatureEvidence, at: float) -> FeatureRow:
    return FeatureRow(
        name=one.name,
        distance=one.distance.value,
        value=float(f"{one.value:.3g}"),
        threshold=one.threshold,
        evidence=round(one.log10_evidence, 1),
        needed=round(one.needed, 1),
        requests=round(one.requests),
        drifted=one.drifted,
        since=to_wire(at - one.since) if one.since is not None else None,
    )


def _decay_row(spec: Monitoring, seen: Seen) -> DecayRow | None:
    if spec.decay is None:
        return None
    one = seen.decay
    if one is None:
        if seen.level is None:
            return None
        return DecayRow(tolerance=spec.decay.tolerance, level_feedback=round(seen.level.feedback))
    return DecayRow(
        reward=None if one.reward is None else round(one.reward, 4),
        level=round(one.level, 4),
        drop=round(one.drop, 4),
        tolerance=one.threshold,
        evidence=round(one.log10_evidence, 1),
        needed=round(one.needed, 1),
        feedback=round(one.feedback),
        level_feedback=round(seen.level.feedback) if seen.level else 0,
        decayed=one.decayed,
        since=to_wire(seen.at - one.since) if one.since is not None else None,
    )


def essence(status: MonitoringStatus | None) -> object:
    """What of the status is written at once when it changes; the rest are numbers."""
    if status is None:
        return None
    decay = status.decay
    return (
        status.predictor,
        status.revision,
        status.profile,
        [(row.name, row.distance, row.threshold, row.drifted) for row in status.features],
        (decay.tolerance, decay.level, decay.decayed) if decay else None,
        [one.to_dict() for one in status.retrainings],
    )


def answers_of(conditions: list[Condition]) -> dict[str, tuple[str, str]]:
    """Status and reason of the conditions of the monitoring."""
    return {c.type: (c.status, c.reason) for c in conditions if c.type in CONDITIONS}
