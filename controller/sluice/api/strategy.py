"""How a new version comes in: in steps (canary) or by one switch (blue-green).

Either may begin with a shadow: the candidate gets copies of requests, and its answers reach nobody.
"""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field, model_validator

from sluice.api.base import Duration, Model
from sluice.api.policy import CanaryOverrides, PolicyOverrides


class Shadow(Model):
    """Judge the candidate on copies of requests before it answers any user."""

    percent: int = Field(
        default=100, ge=1, le=100, description="Share of the requests that is copied, %."
    )
    hold: Duration = Field(default=300.0, description="Least time with copied requests, e.g. 5m.")


class CapacityMode(StrEnum):
    """How many pods a candidate has before it has all the traffic."""

    FULL = "Full"
    IN_STEP = "InStep"


class CandidateReplicas(Model):
    """The candidate's capacity under way. Autoscaled predictors are left to their autoscaler."""

    mode: CapacityMode = Field(
        default=CapacityMode.FULL,
        description="Full: the template's replicas from the start. InStep: as many as its share "
        "needs, raised before each step; all before promotion.",
    )
    min: int = Field(default=1, ge=1, le=1000, description="Least replicas with InStep.")


class Canary(CanaryOverrides):
    """Traffic moves in the policy's steps."""

    shadow: Shadow | None = None
    candidate_replicas: CandidateReplicas | None = None


class BlueGreen(PolicyOverrides):
    """Green stands ready beside blue, then one switch; blue stays warm for the way back."""

    auto_switch: bool = Field(
        default=True,
        description="Switch by itself once green is ready and blue is known well enough to "
        "compare with; false waits for `sluice promote`.",
    )
    keep_blue_for: Duration | None = Field(
        default=None,
        description="How long blue stays warm after the switch, at least the bake. Default: the "
        "bake.",
    )
    shadow: Shadow | None = None


class Strategy(Model):
    """Exactly one form; without a strategy it is a canary as the policy says."""

    canary: Canary | None = None
    blue_green: BlueGreen | None = None

    @model_validator(mode="after")
    def _one_form(self) -> Strategy:
        if (self.canary is None) == (self.blue_green is None):
            raise ValueError(ONE_FORM)
        return self

    @property
    def overrides(self) -> PolicyOverrides | None:
        """What the rollout sets in place of its policy."""
        return self.blue_green or self.canary

    @property
    def shadow(self) -> Shadow | None:
        """The shadow asked for, or None."""
        form = self.blue_green or self.canary
        return form.shadow if form is not None else None


ONE_FORM = (
    "strategy needs exactly one of canary (traffic in steps) and blueGreen (one switch): add one, "
    "remove one, or leave strategy out for a canary as the policy says"
)
