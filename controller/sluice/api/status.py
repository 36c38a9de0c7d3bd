"""`ModelRollout.status`: written by the controller alone, once per pass, only if it differs."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import Field

from sluice.api.base import StatusModel as StatusModel
from sluice.api.monitoring_status import MonitoringStatus
from sluice.api.preflight import PreflightStatus
from sluice.api.verdict import Verdict as Verdict


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


class Revision(StatusModel):
    """A model version: what makes its pods differ from another's.

    `digests` are the images' as its pods reported them when it was promoted or rolled back,
    `source` is where the spec said it comes from when its rollout began.
    """

    revision: str
    predictor: str
    images: list[str] = Field(default_factory=list)
    digests: dict[str, str] = Field(default_factory=dict)
    source: dict[str, str] = Field(default_factory=dict)


class StepStatus(StatusModel):
    """The step in progress; `progress` is for people: "2/3". Times are RFC 3339.

    `forced` is a person's wish to leave the step without its hold and evidence (`promote`, or
    `promote-full`), `released` that its manual pause was ended by `resume`, `gated` that the
    evidence let it go on and a gate did not.
    """

    index: int
    weight: int
    total: int = 0
    progress: str = ""
    started_at: str | None = None
    verified_at: str | None = None
    hold_until: str | None = None
    forced: str | None = None
    released: bool | None = None
    gated: bool | None = None


class TrafficStatus(StatusModel):
    """Shares by predictor name, %. `observed` is what the gateway was seen to have."""

    desired: dict[str, int] = Field(default_factory=dict)
    observed: dict[str, int] | None = None
    verified_at: str | None = None


class CheckStatus(StatusModel):
    """One check's answer with its numbers.

    `evidence` and `needed` are log10 of the e-value and of its threshold, for the direction named
    by `toward` (promotion or rollback). `candidate` and `stable` are the measured values.
    Of a check of answers `about` names the class or slice that the numbers are of: the worst.
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
    about: str | None = None


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


class GateState(StrEnum):
    """Only Open lets a rollout go on; Failed is a gate that cannot be looked at, or was denied."""

    OPEN = "Open"
    CLOSED = "Closed"
    FAILED = "Failed"


class GateStatus(StatusModel):
    """One gate of `spec.gates`, or the manual pause of a step, as last looked at.

    `at` is a webhook's moment, `question` names what it is asked (the same until the rollout has
    moved on), `attempt` how often it was answered, `asked_at` when the last answer came.
    """

    name: str
    state: GateState
    message: str = ""
    since: str
    at: str | None = None
    question: str | None = None
    attempt: int | None = None
    asked_at: str | None = None


class Trace(StatusModel):
    """One decision of a rollout: when, in which phase, why, and what the checks said."""

    at: str
    phase: Phase
    reason: str
    message: str = ""
    checks: str | None = None


class StoredTemplate(StatusModel):
    """A template kept as a ControllerRevision, for `sluice undo`.

    `number` is that of the rollout in the history that made it the stable; 0: the first version.
    """

    number: int
    revision: str
    at: str


class CommandStatus(StatusModel):
    """The last one-shot command and what became of it.

    `by` is who the client says gave it, `why` what that person wrote.
    """

    id: str
    command: str
    accepted: bool
    message: str = ""
    at: str = ""
    by: str | None = None
    why: str | None = None


class HistoryEntry(StatusModel):
    """One ended rollout. `number` counts them all, also those that are no longer kept.

    `replaced` is the stable's revision it was tried against, `changed_by` the field manager of
    the change that started it (or the annotation `sluice.dev/changed-by`), `change_cause` the
    annotation `kubernetes.io/change-cause`. `decisions` are the last ones, oldest first,
    `preflight` is how its answers compared, without details in older entries.
    """

    number: int | None = None
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
    replaced: str | None = None
    digests: dict[str, str] = Field(default_factory=dict)
    changed_by: str | None = None
    change_cause: str | None = None
    decisions: list[Trace] = Field(default_factory=list)
    preflight: PreflightStatus | None = None


class Condition(StatusModel):
    """A condition as kstatus reads them."""

    type: str
    status: str
    reason: str
    message: str = ""
    observed_generation: int | None = None
    last_transition_time: str = ""


class AnswersCheckpoint(StatusModel):
    """The same for checks of answers: `at` as there, `states` by check."""

    at: float
    states: dict[str, str] = Field(default_factory=dict)


class Checkpoint(StatusModel):
    """The evidence at one moment, so that a restart neither loses nor repeats a verdict.

    `at` is the Unix time of the last metrics read that is contained, `state` the evidence as
    base64 (its layout is private to `sluice.evidence`), `key` which comparison it belongs to.
    """

    at: float
    key: str
    state: str
    answers: AnswersCheckpoint | None = None


class RolloutStatus(StatusModel):
    """The whole status.

    `returning` says that the candidate was the stable lately and needs no steps
    (`spec.rollbackWindow`). `templates` are the stored ones, newest first. `restoring`: the
    SeldonDeployment was deleted, and the stable made again from its template is not ready yet.
    `preflight` is that of the newest rollout, and stays when it has ended.
    """

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
    preflight: PreflightStatus | None = None
    shadow: ShadowStatus | None = None
    preview: str | None = None
    switch_wanted: bool | None = None
    checks: list[CheckStatus] = Field(default_factory=list)
    pause: PauseStatus | None = None
    freeze: FreezeStatus | None = None
    gates: list[GateStatus] = Field(default_factory=list)
    last_command: CommandStatus | None = None
    rollback_reason: str | None = None
    returning: bool | None = None
    restoring: bool | None = None
    changed_by: str | None = None
    change_cause: str | None = None
    decisions: list[Trace] = Field(default_factory=list)
    templates: list[StoredTemplate] = Field(default_factory=list)
    policy: str | None = None
    adopted: bool | None = None
    checkpoint: Checkpoint | None = None
    history: list[HistoryEntry] = Field(default_factory=list)
    monitoring: MonitoringStatus | None = None
    conditions: list[Condition] = Field(default_factory=list)

    def condition(self, kind: str) -> Condition | None:
        """The condition of that type, or None."""
        return next((c for c in self.conditions if c.type == kind), None)

    def to_wire(self) -> dict[str, Any]:
        """As it is written to the API server."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)
