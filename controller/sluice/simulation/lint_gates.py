"""What is wrong with the gates of a ModelRollout, or with going back without steps."""

from __future__ import annotations

from urllib.parse import urlsplit

from sluice.api.gates import Window
from sluice.api.policy import CanaryPolicySpec
from sluice.api.rollout import RolloutSpec
from sluice.engine.windows import is_open
from sluice.errors import UnknownZoneError
from sluice.simulation.findings import Finding, Level

_INTERNAL = (".svc", ".svc.cluster.local")


def lint_gates(
    namespace: str, name: str, spec: RolloutSpec, policy: CanaryPolicySpec | None
) -> list[Finding]:
    """Findings about `spec.gates` and `spec.rollbackWindow`; `policy` None: it is not known."""
    found = [
        finding
        for number, window in enumerate(spec.gates.windows)
        if (finding := _window(f"spec.gates.windows[{number}]", window))
    ]
    for number, ref in enumerate(spec.gates.promoted_in):
        if (ref.namespace or namespace, ref.name) == (namespace, name):
            where = f"spec.gates.promotedIn[{number}]"
            what = "the rollout waits for itself, and never starts"
            found.append(Finding(Level.ERROR, where, what, "name the rollout that goes first"))
    for number, webhook in enumerate(spec.gates.webhooks):
        parts = urlsplit(webhook.url)
        if parts.scheme == "http" and not (parts.hostname or "").endswith(_INTERNAL):
            what = f"{parts.hostname} is asked by http from outside the cluster's services"
            fix = "use https, or start the controller with --webhook-allow-host for it"
            found.append(Finding(Level.WARNING, f"spec.gates.webhooks[{number}].url", what, fix))
    blind = policy and policy.bake_weight == 100 and not any(c.limit for c in policy.checks)
    if spec.rollback_window.revisions and blind:
        what = "without steps and bakeHoldback nothing is compared, and no check has a limit"
        fix = "set bakeHoldback, or add a check with an absolute limit"
        found.append(Finding(Level.WARNING, "spec.rollbackWindow", what, fix))
    return found


def _window(where: str, window: Window) -> Finding | None:
    try:
        is_open(window, 0.0)
    except UnknownZoneError as error:
        what, _, fix = str(error).partition(": ")
        return Finding(Level.ERROR, f"{where}.timeZone", what, fix)
    return None
