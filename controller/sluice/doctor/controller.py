"""The controller: deployed, ready, of this release, and led by somebody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sluice._version import __version__
from sluice.doctor.findings import Finding, error, note, ok, warning
from sluice.doctor.reading import Object, Reading, name_of
from sluice.doctor.server import SKEW_SECONDS
from sluice.kube.rbac import Account
from sluice.resources import DEPLOYMENTS, LEASES

SELECTOR = "app.kubernetes.io/name=sluice,app.kubernetes.io/component=controller"
INSTALL = "kubectl apply -k manifests (helm: helm install sluice charts/sluice -n sluice-system)"
LEASE = "sluice-controller"


@dataclass(frozen=True)
class Settings:
    """What the controller was told by its arguments; what it was not has its defaults."""

    prometheus_url: str = ""
    dialect: str = ""
    namespace_label: str = ""
    pod_label: str = ""
    pulse: float | None = None
    namespaces: tuple[str, ...] = ()


@dataclass(frozen=True)
class Found:
    """The controller as deployed; without one, the defaults of the shipped manifests.

    `known` False: whether it is there could not be seen.
    """

    namespace: str
    deployment: Object | None = None
    settings: Settings = field(default_factory=Settings)
    account: str = "sluice-controller"
    lease_namespace: str = ""
    known: bool = True

    @property
    def service_account(self) -> Account:
        """Whose rights count."""
        return Account(self.namespace, self.account)


def find(reading: Reading, namespace: str) -> tuple[Found, list[Finding]]:
    """Look for the controller's Deployment: everywhere, else in `namespace` alone."""
    found = reading.list(DEPLOYMENTS, None, labels=SELECTOR)
    if found is None:
        found = reading.list(DEPLOYMENTS, namespace, labels=SELECTOR)
    if found is None:
        return Found(namespace, lease_namespace=namespace, known=False), []
    if not found:
        missing = error(
            "ControllerMissing",
            f"no Deployment with the labels {SELECTOR}",
            f"namespace {namespace}",
            INSTALL,
        )
        return Found(namespace, lease_namespace=namespace), [missing]
    found = sorted(found, key=lambda d: d["metadata"]["namespace"] != namespace)
    findings = []
    if len(found) > 1:
        findings.append(
            warning(
                "SeveralControllers",
                f"{len(found)} Deployments of the controller: {', '.join(map(name_of, found))}; "
                "unless each watches a namespace of its own they undo each other's work",
                name_of(found[1]),
                "keep one, or give each its own --namespace",
            )
        )
    return _read(found[0]), findings


def _read(deployment: Object) -> Found:
    pod = deployment["spec"].get("template", {}).get("spec") or {}
    container = _container(pod)
    arguments = [*(container.get("command") or []), *(container.get("args") or [])]
    environment = {e["name"]: e.get("value") or "" for e in container.get("env") or []}
    given = parse_arguments(arguments)
    namespace = deployment["metadata"]["namespace"]
    settings = Settings(
        prometheus_url=given.get("--prometheus-url")
        or environment.get("SLUICE_PROMETHEUS_URL", ""),
        dialect=given.get("--dialect") or environment.get("SLUICE_DIALECT", ""),
        namespace_label=given.get("--namespace-label", ""),
        pod_label=given.get("--pod-label", ""),
        pulse=_number(given.get("--pulse", "")),
        namespaces=_namespaces(arguments),
    )
    return Found(
        namespace,
        deployment,
        settings,
        account=str(pod.get("serviceAccountName") or "default"),
        lease_namespace=given.get("--lease-namespace")
        or environment.get("POD_NAMESPACE")
        or namespace,
    )


def _container(pod: Object) -> Object:
    containers = pod.get("containers") or [{}]
    named = [c for c in containers if c.get("name") == "controller"]
    return dict((named or containers)[0])


def _namespaces(arguments: Sequence[str]) -> tuple[str, ...]:
    """The option may be repeated."""
    found = []
    for i, argument in enumerate(arguments):
        name, separator, value = argument.partition("=")
        if name in ("--namespace", "-n"):
            found.append(value if separator else "".join(arguments[i + 1 : i + 2]))
    return tuple(dict.fromkeys(name for name in found if name))


def parse_arguments(arguments: Sequence[str]) -> dict[str, str]:
    """Options and their values, written as --name=value or --name value; the last one counts."""
    given: dict[str, str] = {}
    for i, argument in enumerate(arguments):
        name, separator, value = argument.partition("=")
        if not name.startswith("-"):
            continue
        following = arguments[i + 1] if i + 1 < len(arguments) else ""
        given[name] = value if separator else ("" if following.startswith("-") else following)
    return given


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def check(found: Found) -> list[Finding]:
    """Its Deployment's readiness and release."""
    deployment = found.deployment
    if deployment is None:
        return []
    where = name_of(deployment)
    return [_ready(deployment, where), _release(deployment, where)]


def _ready(deployment: Object, where: str) -> Finding:
    meta = deployment["metadata"]
    wanted = int(deployment["spec"].get("replicas", 1))
    ready = int((deployment.get("status") or {}).get("readyReplicas") or 0)
    logs = f"kubectl -n {meta['namespace']} logs deploy/{meta['name']} --tail=50"
    if wanted == 0:
        scale = f"kubectl -n {meta['namespace']} scale deploy/{meta['name']} --replicas=2"
        return error("ControllerScaledDown", "is scaled to 0 replicas", where, scale)
    if ready == 0:
        return error("ControllerNotReady", f"none of {wanted} replicas is ready", where, logs)
    if ready < wanted:
        return warning(
            "ControllerPartlyReady", f"{ready} of {wanted} replicas are ready", where, logs
        )
    return ok("ControllerReady", f"{ready} of {wanted} replicas are ready", where)


def _release(deployment: Object, where: str) -> Finding:
    pod = deployment["spec"].get("template", {}).get("spec") or {}
    image = str(_container(pod).get("image") or "")
    labels = deployment["metadata"].get("labels") or {}
    tag = image.rpartition("/")[2].partition("@")[0].partition(":")[2]
    version = tag or str(labels.get("app.kubernetes.io/version") or "")
    if not version:
        return note(
            "ControllerVersionUnknown",
            f"its image {image} has no tag; this command is {__version__}",
            where,
            f"kubectl -n {deployment['metadata']['namespace']} exec "
            f"deploy/{deployment['metadata']['name']} -- sluice version",
        )
    if version.removeprefix("v") != __version__:
        return warning(
            "ControllerOtherVersion",
            f"its image is {image}, this command is {__version__}: what it says of CRDs and rights "
            "is about its own release",
            where,
            "use the same release for both",
        )
    return ok("ControllerVersion", f"its image is {image}, as this command", where)


def check_lease(reading: Reading, found: Found, now: float) -> list[Finding]:
    """Who leads, and whether it still does. `now`: Unix time, by the API server's clock."""
    namespace = found.lease_namespace or found.namespace
    lease, known = reading.get(LEASES, LEASE, namespace)
    if not known:
        return []
    where = f"Lease {namespace}/{LEASE}"
    logs = f"kubectl -n {found.namespace} logs deploy/sluice-controller --tail=50"
    spec: dict[str, Any] = (lease or {}).get("spec") or {}
    holder = str(spec.get("holderIdentity") or "")
    lasts = float(spec.get("leaseDurationSeconds") or 15)
    # A new controller waits as long as a former one's Lease lasts, counted from its own first look.
    up_for = _available_for(found.deployment, now)
    soon = 2 * lasts + SKEW_SECONDS
    pending = note(
        "LeaderPending",
        f"the controller is ready for {max(up_for or 0, 0):.0f} s, and nobody leads yet: that may "
        f"take {soon:.0f} s where another one led before",
        where,
        "sluice doctor, in a moment",
    )
    if not holder:
        if found.deployment is None:
            return []
        if up_for is not None and up_for < soon:
            return [pending]
        what = "there is no Lease" if lease is None else "nobody holds the Lease"
        return [error("NobodyLeads", f"{what}: no controller works", where, logs)]
    renewed = _unix(spec.get("renewTime"))
    if renewed is None:
        return [warning("LeaseUnreadable", f"held by {holder}, without a time", where, logs)]
    age = now - renewed
    if age < -SKEW_SECONDS:
        return [
            warning(
                "LeaseInTheFuture",
                f"{holder} renewed it {-age:.0f} s in the future: the clock of its node is ahead "
                "of the API server's, and holds and bakes are timed by it",
                where,
                "set that node's clock (NTP)",
            )
        ]
    if age > lasts + SKEW_SECONDS:
        if up_for is not None and up_for < soon:
            return [pending]
        return [
            error(
                "LeaseStale",
                f"{holder} renewed it {age:.0f} s ago, and it lasts {lasts:.0f} s: no controller "
                "works, or the clock of its node is behind",
                where,
                logs,
            )
        ]
    return [ok("LeaseFresh", f"{holder} leads, renewed {max(age, 0):.0f} s ago", where)]


def _available_for(deployment: Object | None, now: float) -> float | None:
    """Seconds since the Deployment became available; None if it is not, or that is unknown."""
    for condition in ((deployment or {}).get("status") or {}).get("conditions") or []:
        if condition.get("type") == "Available" and condition.get("status") == "True":
            since = _unix(condition.get("lastTransitionTime"))
            return None if since is None else now - since
    return None


def _unix(text: object) -> float | None:
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        return None
