"""The newest Kubernetes Events of one rollout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sluice.api.times import from_wire
from sluice.errors import ApiError
from sluice.kube.client import Client
from sluice.resources import EVENTS, MODEL_ROLLOUTS

NEWEST = 5


@dataclass(frozen=True)
class Told:
    """One event; `at` is Unix seconds of its last occurrence."""

    at: float
    reason: str
    message: str
    warning: bool
    count: int = 1


def newest_events(client: Client, obj: dict[str, Any], limit: int = NEWEST) -> list[Told] | None:
    """The last events about this object, oldest first; None when they cannot be read."""
    meta = obj["metadata"]
    selector = f"involvedObject.kind={MODEL_ROLLOUTS.kind},involvedObject.name={meta['name']}"
    if meta.get("uid"):
        selector += f",involvedObject.uid={meta['uid']}"
    try:
        found = client.list(EVENTS, meta["namespace"], field_selector=selector).items
    except ApiError:
        return None
    told = sorted((_told(event) for event in found), key=lambda one: one.at)
    return told[-limit:]


def _told(event: dict[str, Any]) -> Told:
    series = event.get("series") or {}
    stamps = (
        series.get("lastObservedTime"),
        event.get("lastTimestamp"),
        event.get("eventTime"),
        event.get("firstTimestamp"),
        (event.get("metadata") or {}).get("creationTimestamp"),
    )
    at = next((seconds for stamp in stamps if (seconds := from_wire(stamp)) is not None), 0.0)
    return Told(
        at=at,
        reason=str(event.get("reason") or ""),
        message=str(event.get("message") or ""),
        warning=event.get("type") == "Warning",
        count=int(series.get("count") or event.get("count") or 1),
    )
