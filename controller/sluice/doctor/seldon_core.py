"""Seldon Core: its CRD, its operator and its webhook, and that it is version 1."""

from __future__ import annotations

from dataclasses import dataclass

from sluice.doctor.findings import Finding, error, note, ok, warning
from sluice.doctor.reading import Object, Reading, name_of
from sluice.errors import ApiError
from sluice.resources import (
    CRDS,
    DEPLOYMENTS,
    SELDON_DEPLOYMENTS,
    VALIDATING_WEBHOOKS,
    Resource,
)

GROUP = SELDON_DEPLOYMENTS.group
V2_MODELS = Resource("mlops.seldon.io", "v1alpha1", "models", "Model")
SELECTOR = "control-plane=seldon-controller-manager"
NAME = "seldon-controller-manager"
USUAL_NAMESPACES = ("seldon-system", "seldon")
INSTALL = "install Seldon Core v1 (chart seldon-core-operator 1.x) with istio.enabled=true"
DEFAULT_GATEWAY = "istio-system/seldon-gateway"


@dataclass(frozen=True)
class Operator:
    """The operator's Deployment, and its settings that concern Sluice."""

    deployment: Object
    environment: dict[str, str]
    image: str

    @property
    def version(self) -> str:
        """Its image's tag, else its label; "" if neither tells."""
        tag = self.image.rpartition("/")[2].partition("@")[0].partition(":")[2]
        labels = self.deployment["metadata"].get("labels") or {}
        return (tag or str(labels.get("app.kubernetes.io/version") or "")).removeprefix("v")

    @property
    def controller_id(self) -> str:
        """SeldonDeployments labelled with another one are not its business."""
        return self.environment.get("CONTROLLER_ID", "")

    @property
    def gateway(self) -> str:
        """The gateway of SeldonDeployments that name none, as namespace/name."""
        return self.environment.get("ISTIO_GATEWAY") or DEFAULT_GATEWAY


def find_operator(reading: Reading) -> Operator | None:
    """The operator of version 1, by its label, else by its usual name and place."""
    found = reading.list(DEPLOYMENTS, None, labels=SELECTOR)
    if found is None:
        # Not everywhere: then where it usually is.
        found = [
            one
            for space in USUAL_NAMESPACES
            for one in reading.list(DEPLOYMENTS, space, labels=SELECTOR) or []
        ]
    return _operator(found[0]) if found else None


def _operator(deployment: Object) -> Operator:
    pod = deployment["spec"].get("template", {}).get("spec") or {}
    containers = pod.get("containers") or [{}]
    manager = next((c for c in containers if c.get("name") == "manager"), containers[0])
    environment = {e["name"]: str(e.get("value") or "") for e in manager.get("env") or []}
    return Operator(deployment, environment, str(manager.get("image") or ""))


def check(reading: Reading, operator: Operator | None) -> list[Finding]:
    """Whether version 1 is there and at work."""
    version_one, finding = _served(reading)
    findings = [finding]
    if not version_one:
        return findings
    if operator is None:
        findings.append(
            note(
                "SeldonOperatorNotFound",
                f"no Deployment with the label {SELECTOR} can be seen: another name, another "
                "label, or no right to see it",
                "",
                "kubectl get deploy -A | grep -i seldon",
            )
        )
    else:
        findings += _at_work(operator)
    return [*findings, *_webhook(reading)]


def _served(reading: Reading) -> tuple[bool, Finding]:
    try:
        one = reading.client.serves(SELDON_DEPLOYMENTS)
        two = reading.client.serves(V2_MODELS)
    except ApiError as failure:
        return True, note("SeldonUnknown", f"whether Seldon is served is not known: {failure}")
    where = f"{SELDON_DEPLOYMENTS.qualified}"
    if one:
        also = " (Seldon Core v2 is there too, and not Sluice's)" if two else ""
        return True, ok("SeldonServed", f"SeldonDeployment is served as {GROUP}/v1{also}", where)
    if two:
        return False, error(
            "SeldonV2",
            "this is Seldon Core v2 (mlops.seldon.io), which has no SeldonDeployment: Sluice works "
            "with v1",
            V2_MODELS.qualified,
            INSTALL + " beside it",
        )
    crd, known = reading.get(CRDS, SELDON_DEPLOYMENTS.qualified)
    if known and crd is not None:
        versions = ", ".join(v["name"] for v in crd["spec"]["versions"] if v.get("served"))
        return False, error(
            "SeldonOld",
            f"SeldonDeployment is served as {versions or 'nothing'}, expected v1",
            where,
            "upgrade Seldon Core to 1.2 or later",
        )
    return False, error("SeldonMissing", "the kind SeldonDeployment is not served", where, INSTALL)


def _at_work(operator: Operator) -> list[Finding]:
    where = name_of(operator.deployment)
    meta = operator.deployment["metadata"]
    ready = int((operator.deployment.get("status") or {}).get("readyReplicas") or 0)
    findings = []
    version = operator.version
    if version.startswith("2."):
        findings.append(
            error("SeldonV2", f"the operator is {version}, Sluice works with 1.x", where, INSTALL)
        )
    elif not version.startswith("1."):
        findings.append(
            note("SeldonVersionUnknown", f"its version cannot be told from {operator.image}", where)
        )
    if ready:
        findings.append(ok("SeldonOperatorReady", f"{operator.image} is ready", where))
    else:
        findings.append(
            error(
                "SeldonOperatorNotReady",
                "no replica is ready: every write to a SeldonDeployment is refused, and no traffic "
                "is shifted",
                where,
                f"kubectl -n {meta['namespace']} describe pods -l {SELECTOR}",
            )
        )
    if operator.controller_id:
        findings.append(
            note(
                "SeldonControllerId",
                f"it only works on SeldonDeployments with the label "
                f"seldon.io/controller-id={operator.controller_id}",
                where,
                "put that label into the templates of ModelRollouts",
            )
        )
    if watched := operator.environment.get("WATCH_NAMESPACE"):
        findings.append(
            note("SeldonWatchesOneNamespace", f"it only works in namespace {watched}", where)
        )
    return findings


def _webhook(reading: Reading) -> list[Finding]:
    configurations = reading.list(VALIDATING_WEBHOOKS)
    if configurations is None:
        return []
    for configuration in configurations:
        for hook in configuration.get("webhooks") or []:
            if any(GROUP in (rule.get("apiGroups") or []) for rule in hook.get("rules") or []):
                policy = hook.get("failurePolicy", "Fail")
                what = f"Seldon's webhook is registered (failurePolicy {policy})"
                return [ok("SeldonWebhook", what, name_of(configuration))]
    return [
        warning(
            "SeldonWebhookMissing",
            "no validating webhook for SeldonDeployments: wrong ones are stored and end in Failed",
            VALIDATING_WEBHOOKS.qualified,
            "install Seldon's chart with its webhook",
        )
    ]
