"""Istio: what Seldon splits the traffic with."""

from __future__ import annotations

from collections.abc import Iterable

from sluice.doctor.findings import Finding, error, note, ok, warning
from sluice.doctor.reading import Object, Reading, annotation, name_of
from sluice.doctor.seldon_core import DEFAULT_GATEWAY, Operator
from sluice.errors import ApiError
from sluice.resources import DESTINATION_RULES, GATEWAYS, VIRTUAL_SERVICES, Resource

GATEWAY = "seldon.io/istio-gateway"
MAPPINGS = (
    Resource("getambassador.io", "v2", "mappings", "Mapping"),
    Resource("getambassador.io", "v3alpha1", "mappings", "Mapping"),
)
SET_ISTIO = "--set istio.enabled=true --set istio.gateway=istio-system/seldon-gateway"


def check(reading: Reading, operator: Operator | None, deployments: list[Object]) -> list[Finding]:
    """Whether Seldon can split traffic here, and the gateways it splits it at."""
    try:
        missing = [
            kind
            for kind in (VIRTUAL_SERVICES, DESTINATION_RULES)
            if not reading.client.serves(kind)
        ]
        ambassador = any(reading.client.serves(kind) for kind in MAPPINGS)
    except ApiError as failure:
        return [note("IstioUnknown", f"whether Istio is there could not be found out: {failure}")]
    findings = []
    if missing:
        names = " and ".join(kind.qualified for kind in missing)
        also = "; Ambassador is here, but Sluice needs Istio" if ambassador else ""
        findings.append(
            error(
                "IstioMissing",
                f"{names} in v1 are not served: nothing splits the traffic{also}",
                "networking.istio.io/v1",
                "install Istio 1.22 or later: istioctl install",
            )
        )
    else:
        findings.append(ok("IstioServed", "VirtualService and DestinationRule are served as v1"))
    findings += _of_operator(operator)
    if not missing:
        findings += _gateways(reading, operator, deployments)
    return findings


def _of_operator(operator: Operator | None) -> list[Finding]:
    if operator is None or "ISTIO_ENABLED" not in operator.environment:
        return []
    istio = operator.environment["ISTIO_ENABLED"].lower() == "true"
    ambassador = operator.environment.get("AMBASSADOR_ENABLED", "").lower() == "true"
    where = name_of(operator.deployment)
    if istio:
        return [ok("SeldonUsesIstio", f"the operator writes routes of {operator.gateway}", where)]
    with_what = "Ambassador, which Sluice cannot steer" if ambassador else "nothing"
    return [
        error(
            "SeldonWithoutIstio",
            f"the operator splits traffic with {with_what}: Sluice needs Istio",
            where,
            f"helm upgrade seldon-core-operator --reuse-values {SET_ISTIO}",
        )
    ]


def _gateways(
    reading: Reading, operator: Operator | None, deployments: Iterable[Object]
) -> list[Finding]:
    default = operator.gateway if operator else DEFAULT_GATEWAY
    users: dict[tuple[str, str], list[str]] = {}
    for deployment in deployments:
        for named in (annotation(deployment, GATEWAY) or default).split(","):
            space, _, name = named.strip().rpartition("/")
            key = (space or deployment["metadata"]["namespace"], name)
            users.setdefault(key, []).append(name_of(deployment))
    if not users:
        space, _, name = default.rpartition("/")
        users[space or "istio-system", name] = []
    findings = []
    for (space, name), used_by in sorted(users.items()):
        if name == "mesh":
            continue
        gateway, known = reading.get(GATEWAYS, name, space)
        where = f"Gateway {space}/{name}"
        by = f" ({len(used_by)} SeldonDeployments use it)" if used_by else " (Seldon's default)"
        if gateway is not None:
            findings.append(ok("GatewayFound", f"is there{by}", where))
        elif known:
            level = error if used_by else warning
            findings.append(
                level(
                    "GatewayMissing",
                    f"does not exist{by}: no request from outside arrives",
                    where,
                    f"create it, or name another one with the annotation {GATEWAY}",
                )
            )
    return findings
