"""ModelRollouts that stand still, and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic import ValidationError

from sluice.api.monitoring_status import RetrainingState
from sluice.api.status import RolloutStatus
from sluice.doctor.findings import Finding, error, note, ok, warning
from sluice.doctor.reading import Object, name_of
from sluice.engine.monitoring import CONDITIONS

# Unknown as everything is at first, or where nobody asks.
_EARLY = ("NotYet", "Learning", "LearningHours", "MeasuringLevel", "NoData")


def check(rollouts: list[Object], watched: Sequence[str] = ()) -> list[Finding]:
    """Findings for every ModelRollout. `watched`: the only namespaces the controller watches."""
    findings = [finding for each in rollouts for finding in _of_one(each, watched)]
    fine = len(rollouts) - len({finding.where for finding in findings})
    if not rollouts:
        findings.append(
            note(
                "NoRollouts",
                "there is no ModelRollout",
                "",
                "docs/first-rollout.md has a first one",
            )
        )
    elif fine:
        findings.append(ok("RolloutsFine", f"{fine} of {len(rollouts)} ModelRollouts are fine"))
    return findings


def _of_one(rollout: Object, watched: Sequence[str]) -> Iterator[Finding]:
    where = name_of(rollout)
    meta = rollout["metadata"]
    inspect = f"sluice status {meta['name']} -n {meta['namespace']}"
    if watched and meta["namespace"] not in watched:
        yield error(
            "RolloutNotWatched",
            f"the controller watches {', '.join(watched)} alone",
            where,
            "give the controller this --namespace too (helm: watchNamespaces), or move the rollout",
        )
        return
    try:
        status = RolloutStatus.model_validate(rollout.get("status") or {})
    except ValidationError:
        yield error(
            "RolloutStatusUnreadable",
            "its status was not written by this release of Sluice",
            where,
            f"kubectl -n {meta['namespace']} get modelrollout {meta['name']} -o yaml",
        )
        return
    if (status.observed_generation or 0) < int(meta.get("generation") or 0):
        yield warning(
            "RolloutNotSeen",
            "its newest change has not been looked at: no controller works, or it was changed just "
            "now",
            where,
            inspect,
        )
    stalled = status.condition("Stalled")
    if stalled is not None and stalled.status == "True":
        yield error("RolloutStalled", f"{stalled.reason}: {stalled.message}", where, inspect)
    if status.freeze is not None:
        freeze = status.freeze
        yield warning(
            "RolloutFrozen",
            f"since {freeze.since}: {freeze.message}",
            where,
            f"kubectl -n {meta['namespace']} describe deployment {freeze.deployment}",
        )
    metrics = status.condition("MetricsAvailable")
    if status.phase.judged and metrics is not None and metrics.status == "False":
        yield warning(
            "RolloutWithoutMetrics", f"{metrics.reason}: {metrics.message}", where, inspect
        )
    yield from _monitored(status, where, inspect)
    if status.pause is not None:
        yield note(
            "RolloutPaused",
            f"paused since {status.pause.since}: {status.pause.reason}: {status.pause.message}",
            where,
            f"sluice resume {meta['name']} -n {meta['namespace']}",
        )


def _monitored(status: RolloutStatus, where: str, inspect: str) -> Iterator[Finding]:
    """What its monitoring has found, and what keeps it from finding anything."""
    for kind in CONDITIONS:
        said = status.condition(kind)
        if said is None:
            continue
        if said.status == "True":
            yield warning("ModelNotAsPromoted", f"{kind}: {said.message}", where, inspect)
        elif said.status == "Unknown" and said.reason not in _EARLY:
            yield warning("ModelNotWatched", f"{said.reason}: {said.message}", where, inspect)
    entries = status.monitoring.retrainings if status.monitoring else []
    for one in entries[:1]:
        waits = one.state is RetrainingState.PENDING and one.message
        if waits or one.state is RetrainingState.FAILED:
            what = f"retraining {one.number} {one.state.value}: {one.message}"
            yield warning("RetrainingStuck", what, where, inspect)
