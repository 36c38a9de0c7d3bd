"""`ModelRollout.status`: written by the controller alone, once per pass, only if it differs."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel

from sluice.api.base import Model


class Phase(StrEnum):
    """Where a rollout is in its life (docs/architecture.md has the picture)."""

    IDLE = "Idle"
    PREPARING = "Preparing"
    SHADOWING = "Shadowing"
    PREVIEWING = "Previewing"
    STEPPING = "Stepping"
    PROMOTING = "Promoting"
    BAKING = "Baking"
    ROLLING_BACK = "RollingBack"
    ROLLED_BACK = "RolledBack"

    @property
    def active(self) -> bool:
        """A candidate is being brought in, judged, or taken out."""
        return self not in (Phase.IDLE, Phase.ROLLED_BACK)

    @property
    def judged(self) -> bool:
        """Metrics are read for rollouts in these phases."""
        return self not in (
            Phase.IDLE,
            Phase.PREPARING,
            Phase.ROLLING_BACK,
            Phase.ROLLED_BACK,
        )


class Verdict(StrEnum):
    """The answer of one check. Only Harm rolls back; only Pass counts for promotion."""

    PASS = "Pass"  # noqa: S105
    HARM = "Harm"
    UNDECIDED = "Undecided"
    NO_DATA = "NoData"
    ERROR = "Error"


class StatusModel(Model):
    """Status read back from a cluster may be a newer version's: unknown fields are dropped."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True
    )


class Revision(StatusModel):
    """A model version: what makes its pods differ from another's."""

    revision: str
    predictor: str
    images: list[str] = Field(default_factory=list)


class StepStatus(StatusModel):
    """The step in progress; `progress` is for people: "2/3". Times are RFC 3339."""

    index: int
    weight: int
    total: int = 0
    progress: str = ""
    started_at: str | None = None
    verified_at: str | None = None
    hold_until: str | None = None


class TrafficStatus(StatusModel):
    """Shares by predictor name, %. `observed` is what the gateway was seen to have."""

    desired: dict[str, int] = Field(default_factory=dict)
    observed: dict[str, int] | None = None
    verified_at: str | None = None


class CheckStatus(StatusModel):
    """One check's answer with its numbers.

    `evidence` and `needed` are log10 of the e-value and of its threshold, for the direction named
    by `toward` (promotion or rollback). `candidate` and `stable` are the measured values.
    `stable_left` is there before a blue-green switch while the stable is seen: how many of its
    requests are missing until its past can be compared with.
    """

    name: str
    verdict: Verdict
    reason: str = ""
    message: str = ""
    candidate: float | None = None
    stable: float | None = None
    evidence: float | None = None
    needed: float | None = None
    harm_evidence: float | None = None
    harm_needed: float | None = None
    candidate_samples: int = 0
    stable_samples: int = 0
    requests_left: int | None = None
    stable_left: int | None = None


class ShadowStatus(StatusModel):
    """The candidate as a shadow: copies of requests, answers for nobody.

    `verified_at` is when the gateway was first seen to copy, `ended_at` when the candidate was made
    an ordinary predictor again. `promote`: by command it goes straight to all traffic after that.
    """

    percent: int
    started_at: str
    verified_at: str | None = None
    hold_until: str | None = None
    ended_at: str | None = None
    promote: bool | None = None


class FreezeStatus(StatusModel):
    """Seldon does not write the VirtualService while this Deployment is not whole."""

    deployment: str
    predictor: str
    message: str
    since: str
    count: int = 1
    announced: bool = False


class PauseStatus(StatusModel):
    """Why the rollout does not progress. Harm still rolls back."""

    reason: str
    message: str
    since: str


class CommandStatus(StatusModel):
    """The last one-shot command and what became of it."""

    id: str
    command: str
    accepted: bool
    message: str = ""
    at: str = ""


class HistoryEntry(StatusModel):
    """One ended rollout."""

    revision: str
    predictor: str
    images: list[str] = Field(default_factory=list)
    outcome: str
    reason: str
    message: str
    started_at: str | None = None
    ended_at: str | None = None
    source: dict[str, str] = Field(default_factory=dict)
    checks: list[CheckStatus] = Field(default_factory=list)


class Condition(StatusModel):
    """A condition as kstatus reads them."""

    type: str
    status: str
    reason: str
    message: str = ""
    observed_generation: int | None = None
    last_transition_time: str = ""


class Checkpoint(StatusModel):
    """The evidence at one moment, so that a restart neither loses nor repeats a verdict.

    `at` is the Unix time of the last metrics read that is contained, `state` the evidence as
    base64 (its layout is private to `sluice.evidence`), `key` which comparison it belongs to.
    """

    at: float
    key: str
    state: str


class RolloutStatus(StatusModel):
    """The whole status."""

    observed_generation: int | None = None
    phase: Phase = Phase.IDLE
    message: str = ""
    verdict: Verdict | None = None
    stable: Revision | None = None
    candidate: Revision | None = None
    rejected: Revision | None = None
    step: StepStatus | None = None
    phase_started_at: str | None = None
    started_at: str | None = None
    ready_at: str | None = None
    traffic: TrafficStatus = Field(default_factory=TrafficStatus)
    shadow: ShadowStatus | None = None
    preview: str | None = None
    checks: list[CheckStatus] = Field(default_factory=list)
    pause: PauseStatus | None = None
    freeze: FreezeStatus | None = None
    last_command: CommandStatus | None = None
    rollback_reason: str | None = None
    policy: str | None = None
    adopted: bool | None = None
    checkpoint: Checkpoint | None = None
    history: list[HistoryEntry] = Field(default_factory=list)
    conditions: list[Condition] = Field(default_factory=list)

    def condition(self, kind: str) -> Condition | None:
        """The condition of that type, or None."""
        return next((c for c in self.conditions if c.type == kind), None)

    def to_wire(self) -> dict[str, Any]:
        """As it is written to the API server."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)
