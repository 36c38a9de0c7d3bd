"""`spec.monitoring`: is a promoted model still what it was, and what to do when it is not."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field, model_validator

from sluice.api.base import Duration, Model
from sluice.api.gates import URL_PATTERN

_LONGEST_LEARNING = 14 * 86_400.0
_KEY_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
_NAME_PATTERN = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"


class DistanceName(StrEnum):
    """How far the live shares are from the training's. KS and TV are shares, the others nats."""

    KS = "ks"
    TV = "tv"
    PSI = "psi"
    KL = "kl"
    JS = "js"


class Measure(StrEnum):
    """What of the feedback says how good an answer was."""

    OUTCOMES = "Outcomes"
    REWARDS = "Rewards"


class DriftWatch(Model):
    """Inputs and answers against the training profile that the model kit exports."""

    distance: DistanceName = Field(
        default=DistanceName.KS,
        description="What is measured: ks (largest difference of cumulative shares), tv (total "
        "variation), psi, kl or js.",
    )
    threshold: float = Field(
        default=0.1,
        gt=0,
        description="A distance that nobody minds. Drifted means: shown to be above it.",
    )
    features: list[str] = Field(
        default_factory=list,
        max_length=100,
        description="Which variables of the profile; prediction and score are the model's own. "
        "Default: all that training has counted.",
        json_schema_extra={"items": {"type": "string", "maxLength": 253}},
    )
    same_hours: bool = Field(
        default=False,
        description="Compare with the same hours of the first three days instead of training, "
        "where the world has a daily rhythm; then those days declare nothing.",
    )
    learning: Duration = Field(
        default=86_400.0,
        description="How long traffic is only learned from, to know how it wanders by itself.",
    )

    @model_validator(mode="after")
    def _sane(self) -> DriftWatch:
        most = 1.0 if self.distance in (DistanceName.KS, DistanceName.TV) else 10.0
        if self.distance is DistanceName.JS:
            most = 0.69  # ln 2, which it cannot exceed
        if self.threshold >= most:
            raise ValueError(
                f"drift.threshold must be below {most:g} for {self.distance.value}, which would "
                f"never be exceeded; found {self.threshold:g}"
            )
        if len(set(self.features)) != len(self.features):
            raise ValueError(f"drift.features: each once, found {self.features}")
        _check_learning("drift", self.learning)
        return self


class DecayWatch(Model):
    """Feedback against what it was first seen to be after the promotion."""

    measure: Measure = Field(
        default=Measure.OUTCOMES,
        description="Outcomes: the share of right answers where the truth came. Rewards: the mean "
        "reward of all feedback, from 0 to 1 each; none counts as 0.",
    )
    tolerance: float = Field(
        default=0.02,
        gt=0,
        lt=1,
        description="A fall of the mean that nobody minds, such as 0.02 for two points.",
    )
    learning: Duration = Field(
        default=86_400.0,
        description="How long feedback is only learned from, to know how it wanders by itself.",
    )
    level_feedback: int = Field(
        default=500,
        ge=20,
        le=1_000_000,
        description="The level to compare with is that of so many first answers with feedback.",
    )

    @model_validator(mode="after")
    def _sane(self) -> DecayWatch:
        _check_learning("decay", self.learning)
        return self


class RetrainJob(Model):
    """A Job as a CronJob of the same namespace would start it; a suspended CronJob will do."""

    cron_job: str = Field(
        min_length=1,
        max_length=52,
        pattern=_NAME_PATTERN,
        description="The CronJob whose jobTemplate is used, in the rollout's namespace.",
    )


class RetrainWebhook(Model):
    """A URL that is told, with a POST; see docs/gates.md for hosts and signatures."""

    url: str = Field(
        min_length=1, max_length=1024, pattern=URL_PATTERN, description="Where the POST goes."
    )
    timeout: Duration = Field(default=10.0, description="How long one answer may take.")
    retries: int = Field(
        default=3, ge=0, le=10, description="How often it is tried again when no answer came."
    )
    key: str | None = Field(
        default=None,
        min_length=1,
        max_length=63,
        pattern=_KEY_PATTERN,
        description="Name of a key the controller was given (--webhook-key-file); signs requests.",
    )

    @model_validator(mode="after")
    def _sane(self) -> RetrainWebhook:
        if not 0 < self.timeout <= 30:
            raise ValueError("webhook: timeout must be above 0s and at most 30s")
        return self


class Reaction(Model):
    """What starts a retraining: a Job or a webhook."""

    job: RetrainJob | None = Field(
        default=None, description="Start a Job from a CronJob's template."
    )
    webhook: RetrainWebhook | None = Field(default=None, description="Tell a URL.")

    @model_validator(mode="after")
    def _one(self) -> Reaction:
        if (self.job is None) == (self.webhook is None):
            raise ValueError(ONE_REACTION)
        return self


ONE_REACTION = (
    "a reaction needs exactly one of job (a Job from a CronJob's template) and webhook (a URL that "
    "is told): add one, or remove the other"
)


class Monitoring(Model):
    """What is watched of the stable, and what follows. Limits hold for the model as a whole."""

    drift: DriftWatch | None = Field(
        default=None, description="Inputs and answers against the training profile."
    )
    decay: DecayWatch | None = Field(
        default=None, description="Feedback against what it was after the promotion."
    )
    false_alarms: float = Field(
        default=0.01,
        gt=0,
        lt=1,
        description="How often drift and decay of a model may be declared without being there, a "
        "week; where both are watched each has half.",
    )
    on_drift: Reaction | None = Field(default=None, description="What is done when Drifted.")
    on_decay: Reaction | None = Field(default=None, description="What is done when Decayed.")
    cooldown: Duration = Field(
        default=86_400.0, description="From the start of one retraining to that of the next."
    )
    max_per_week: int = Field(
        default=2, ge=1, le=20, description="How many retrainings may start in seven days."
    )

    @model_validator(mode="after")
    def _whole(self) -> Monitoring:
        if self.drift is None and self.decay is None:
            raise ValueError(NOTHING_WATCHED)
        if self.on_drift is not None and self.drift is None:
            raise ValueError(NO_DRIFT)
        if self.on_decay is not None and self.decay is None:
            raise ValueError(NO_DECAY)
        if self.cooldown < 1:
            raise ValueError("cooldown must be at least 1s")
        return self

    @property
    def rate(self) -> float:
        """False alarms a week of each of the two watches."""
        both = self.drift is not None and self.decay is not None
        return self.false_alarms / 2 if both else self.false_alarms


NOTHING_WATCHED = "monitoring needs drift or decay, or both: drift: {} watches with the defaults"
NO_DRIFT = "onDrift without drift never happens: add drift: {}, or remove onDrift"
NO_DECAY = "onDecay without decay never happens: add decay: {}, or remove onDecay"


def _check_learning(whose: str, learning: float) -> None:
    if not 0 <= learning <= _LONGEST_LEARNING:
        raise ValueError(f"{whose}.learning must be at most 14d")
