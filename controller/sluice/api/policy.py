"""CanaryPolicy and ClusterCanaryPolicy: how a candidate is judged.

`CanaryPolicySpec` is the content of both; a ModelRollout's `strategy` may override its fields
(`PolicyOverrides`).
"""

from __future__ import annotations

import itertools
from enum import StrEnum
from typing import Any, Self

from pydantic import Field, model_validator

from sluice.api.answers import Difference
from sluice.api.base import DURATION_PATTERN, Duration, Model, parse_duration


class Metric(StrEnum):
    """What a check looks at."""

    ERROR_RATE = "error-rate"
    LATENCY = "latency"
    PREDICTIONS = "predictions"
    FEEDBACK = "feedback"

    @property
    def of_answers(self) -> bool:
        """What the model says is looked at, not how it serves."""
        return self in (Metric.PREDICTIONS, Metric.FEEDBACK)


class UndecidedAction(StrEnum):
    """What happens when the evidence stays out for too long."""

    PAUSE = "Pause"
    ROLL_BACK = "RollBack"


class Step(Model):
    """One step of the canary: the candidate's share of the traffic, and how long at least."""

    weight: int = Field(ge=1, le=100, description="Share of the traffic for the candidate, %.")
    hold: Duration = Field(default=0.0, description="Least time at this weight, e.g. 2m.")
    pause: bool = Field(
        default=False,
        description="Then wait for `sluice resume` or `promote`; harm still rolls back.",
    )


class Risk(Model):
    """What the whole rollout may risk, over all checks, however often one looks."""

    false_rollback: float = Field(
        default=0.01,
        gt=0,
        lt=0.5,
        description="Greatest probability of rolling back a candidate that is acceptable.",
    )
    false_promotion: float = Field(
        default=0.05,
        gt=0,
        lt=0.5,
        description="Greatest probability of promoting a candidate that is unacceptable.",
    )


class OnUndecided(Model):
    """What to do when a step has had its hold and the evidence still says neither."""

    after: Duration = Field(default=86400.0, description="How long to wait for evidence.")
    action: UndecidedAction = Field(
        default=UndecidedAction.PAUSE,
        description="Pause (the weights stay, a person decides) or RollBack. An outage of the "
        "metrics only ever pauses.",
    )


class Compare(Model):
    """Candidate against stable, with an indifference zone between the two ratios."""

    acceptable_ratio: float = Field(
        default=1.0,
        ge=1,
        le=100,
        description="A candidate whose rate is at most this many times the stable's is fine.",
    )
    unacceptable_ratio: float = Field(
        default=2.0,
        gt=1,
        le=1000,
        description="A candidate at or beyond this many times the stable's must not be promoted.",
    )
    negligible_below: float = Field(
        default=0.001, gt=0, lt=1, description="Rates below this share count as equal to none."
    )

    @model_validator(mode="after")
    def _ordered(self) -> Compare:
        if self.unacceptable_ratio <= self.acceptable_ratio:
            raise ValueError(
                f"unacceptableRatio ({self.unacceptable_ratio:g}) must be greater than "
                f"acceptableRatio ({self.acceptable_ratio:g})"
            )
        return self


class Limit(Model):
    """An absolute objective, whatever the stable does."""

    quantile: float | None = Field(
        default=None, gt=0, lt=1, description="For latency: which quantile, e.g. 0.99."
    )
    max: float | str = Field(
        description="Greatest allowed value: a share for error-rate (0.02), a duration for "
        "latency (500ms).",
        json_schema_extra={"minimum": 0, "pattern": DURATION_PATTERN, "maxLength": 32},
    )


class Check(Model):
    """One question about the candidate. Every check must say Pass before a promotion."""

    name: str = Field(
        min_length=1,
        max_length=63,
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        description="How status and reports name it: lower-case letters, digits and '-'.",
    )
    metric: Metric = Field(
        description="error-rate: the share of failed requests. latency: the share of requests "
        "slower than each bucket edge, or (limit) a quantile. predictions: the share of each "
        "predicted class or bin. feedback: the share of wrong answers, of those whose truth came. "
        "The last two need the model kit in both versions, and difference."
    )
    compare: Compare | None = Field(
        default=None, description="Against the stable, as a ratio. Either this or limit."
    )
    limit: Limit | None = Field(
        default=None, description="Against an absolute objective. Either this or compare."
    )
    difference: Difference | None = Field(
        default=None,
        description="Against the stable, in shares: for predictions and feedback, and only there.",
    )
    warmup: Duration | None = Field(
        default=None,
        description="Requests this soon after the candidate became ready do not count for this "
        "check, where that is longer than the policy's own warmup.",
    )

    @model_validator(mode="after")
    def _one_form(self) -> Check:
        if self.metric.of_answers:
            self._check_difference()
            return self
        if self.difference is not None:
            raise ValueError(
                f"check {self.name!r}: difference is for the metrics predictions and feedback, "
                f"found {self.metric.value}: use compare or limit"
            )
        if (self.compare is None) == (self.limit is None):
            raise ValueError(f"check {self.name!r} needs exactly one of compare and limit")
        if self.limit is not None:
            self._check_limit(self.limit)
        return self

    def _check_difference(self) -> None:
        what = self.metric.value
        if self.difference is None or self.compare is not None or self.limit is not None:
            raise ValueError(
                f"check {self.name!r}: {what} needs difference and neither compare nor limit, such "
                "as difference: {acceptable: 0.02, unacceptable: 0.1}"
            )
        if self.difference.per_class and self.metric is not Metric.FEEDBACK:
            raise ValueError(
                f"check {self.name!r}: perClass is for feedback, found {what}, which are always "
                "looked at by class: remove it"
            )

    def _check_limit(self, limit: Limit) -> None:
        if self.metric is Metric.LATENCY:
            if limit.quantile is None or not isinstance(limit.max, str):
                raise ValueError(
                    f"check {self.name!r}: a latency limit needs quantile (such as 0.99) and max "
                    "as a duration (such as 500ms)"
                )
            parse_duration(limit.max)
        elif limit.quantile is not None or not isinstance(limit.max, int | float):
            raise ValueError(
                f"check {self.name!r}: an error-rate limit needs max as a share between 0 and 1 "
                "(such as 0.02) and no quantile"
            )
        elif not 0 < limit.max < 1:
            raise ValueError(
                f"check {self.name!r}: max must be a share between 0 and 1, found {limit.max:g}"
            )


_STEPS = "Weights in ascending order."
_BAKE = "After promotion the old revision stays warm this long; harm switches back."
_HOLDBACK = (
    "Share of the traffic that the old revision keeps while baking, %: with it an outage that hits "
    "both is told from harm. 0: none, the candidate is held against the past."
)
_WARMUP = "Requests this soon after the candidate became ready are ignored."
_CHECKS = "Every one must say Pass before a promotion; one that says Harm rolls back."
_INSTEAD = "Instead of the policy's."


class PolicyOverrides(Model):
    """Fields of a policy that one rollout sets for itself; omitted ones come from the policy."""

    bake: Duration | None = Field(default=None, description=f"{_BAKE} {_INSTEAD}")
    warmup: Duration | None = Field(default=None, description=f"{_WARMUP} {_INSTEAD}")
    risk: Risk | None = None
    on_undecided: OnUndecided | None = None
    checks: list[Check] | None = Field(
        default=None, min_length=1, max_length=20, description=f"{_CHECKS} {_INSTEAD}"
    )

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        check_names(self.checks or [])
        return self


class CanaryOverrides(PolicyOverrides):
    """The same, with the steps."""

    steps: list[Step] | None = Field(
        default=None, min_length=1, max_length=50, description=f"{_STEPS} {_INSTEAD}"
    )
    bake_holdback: int | None = Field(
        default=None, ge=0, le=50, description=f"{_HOLDBACK} {_INSTEAD}"
    )

    @model_validator(mode="after")
    def _weights_ascend(self) -> Self:
        check_steps(self.steps or [])
        return self


class CanaryPolicySpec(Model):
    """How a candidate is brought in and judged."""

    steps: list[Step] = Field(min_length=1, max_length=50, description=_STEPS)
    bake: Duration = Field(default=600.0, description=_BAKE)
    bake_holdback: int = Field(default=5, ge=0, le=50, description=_HOLDBACK)
    warmup: Duration = Field(default=30.0, description=_WARMUP)
    risk: Risk = Field(default_factory=Risk)
    on_undecided: OnUndecided = Field(default_factory=OnUndecided)
    checks: list[Check] = Field(min_length=1, max_length=20, description=_CHECKS)

    @model_validator(mode="after")
    def _consistent(self) -> CanaryPolicySpec:
        check_steps(self.steps)
        check_names(self.checks)
        return self

    @property
    def bake_weight(self) -> int:
        """The candidate's share while baking, %. Without a bake there is nothing to compare for."""
        if not self.bake:
            return 100
        return max(self.steps[-1].weight, 100 - self.bake_holdback)

    def overridden(self, overrides: PolicyOverrides | None) -> CanaryPolicySpec:
        """This policy with the rollout's own fields in place of the policy's."""
        if overrides is None:
            return self
        changes: dict[str, Any] = {
            name: value
            for name in CanaryPolicySpec.model_fields
            if (value := getattr(overrides, name, None)) is not None
        }
        return self.model_copy(update=changes)


def check_steps(steps: list[Step]) -> None:
    """Raise ValueError unless the weights ascend."""
    weights = [step.weight for step in steps]
    if any(later <= earlier for earlier, later in itertools.pairwise(weights)):
        raise ValueError(f"the weights of steps must ascend, found {weights}")


def check_names(checks: list[Check]) -> None:
    """Raise ValueError when two checks have one name."""
    names = [check.name for check in checks]
    if len(set(names)) != len(names):
        raise ValueError(f"the names of checks must differ, found {names}")
