"""What a pod's status says, computed from what its processes do. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any


def timestamp(seconds: float) -> str:
    """Unix seconds as Kubernetes writes them."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True)
class Exit:
    """How a container's process ended. Times are Unix seconds; a negative code is a signal."""

    code: int
    started: float
    finished: float

    def state(self) -> dict[str, Any]:
        # Shells and kubelet report death by signal N as 128 + N.
        code = 128 - self.code if self.code < 0 else self.code
        return {
            "exitCode": code,
            "reason": "Completed" if code == 0 else "Error",
            "startedAt": timestamp(self.started),
            "finishedAt": timestamp(self.finished),
        }


@dataclass(frozen=True)
class ContainerView:
    """One container as it is now: running (`started_at`), waiting (`waiting`, a reason) or over.

    `over`: its process has ended, and the pod's restartPolicy lets none follow.
    """

    name: str
    image: str
    ready: bool = False
    started_at: float | None = None
    waiting: str = "ContainerCreating"
    message: str = ""
    restarts: int = 0
    last_exit: Exit | None = None
    over: bool = False

    def status(self) -> dict[str, Any]:
        state: dict[str, Any]
        if self.over and self.last_exit is not None:
            state = {"terminated": self.last_exit.state()}
        elif self.started_at is not None:
            state = {"running": {"startedAt": timestamp(self.started_at)}}
        else:
            waiting = {"reason": self.waiting}
            if self.message:
                waiting["message"] = self.message
            state = {"waiting": waiting}
        status: dict[str, Any] = {
            "name": self.name,
            "image": self.image,
            "imageID": self.image,
            "ready": self.ready,
            "started": self.started_at is not None,
            "restartCount": self.restarts,
            "state": state,
        }
        if self.last_exit is not None and not self.over:
            status["lastState"] = {"terminated": self.last_exit.state()}
        return status


def pod_status(
    before: Mapping[str, Any],
    views: Sequence[ContainerView],
    *,
    address: str,
    started: float,
    now: float,
    ready_override: bool = True,
) -> dict[str, Any]:
    """The whole status of a pod. `ready_override=False` makes it unready whatever it does."""
    unready = [view.name for view in views if not view.ready]
    ready = not unready and ready_override
    message = f"containers with unready status: [{' '.join(unready)}]" if unready else ""
    reason = "ContainersNotReady"
    if not unready and not ready_override:
        reason, message = "HeldUnready", "held unready on request"
    # Once every container has run, a crash does not make a pod Pending again.
    running = before.get("phase") == "Running" or all(
        view.started_at is not None or view.last_exit is not None for view in views
    )
    wanted = {
        "PodScheduled": (True, "", ""),
        "Initialized": (True, "", ""),
        "ContainersReady": (not unready, reason, message),
        "Ready": (ready, reason, message),
    }
    phase = "Running" if running else "Pending"
    if all(view.over for view in views):
        failed = any(view.last_exit and view.last_exit.code for view in views)
        phase = "Failed" if failed else "Succeeded"
    return {
        "phase": phase,
        "conditions": _conditions(before.get("conditions") or (), wanted, now),
        "hostIP": "127.0.0.1",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "startTime": timestamp(started),
        "containerStatuses": [view.status() for view in views],
    }


def _conditions(
    before: Sequence[Mapping[str, Any]], wanted: Mapping[str, tuple[bool, str, str]], now: float
) -> list[dict[str, Any]]:
    old = {condition["type"]: condition for condition in before}
    result = []
    for kind, (true, reason, message) in wanted.items():
        status = "True" if true else "False"
        same = kind in old and old[kind]["status"] == status
        condition = {
            "type": kind,
            "status": status,
            "lastTransitionTime": old[kind]["lastTransitionTime"] if same else timestamp(now),
        }
        if not true:
            condition.update(reason=reason, message=message)
        result.append(condition)
    return result
