"""Sluice's own CRDs: there, served, and in step with this release."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sluice.api.base import GROUP, VERSION
from sluice.api.crds import crds as shipped
from sluice.doctor.findings import Finding, error, note, ok
from sluice.doctor.reading import Object, Reading
from sluice.errors import ApiError
from sluice.resources import CRDS, Resource

APPLY = "kubectl apply --server-side -f manifests/crds"
SHOWN = 6


def check(reading: Reading) -> list[Finding]:
    """One finding for each of Sluice's CRDs."""
    findings = []
    for expected in shipped().values():
        name = expected["metadata"]["name"]
        found, known = reading.get(CRDS, name)
        if not known:
            findings.append(_by_discovery(reading, expected))
        elif found is None:
            findings.append(error("CrdMissing", "this CRD is not installed", name, APPLY))
        else:
            findings += _compared(name, expected, found)
    return findings


def _by_discovery(reading: Reading, expected: Object) -> Finding:
    """For those who may not read CRDs: discovery is open to everybody."""
    names = expected["spec"]["names"]
    name = expected["metadata"]["name"]
    kind = Resource(GROUP, VERSION, names["plural"], names["kind"])
    try:
        served = reading.client.serves(kind)
    except ApiError as failure:
        return note("CrdUnknown", f"whether it is served is not known: {failure}", name)
    if served:
        return ok(
            "CrdServed", f"{name} is served as {VERSION} (its fields were not compared)", name
        )
    return error("CrdMissing", f"is not served as {GROUP}/{VERSION}", name, APPLY)


def _compared(name: str, expected: Object, found: Object) -> list[Finding]:
    conditions = (found.get("status") or {}).get("conditions") or []
    said = {c.get("type"): c for c in conditions}
    established = said.get("Established") or {}
    if established.get("status") != "True":
        reason = (said.get("NamesAccepted") or established).get("message") or "no reason given"
        return [
            error(
                "CrdNotEstablished",
                f"the API server has not established it: {reason}",
                name,
                f"kubectl describe crd {name}",
            )
        ]
    served = {v["name"]: v for v in found["spec"]["versions"] if v.get("served")}
    if VERSION not in served:
        return [
            error(
                "CrdVersionNotServed",
                f"is served as {', '.join(served) or 'nothing'}, expected {VERSION}",
                name,
                APPLY,
            )
        ]
    ours = expected["spec"]["versions"][0]
    missing = list(missing_fields(_schema(ours), _schema(served[VERSION])))
    if missing:
        return [
            error(
                "CrdOutdated",
                f"lacks {_some(missing)} of this release: the API server drops or refuses them",
                name,
                APPLY,
            )
        ]
    if "subresources" in ours and "status" not in (served[VERSION].get("subresources") or {}):
        return [error("CrdOutdated", "lacks the status subresource", name, APPLY)]
    if more := list(missing_fields(_schema(served[VERSION]), _schema(ours))):
        return [
            note(
                "CrdNewer",
                f"has {_some(more)} that this release does not know: a newer one is installed",
                name,
                "run the `sluice` command of the release that is installed",
            )
        ]
    return [
        ok("CrdInStep", f"is established, served as {VERSION}, in step with this release", name)
    ]


def _schema(version: Object) -> Object:
    return dict((version.get("schema") or {}).get("openAPIV3Schema") or {})


def missing_fields(expected: Any, found: Any, path: str = "") -> Iterator[str]:
    """Paths of fields, and values of enums, that `expected` has and `found` has not."""
    open_ended = found.get("x-kubernetes-preserve-unknown-fields") and not found.get("properties")
    if open_ended and path:
        return
    theirs = found.get("properties") or {}
    for name, schema in (expected.get("properties") or {}).items():
        here = f"{path}.{name}"
        if name not in theirs:
            yield here
        else:
            yield from missing_fields(schema, theirs[name], here)
    for keyword, mark in (("items", "[]"), ("additionalProperties", ".*")):
        if isinstance(expected.get(keyword), dict) and isinstance(found.get(keyword), dict):
            yield from missing_fields(expected[keyword], found[keyword], path + mark)
    if found.get("enum"):
        for value in expected.get("enum") or []:
            if value not in found["enum"]:
                yield f"{path}={value}"


def _some(paths: list[str]) -> str:
    shown = ", ".join(paths[:SHOWN])
    return shown if len(paths) <= SHOWN else f"{shown} and {len(paths) - SHOWN} more"
