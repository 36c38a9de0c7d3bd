"""What is wrong with `spec.monitoring` of a ModelRollout though the API server takes it."""

from __future__ import annotations

from urllib.parse import urlsplit

from sluice.api.base import format_duration
from sluice.api.monitoring import Monitoring
from sluice.simulation.findings import Finding, Level

_DAY = 86_400.0
_INTERNAL = (".svc", ".svc.cluster.local")
# At a level of 0.9 the level's own uncertainty is then as large as the tolerance.
_LEVEL_Z = 1.645
_LEVEL = 0.9


def lint_monitoring(spec: Monitoring | None) -> list[Finding]:
    """Findings about the times, the level of the feedback and the webhooks."""
    if spec is None:
        return []
    found = []
    for name, watch in (("drift", spec.drift), ("decay", spec.decay)):
        if watch is not None and watch.learning < _DAY:
            where = f"spec.monitoring.{name}.learning"
            what = (
                f"within {format_duration(watch.learning)} the rhythm of the day is not seen, and "
                "may be taken for a change"
            )
            found.append(Finding(Level.WARNING, where, what, "learn for 24h or more"))
    if spec.decay is not None:
        doubt = _LEVEL_Z * (_LEVEL * (1 - _LEVEL) / spec.decay.level_feedback) ** 0.5
        if doubt > 2 * spec.decay.tolerance:
            needed = round(_LEVEL * (1 - _LEVEL) * (_LEVEL_Z / spec.decay.tolerance) ** 2)
            what = (
                f"the level of {spec.decay.level_feedback} answers is uncertain by {doubt:.1%}, "
                f"which comes on top of the tolerance of {spec.decay.tolerance:.1%}"
            )
            fix = f"levelFeedback: {needed} or more, or a larger tolerance"
            found.append(Finding(Level.NOTE, "spec.monitoring.decay.levelFeedback", what, fix))
    for name, reaction in (("onDrift", spec.on_drift), ("onDecay", spec.on_decay)):
        if reaction is None or reaction.webhook is None:
            continue
        parts = urlsplit(reaction.webhook.url)
        if parts.scheme == "http" and not (parts.hostname or "").endswith(_INTERNAL):
            what = f"{parts.hostname} is told by http from outside the cluster's services"
            fix = "use https, or start the controller with --webhook-allow-host for it"
            where = f"spec.monitoring.{name}.webhook.url"
            found.append(Finding(Level.WARNING, where, what, fix))
    if spec.on_drift is None and spec.on_decay is None:
        return found
    if spec.cooldown * spec.max_per_week > 7 * _DAY and spec.max_per_week > 1:
        what = (
            f"with a cooldown of {format_duration(spec.cooldown)} there are never "
            f"{spec.max_per_week} a week"
        )
        found.append(Finding(Level.NOTE, "spec.monitoring.maxPerWeek", what, "lower one of both"))
    return found
