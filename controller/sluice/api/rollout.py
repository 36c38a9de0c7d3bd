"""ModelRollout: what to serve and how careful to be."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sluice.api.base import Model
from sluice.api.gates import Gates, RollbackWindow
from sluice.api.monitoring import Monitoring
from sluice.api.policy import CanaryPolicySpec
from sluice.api.preflight import Preflight
from sluice.api.status import RolloutStatus
from sluice.api.strategy import Canary, Strategy
from sluice.errors import SpecError

POLICY_KIND = "CanaryPolicy"
CLUSTER_POLICY_KIND = "ClusterCanaryPolicy"
COMMAND_ANNOTATION = "sluice.dev/command"
CHANGED_BY_ANNOTATION = "sluice.dev/changed-by"
CHANGE_CAUSE_ANNOTATION = "kubernetes.io/change-cause"
# Where the controller's copies keep what it needs of managedFields, which are large.
SPEC_MANAGER_KEY = "specManager"
_LONGEST_NOTE = 200
_LONGEST_PREFIX = 240  # of the 253 characters of a name


class DeletionPolicy(StrEnum):
    """What becomes of the SeldonDeployment when the ModelRollout is deleted."""

    DELETE = "Delete"
    ORPHAN = "Orphan"


class OpenModel(BaseModel):
    """A part that belongs to Seldon: unknown fields are kept as they are."""

    model_config = ConfigDict(extra="allow", frozen=True)


class TemplateMetadata(OpenModel):
    """Labels and annotations for the SeldonDeployment."""

    labels: dict[str, str] = Field(
        default_factory=dict, description="Labels of the SeldonDeployment."
    )
    annotations: dict[str, str] = Field(
        default_factory=dict, description="Annotations of the SeldonDeployment."
    )


class TemplatePredictor(OpenModel):
    """The one predictor. Its name and traffic are Sluice's to set."""

    name: str | None = Field(
        default=None, description="Not used: Sluice names a predictor after its revision."
    )
    graph: dict[str, Any] = Field(description="Seldon's inference graph, as it is.")
    componentSpecs: list[dict[str, Any]] = Field(  # noqa: N815
        default_factory=list,
        max_length=20,
        description="Seldon's component specs, as they are: the pods with the graph's containers.",
    )
    replicas: int | None = Field(
        default=None,
        ge=1,
        description="Pods of the stable, and of a candidate. A change of it alone is no rollout.",
    )


class TemplateSpec(OpenModel):
    """A SeldonDeployment's spec with exactly one predictor."""

    predictors: list[TemplatePredictor] = Field(
        min_length=1, max_length=1, description="Exactly one: the version to serve."
    )


class Template(OpenModel):
    """A SeldonDeployment: paste your own here."""

    metadata: TemplateMetadata = Field(default_factory=TemplateMetadata)
    spec: TemplateSpec = Field(
        description="A SeldonDeployment's spec with exactly one predictor; the rest is kept as it "
        "is."
    )


class PolicyRef(Model):
    """Which policy judges."""

    kind: str = Field(
        default=CLUSTER_POLICY_KIND,
        pattern=f"^({POLICY_KIND}|{CLUSTER_POLICY_KIND})$",
        description=f"{POLICY_KIND} (in the rollout's namespace) or {CLUSTER_POLICY_KIND}.",
    )
    name: str = Field(min_length=1, max_length=253, description="The policy's name.")


class RolloutSpec(Model):
    """What the user wants."""

    template: Template = Field(
        description="The SeldonDeployment to keep, with the version to serve: paste your own here."
    )
    seldon_deployment_name: str | None = Field(
        default=None,
        min_length=1,
        max_length=50,
        pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$",
        description="The SeldonDeployment's name, for good; an existing one is adopted without a "
        "restart. Default: metadata.name.",
    )
    strategy: Strategy = Field(
        default_factory=lambda: Strategy(canary=Canary()),
        description="How a new version comes in: canary or blueGreen. Default: a canary as the "
        "policy says.",
    )
    policy_ref: PolicyRef | None = Field(
        default=None,
        description="The policy that judges a candidate. Default: a built-in one that says the "
        "same as canary_policies/balanced.yaml.",
    )
    source: dict[str, str] = Field(
        default_factory=dict,
        description="Where this version comes from (a commit, a training run); kept in the "
        "history.",
    )
    preflight: Preflight | None = None
    gates: Gates = Field(default_factory=Gates)
    rollback_window: RollbackWindow = Field(default_factory=RollbackWindow)
    monitoring: Monitoring | None = Field(
        default=None,
        description="Watch the stable's inputs and answers, and retrain. Default: not watched.",
    )
    paused: bool = Field(
        default=False, description="Stop progressing; the weights stay, and harm still rolls back."
    )
    progress_deadline_seconds: int = Field(
        default=600,
        ge=1,
        le=86400,
        description="A candidate that is not ready after so many seconds is rolled back.",
    )
    revision_history_limit: int = Field(
        default=10, ge=0, le=50, description="How many ended rollouts status.history keeps."
    )
    deletion_policy: DeletionPolicy | None = Field(
        default=None,
        description="What becomes of the SeldonDeployment when the ModelRollout is deleted. "
        "Default: Delete. One that was adopted, or orphaned once, always stays.",
    )

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
    changed_by: str | None = None
    change_cause: str | None = None

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
        changed_by=changed_by(obj),
        change_cause=_short((meta.get("annotations") or {}).get(CHANGE_CAUSE_ANNOTATION)),
    )


def template_name(rollout: str, revision: str) -> str:
    """The ControllerRevision that keeps a revision's template. No StatefulSet's has a dot there."""
    return f"{rollout[:_LONGEST_PREFIX]}.{revision}"


def changed_by(obj: dict[str, Any]) -> str | None:
    """Who changed the spec last: the annotation, else the field manager (kubectl, argocd, ...).

    A field manager is a program's name, not a person's: set `sluice.dev/changed-by` for that.
    """
    meta = obj.get("metadata", {})
    said = (meta.get("annotations") or {}).get(CHANGED_BY_ANNOTATION)
    return _short(said) or obj.get(SPEC_MANAGER_KEY) or spec_manager(meta)


def spec_manager(meta: dict[str, Any]) -> str | None:
    """The field manager of the newest change to `spec`, of metadata.managedFields."""
    owners = [
        (str(entry.get("time", "")), str(entry.get("manager", "")))
        for entry in meta.get("managedFields") or ()
        if not entry.get("subresource") and "f:spec" in (entry.get("fieldsV1") or {})
    ]
    return max(owners)[1] or None if owners else None


def _short(text: str | None) -> str | None:
    return text[:_LONGEST_NOTE] if text else None


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
