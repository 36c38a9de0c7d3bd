"""Reads a folder of recordings and fills in what a step says only by reference."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sluice.errors import UsageError

Json = dict[str, Any]

# Parts of `after` that a step may take over from the step before.
PARTS = (
    "deployments",
    "services",
    "virtual_service",
    "destination_rules",
    "hpas",
    "status",
    "pods",
    "ready_endpoints",
)
_ABSENT: Json = {"virtual_service": None, "hpas": [], "generation": None}


@dataclass(frozen=True)
class Recording:
    """One file: its steps with every `after` complete, and the Events at its end."""

    name: str
    steps: list[Json]
    events: Json

    @property
    def pods(self) -> bool:
        """Whether real Deployment and ReplicaSet controllers ran and pods existed."""
        return any(
            key in step["do"]
            for step in self.steps
            for key in ("set_pods_ready", "set_pods_unready", "evict")
        ) or any("pods" in step.get("after", {}) for step in self.steps)


def load(directory: Path) -> list[Recording]:
    """Every operator recording in `directory`, by name. Raises UsageError if there is none."""
    paths = sorted(directory.glob("op-*.json"))
    if not paths:
        raise UsageError(
            f"expected recordings named op-*.json in {directory}, found none; "
            "give the folder that holds them with --recordings"
        )
    return [read(path) for path in paths]


def read(path: Path) -> Recording:
    """One recording from its file."""
    content = json.loads(path.read_text())
    before: Json = {}
    steps = []
    for step in content["steps"]:
        if "after" in step:
            before = _complete(step["after"], before)
            step = {**step, "after": before}
        steps.append(step)
    if not any(any(step.get("after", {}).get("ready_endpoints", {}).values()) for step in steps):
        # Taken before the node existed that makes endpoints possible: says nothing.
        for step in steps:
            step.get("after", {}).pop("ready_endpoints", None)
    return Recording(path.stem, steps, content.get("events_at_end") or {})


def _complete(after: Json, before: Json) -> Json:
    copied = {part: before[part] for part in after.get("same_as_previous", []) if part in before}
    kept = {key: value for key, value in after.items() if key not in ("changes", "settled_ms")}
    return {**_ABSENT, **kept, **copied}
