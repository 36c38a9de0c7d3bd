"""ModelRollout: what to serve and how careful to be."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sluice.api.base import Model
from sluice.api.policy import CanaryPolicySpec
from sluice.api.status import RolloutStatus
from sluice.api.strategy import Canary, Strategy
from sluice.errors import SpecError

POLICY_KIND = "CanaryPolicy"
CLUSTER_POLICY_KIND = "ClusterCanaryPolicy"
COMMAND_ANNOTATION = "sluice.dev/command"


class DeletionPolicy(StrEnum):
    """What becomes of the SeldonDeployment when the ModelRollout is deleted."""

    DELETE = "Delete"
    ORPHAN = "Orphan"


class OpenModel(BaseModel):
    """A part that belongs to Seldon: unknown fields are kept as they are."""

    model_config = ConfigDict(extra="allow", frozen=True)


class TemplateMetadata(OpenModel):
    """Labels and annotations for the SeldonDeployment."""

    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


class TemplatePredictor(OpenModel):
    """The one predictor. Its name and traffic are Sluice's to set."""

    name: str | None = None
    graph: dict[str, Any]
    componentSpecs: list[dict[str, Any]] = Field(default_factory=list, max_length=20)  # noqa: N815
    replicas: int | None = Field(default=None, ge=1)


class TemplateSpec(OpenModel):
    """A SeldonDeployment's spec with exactly one predictor."""

    predictors: list[TemplatePredictor] = Field(min_length=1, max_length=1)


class Template(OpenModel):
    """A SeldonDeployment: paste your own here."""

    metadata: TemplateMetadata = Field(default_factory=TemplateMetadata)
    spec: TemplateSpec


class PolicyRef(Model):
    """Which policy judges."""

    kind: str = Field(
        default=CLUSTER_POLICY_KIND, pattern=f"^({POLICY_KIND}|{CLUSTER_POLICY_KIND})$"
    )
    name: str = Field(min_length=1, max_length=253)


class RolloutSpec(Model):
    """What the user wants."""

    template: Template
    seldon_deployment_name: str | None = Field(
        default=None, min_length=1, max_length=50, pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$"
    )
    strategy: Strategy = Field(default_factory=lambda: Strategy(canary=Canary()))
    policy_ref: PolicyRef | None = None
    source: dict[str, str] = Field(default_factory=dict)
    paused: bool = False
    progress_deadline_seconds: int = Field(default=600, ge=1, le=86400)
    revision_history_limit: int = Field(default=10, ge=0, le=50)
    deletion_policy: DeletionPolicy | None = None

    @model_validator(mode="after")
    def _no_traffic(self) -> RolloutSpec:
        extra = self.template.spec.predictors[0].model_extra or {}
        for field in ("traffic", "shadow"):
            if extra.get(field):
                raise ValueError(
                    f"spec.template.spec.predictors[0].{field} must be left out: Sluice sets it"
                )
        return self


class Rollout(BaseModel):
    """A ModelRollout as read from the API server, with what the controller needs of it."""

    model_config = ConfigDict(frozen=True)

    name: str
    namespace: str
    uid: str
    generation: int
    resource_version: str
    annotations: dict[str, str]
    deleting: bool
    spec: RolloutSpec
    raw_template: dict[str, Any]
    status: RolloutStatus

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"

    @property
    def deployment_name(self) -> str:
        """The SeldonDeployment's name."""
        return self.spec.seldon_deployment_name or self.name


def parse_rollout(obj: dict[str, Any]) -> Rollout:
    """The typed rollout of a Kubernetes object. Raises SpecError("InvalidSpec", …)."""
    meta = obj.get("metadata", {})
    try:
        spec = RolloutSpec.model_validate(obj.get("spec") or {})
    except ValidationError as error:
        raise SpecError("InvalidSpec", explain(error, "spec")) from error
    try:
        status = RolloutStatus.model_validate(obj.get("status") or {})
    except ValidationError as error:
        raise SpecError(
            "UnreadableStatus", explain(error, "status") + "; delete the status to start afresh"
        ) from error
    return Rollout(
        name=meta.get("name", ""),
        namespace=meta.get("namespace", ""),
        uid=meta.get("uid", ""),
        generation=meta.get("generation", 0),
        resource_version=meta.get("resourceVersion", ""),
        annotations=meta.get("annotations") or {},
        deleting="deletionTimestamp" in meta,
        spec=spec,
        raw_template=obj["spec"]["template"],
        status=status,
    )


def parse_policy(obj: dict[str, Any]) -> CanaryPolicySpec:
    """The typed spec of a (Cluster)CanaryPolicy object. Raises SpecError("InvalidPolicy", …)."""
    try:
        return CanaryPolicySpec.model_validate(obj.get("spec") or {})
    except ValidationError as error:
        name = obj.get("metadata", {}).get("name", "")
        raise SpecError("InvalidPolicy", f"policy {name!r}: {explain(error, 'spec')}") from error


def explain(error: ValidationError, root: str) -> str:
    """One sentence per mistake: where, what was expected, what was found."""
    sentences = []
    for item in error.errors(include_url=False):
        where = root
        for part in item["loc"]:
            where += f"[{part}]" if isinstance(part, int) else f".{part}"
        text = item["msg"].removeprefix("Value error, ")
        found = item.get("input")
        shown = f" (found {found!r})" if isinstance(found, str | int | float | bool) else ""
        sentences.append(f"{where}: {text}{shown}")
    return "; ".join(sentences)
