"""The API server: is it there, how old is it, and what time does it have."""

from __future__ import annotations

from dataclasses import dataclass

from sluice.doctor.findings import Finding, error, note, ok, warning
from sluice.errors import ApiError, ForbiddenError
from sluice.kube.client import Client

OLDEST_MINOR = 29
"""Rules in CRDs (CEL), which Sluice's have, are final from 1.29 on."""
SKEW_SECONDS = 5.0


@dataclass(frozen=True)
class Server:
    """What was learnt. `ahead`: seconds by which its clock is before ours; None: unknown."""

    reachable: bool
    ahead: float | None = None


def check(client: Client, now: float) -> tuple[Server, list[Finding]]:
    """Ask the API server for its version. `now`: this machine's Unix time."""
    try:
        version, clock = client.version()
    except ForbiddenError as refused:
        return Server(False), [
            error(
                "ApiServerRefuses",
                str(refused),
                client.server,
                "log in again, or give another --kubeconfig or --context",
            )
        ]
    except ApiError as failure:
        return Server(False), [
            error("ApiServerUnreachable", str(failure), client.server, "kubectl cluster-info")
        ]
    findings = [_version(version, client.server)]
    ahead = None if clock is None else clock - now
    if ahead is not None and abs(ahead) > SKEW_SECONDS:
        direction = "behind" if ahead > 0 else "ahead of"
        findings.append(
            warning(
                "ClockSkew",
                f"this machine's clock is {abs(ahead):.0f} s {direction} the API server's: ages "
                "are shown wrong here, and tokens may be refused",
                client.server,
                "timedatectl set-ntp true",
            )
        )
    return Server(True, ahead), findings


def _version(version: dict[str, str], where: str) -> Finding:
    found = str(version.get("gitVersion") or "of unknown version")
    digits = "".join(c for c in str(version.get("minor") or "") if c.isdigit())
    if not digits:
        return note("ApiServerVersion", f"the API server is {found}", where)
    if version.get("major") == "1" and int(digits) < OLDEST_MINOR:
        return warning(
            "ApiServerOld",
            f"the API server is {found}; the rules in Sluice's CRDs need 1.{OLDEST_MINOR}",
            where,
            "upgrade Kubernetes",
        )
    return ok("ApiServerReachable", f"the API server is {found}", where)
