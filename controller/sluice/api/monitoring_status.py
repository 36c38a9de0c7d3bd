"""`status.monitoring`: what is known of a promoted model, and which retrainings it led to."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from sluice.api.base import StatusModel


class FeatureRow(StatusModel):
    """One variable of the profile. `value` and `threshold` in the unit of `distance`.

    `evidence` and `needed` are log10; `requests` are those of the window that `value` is from,
    `since` is when the evidence began to grow.
    """

    name: str
    distance: str
    value: float
    threshold: float
    evidence: float
    needed: float
    requests: int = 0
    drifted: bool = False
    since: str | None = None


class DecayRow(StatusModel):
    """Feedback against the level: means from 0 to 1. `drop` is to be compared with `tolerance`.

    `level` is that of the `level_feedback` first answers; `reward` None: none came since.
    """

    reward: float | None = None
    level: float | None = None
    drop: float = 0.0
    tolerance: float
    evidence: float = 0.0
    needed: float = 0.0
    feedback: int = 0
    level_feedback: int = 0
    decayed: bool = False
    since: str | None = None


class Level(StatusModel):
    """The feedback that the level at promotion is from: how many answers, and their rewards.

    `measure` is what counted as one (`spec.monitoring.decay.measure`).
    """

    feedback: float
    rewards: float
    measure: str = "Outcomes"


class MonitoringCheckpoint(StatusModel):
    """The evidence at Unix time `at`, as base64 private to `sluice.evidence`.

    `started_at` (Unix seconds) is when this evidence began, `requested_at` when the stable was
    last seen to be asked.
    """

    at: float
    started_at: float
    requested_at: float | None = None
    drift: str | None = None
    seasons: str | None = None
    decay: str | None = None
    level: Level | None = None


class RetrainingState(StrEnum):
    """Where a retraining is. Pending and Running keep a second one from starting."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELLED = "Cancelled"

    @property
    def open(self) -> bool:
        """It is not over."""
        return self in (RetrainingState.PENDING, RetrainingState.RUNNING)


class Retraining(StatusModel):
    """One retraining. `trigger` is the condition that led to it, `features` what had drifted.

    One that a person asked for has the trigger Requested; `reaction` is then the field of the spec
    that says how, `by` who the client says it was, `why` what that person wrote.

    `job` is a Job's name, `told` the host of a webhook. `number` counts them all, also those that
    are no longer kept. A webhook's retraining is over when it has been told.
    """

    number: int
    id: str
    trigger: str
    state: RetrainingState
    at: str
    revision: str
    features: list[str] = Field(default_factory=list)
    job: str | None = None
    told: str | None = None
    reaction: str | None = None
    by: str | None = None
    why: str | None = None
    message: str = ""
    ended_at: str | None = None


class MonitoringStatus(StatusModel):
    """`profile` is the hash of the training profile that is compared with; times RFC 3339.

    `since` is when this evidence began: with a new profile it begins anew.
    """

    predictor: str
    revision: str
    profile: str | None = None
    since: str | None = None
    at: str | None = None
    features: list[FeatureRow] = Field(default_factory=list)
    decay: DecayRow | None = None
    checkpoint: MonitoringCheckpoint | None = None
    retrainings: list[Retraining] = Field(default_factory=list)
