"""The status of a SeldonDeployment: a pure function of what one pass saw and did.

There is no observedGeneration, and a condition that nothing has set yet keeps its old value: both
are as recorded, and both are why `Available` proves nothing about the latest spec.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from .desired import Desired
from .settings import Json

NO_PROGRESS = "Deployment is no longer progressing and not available."
_BOTH_NEEDED = ("Available", "Progressing")
_READINESS = ("DeploymentsReady", "ServicesReady", "HpasReady", "istioVirtualServicesReady")


class Told(NamedTuple):
    """What a condition says."""

    status: str
    reason: str = ""
    message: str = ""


_UNKNOWN = Told("Unknown")


@dataclass
class Findings:
    """What one pass saw and did.

    `replaced`: a Deployment was made or got a new pod template in this pass, so its status is not
    yet about it. `ready`: every Deployment is. `gone`: names of status entries whose objects do
    not exist any more. `failure` is the sentence of an error that ended the pass.
    """

    live_deployments: Mapping[str, Json] = field(default_factory=dict)
    service_made: bool = False
    replaced: bool = False
    hpas_written: bool = False
    routes_written: bool = False
    ready: bool = False
    gone_deployments: Iterable[str] = ()
    gone_services: Iterable[str] = ()
    failure: str = ""


def deployment_ready(deployment: Json) -> bool:
    """Whether a Deployment lets the VirtualService be written: some pod ready and none missing.

    Only the status is looked at, so one of an older generation counts too.
    """
    status = deployment.get("status") or {}
    return bool(status.get("readyReplicas")) and not status.get("unavailableReplicas")


def status_of(old: Json, desired: Desired, findings: Findings, now: str) -> Json:
    """The next status; `old` is the present one, `now` the time (RFC 3339) of what changes."""
    status: Json = {
        "address": {"url": desired.address},
        "deploymentStatus": _deployment_status(old, desired, findings),
        "serviceStatus": _service_status(old, desired, findings),
        "replicas": _replicas(old, desired, findings),
        "conditions": _conditions(old, desired, findings, now),
    }
    state, description = _state(desired, findings)
    status["state"] = state
    if description:
        status["description"] = description
    return {key: value for key, value in status.items() if value}


def _state(desired: Desired, findings: Findings) -> tuple[str, str]:
    if findings.failure:
        return "Failed", findings.failure
    for name in desired.deployment_names:
        conditions = _deployment_conditions(findings.live_deployments.get(name))
        if all(conditions.get(kind, _UNKNOWN).status == "False" for kind in _BOTH_NEEDED):
            return "Failed", NO_PROGRESS
    return ("Available" if findings.ready and not findings.service_made else "Creating"), ""


def _deployment_status(old: Json, desired: Desired, findings: Findings) -> Json:
    entries: Json = dict(old.get("deploymentStatus") or {})
    for name in findings.gone_deployments:
        entries.pop(name, None)
    for name in desired.deployment_names:
        live = findings.live_deployments.get(name)
        if live is not None and _counts(live) != (entries.get(name) or {}):
            entries[name] = _counts(live)
    return entries


def _replicas(old: Json, desired: Desired, findings: Findings) -> int:
    """The counted Deployment's number of pods, taken over only when its own entry changes.

    So after a promotion it still tells the old predictor's number.
    """
    before = int(old.get("replicas") or 0)
    live = findings.live_deployments.get(desired.counted)
    if live is None:
        return before
    entry = (old.get("deploymentStatus") or {}).get(desired.counted) or {}
    if _counts(live) == entry:
        return before
    return int((live.get("status") or {}).get("replicas") or 0)


def _counts(deployment: Json) -> Json:
    status = deployment.get("status") or {}
    return {key: status[key] for key in ("availableReplicas", "replicas") if status.get(key)}


def _service_status(old: Json, desired: Desired, findings: Findings) -> Json:
    entries: Json = dict(old.get("serviceStatus") or {})
    for name in findings.gone_services:
        entries.pop(name, None)
    for service in desired.services:
        name, namespace = service["metadata"]["name"], service["metadata"]["namespace"]
        ports = {port["name"]: port["port"] for port in service["spec"]["ports"]}
        entries[name] = {
            "svcName": name,
            "httpEndpoint": f"{name}.{namespace}:{ports['http']}",
            "grpcEndpoint": f"{name}.{namespace}:{ports['grpc']}",
        }
    return entries


def _conditions(old: Json, desired: Desired, findings: Findings, now: str) -> list[Json]:
    before = {entry["type"]: entry for entry in old.get("conditions") or []}
    told = {kind: _told_by(entry) for kind, entry in before.items()}
    if not findings.failure:
        told |= _told(desired, findings)
    told["Ready"] = _overall(told)
    return [_condition(kind, told[kind], before.get(kind), now) for kind in sorted(told)]


def _told(desired: Desired, findings: Findings) -> dict[str, Told]:
    told = {
        "KedaReady": Told("True", "No KEDA resources defined"),
        "PdbsReady": Told("True", "No PDBs defined"),
        "HpasReady": _hpas_ready(desired, findings),
    }
    deployments = _deployments_ready(desired, findings)
    if deployments is not None:
        told["DeploymentsReady"] = deployments
    if not findings.ready:
        told["ServicesReady"] = Told("False", "Not all services created")
        return told
    told["ServicesReady"] = Told("True", "All services created")
    # The reason is spelled as the real operator spells it.
    told["AmbassadorMappingsReady"] = Told("True", "No Ambassador Mappaings defined")
    told["istioVirtualServicesReady"] = (
        Told("False", "Not all VirtualServices created")
        if findings.routes_written
        else Told("True", "All VirtualServices created")
    )
    return told


def _hpas_ready(desired: Desired, findings: Findings) -> Told:
    if findings.hpas_written:
        return Told("False", "Not all HPAs created")
    return Told("True", "All HPAs created" if desired.hpas else "No HPAs defined")


def _deployments_ready(desired: Desired, findings: Findings) -> Told | None:
    """False as soon as one says so, True only if all do, otherwise nothing is said."""
    found = [
        _deployment_conditions(findings.live_deployments.get(name)).get("Available")
        for name in desired.deployment_names
    ]
    known = [available for available in found if available is not None]
    for available in known:
        if available.status != "True":
            return available
    return known[-1]._replace(message="") if known and len(known) == len(found) else None


def _deployment_conditions(deployment: Json | None) -> dict[str, Told]:
    status = (deployment or {}).get("status") or {}
    return {entry["type"]: _told_by(entry) for entry in status.get("conditions") or []}


def _overall(told: dict[str, Told]) -> Told:
    """The first that is not true, with its reason and message."""
    for kind in _READINESS:
        if told.get(kind, Told("True")).status != "True":
            return told[kind]._replace(status="False")
    return Told("True")


def _told_by(entry: Json) -> Told:
    return Told(entry["status"], entry.get("reason", ""), entry.get("message", ""))


def _condition(kind: str, told: Told, before: Json | None, now: str) -> Json:
    entry: Json = {"type": kind, "status": told.status}
    if told.reason:
        entry["reason"] = told.reason
    if told.message:
        entry["message"] = told.message
    changed = before is None or before["status"] != told.status
    entry["lastTransitionTime"] = now if changed else (before or {}).get("lastTransitionTime", now)
    return entry
