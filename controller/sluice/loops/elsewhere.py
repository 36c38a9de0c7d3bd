"""The facts about other ModelRollouts that `gates.promotedIn` asks for, from the watch's copy."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sluice.api.rollout import Rollout
from sluice.api.status import Phase, RolloutStatus
from sluice.api.times import from_wire
from sluice.engine.facts import Elsewhere
from sluice.loops.stores import Object, OwnWrites

# A stable that is whole while a newer template waits for a gate of its own.
_WHOLE_BUT_WAITING = "WaitingForGate"


def elsewhere_of(
    rollout: Rollout, rollouts: OwnWrites, watched: Collection[str]
) -> dict[str, Elsewhere]:
    """What is known of each rollout that this one waits for, by namespace/name."""
    found = {}
    for ref in rollout.spec.gates.promoted_in:
        namespace = ref.namespace or rollout.namespace
        found[f"{namespace}/{ref.name}"] = _look(namespace, ref.name, rollouts, watched)
    return found


def shown_to_gates(obj: Object | None) -> Any:
    """What a gate looks at: only a change of this wakes those that wait."""
    if obj is None or "deletionTimestamp" in obj["metadata"]:
        return None
    status = obj.get("status") or {}
    ready: Mapping[str, Any] = next(
        (c for c in status.get("conditions") or () if c.get("type") == "Ready"), {}
    )
    images = (status.get("stable") or {}).get("images")
    return status.get("phase"), images, ready.get("status"), ready.get("reason")


def _look(namespace: str, name: str, rollouts: OwnWrites, watched: Collection[str]) -> Elsewhere:
    if watched and namespace not in watched:
        return Elsewhere(
            problem=f"this controller watches {named(watched)} alone and cannot see it: let it "
            f"watch {namespace} too, or remove the gate"
        )
    obj = rollouts.get(namespace, name)
    if obj is None or "deletionTimestamp" in obj["metadata"]:
        return Elsewhere(problem=f"there is no ModelRollout {name} in namespace {namespace}")
    try:
        status = RolloutStatus.model_validate(obj.get("status") or {})
    except ValueError:
        return Elsewhere(problem="its status cannot be read")
    ready = status.condition("Ready")
    serving = ready is not None and (ready.status == "True" or ready.reason == _WHOLE_BUT_WAITING)
    return Elsewhere(
        phase=status.phase.value if obj.get("status") else "unknown",
        images=tuple(status.stable.images) if status.stable else (),
        serving=serving and status.phase is Phase.IDLE,
        promoted_at=_promoted_at(status),
    )


def named(namespaces: Collection[str]) -> str:
    """For a sentence: "namespace prod", "namespaces prod and stage"."""
    *most, last = sorted(namespaces)
    return f"namespaces {', '.join(most)} and {last}" if most else f"namespace {last}"


def _promoted_at(status: RolloutStatus) -> float | None:
    """When the stable became that: its newest promotion, else when its template was kept."""
    if status.stable is None:
        return None
    revision = status.stable.revision
    times = [
        e.ended_at for e in status.history if (e.outcome, e.revision) == ("Promoted", revision)
    ]
    times += [kept.at for kept in status.templates if kept.revision == revision]
    return from_wire(times[0]) if times else None
