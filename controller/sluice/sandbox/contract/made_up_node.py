"""What stands for kubelet and scheduler while pods are made ready by hand.

Every pod is bound to one made-up node and gets an address; a deleted pod goes after a while. The
readiness of a pod changes only when somebody says so.
"""

from __future__ import annotations

import threading
import time

from .observing import Observer, path, pod_state
from .recordings import Json
from .wire import MERGE_PATCH, Wire

NODE = "made-up"
_LOOK_SECONDS = 0.02


class MadeUpNode:
    """Binds, addresses and finally removes pods, in a thread from `start` to `stop`.

    `linger` is how long a deleted pod stays, in seconds.
    """

    def __init__(self, wire: Wire, *, linger: float) -> None:
        self._wire = wire
        self._observer = Observer(wire, pods=True)
        self._linger = linger
        self._stop = threading.Event()
        self._seen: dict[str, int] = {}
        self._dying: dict[str, float] = {}
        self._ready_after: tuple[str, float] | None = None
        self._born: dict[str, float] = {}
        self._thread = threading.Thread(target=self._run, name="made-up-node", daemon=True)

    def start(self) -> None:
        self._wire.request("POST", "/api/v1/nodes", {"metadata": {"name": NODE}})
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(timeout=5)

    def ready_after(self, deployment: str | None, seconds: float = 0.0) -> None:
        """From now on new pods of `deployment` become ready by themselves; None: no more."""
        self._ready_after = (deployment, seconds) if deployment else None

    def pods_of(self, deployment: str) -> list[Json]:
        """A Deployment's pods that are not being deleted, oldest first."""
        found = [
            pod
            for pod in self._observer.items("Pod")
            if (pod["metadata"].get("labels") or {}).get("app") == deployment
            and pod_state(pod) != "deleting"
        ]
        return sorted(found, key=lambda pod: self._number(pod))

    def set_ready(self, pod: Json, ready: bool) -> None:
        """Writes the conditions a kubelet would write."""
        truth = "True" if ready else "False"
        conditions = [
            {"type": kind, "status": truth, "lastTransitionTime": _now()}
            for kind in ("Ready", "ContainersReady")
        ]
        body = {"status": {"phase": "Running", "conditions": conditions}}
        name = pod["metadata"]["name"]
        self._wire.request("PATCH", path("Pod", name, "status"), body, MERGE_PATCH)

    def _number(self, pod: Json) -> int:
        return self._seen.setdefault(pod["metadata"]["uid"], len(self._seen) + 1)

    def _run(self) -> None:
        while not self._stop.wait(_LOOK_SECONDS):
            try:
                for pod in self._observer.items("Pod"):
                    self._look_after(pod)
            except OSError:
                continue

    def _look_after(self, pod: Json) -> None:
        uid, name = pod["metadata"]["uid"], pod["metadata"]["name"]
        now = time.monotonic()
        number = self._number(pod)
        if not pod["spec"].get("nodeName"):
            target = {"apiVersion": "v1", "kind": "Node", "name": NODE}
            body = {"metadata": {"name": name}, "target": target}
            self._wire.request("POST", path("Pod", name, "binding"), body)
            address = f"10.244.{number // 250}.{number % 250 + 1}"
            status = {"status": {"podIP": address, "podIPs": [{"ip": address}]}}
            self._wire.request("PATCH", path("Pod", name, "status"), status, MERGE_PATCH)
            self._born[uid] = now
        elif pod_state(pod) == "deleting":
            if now - self._dying.setdefault(uid, now) >= self._linger:
                self._wire.request("DELETE", path("Pod", name), {"gracePeriodSeconds": 0})
        elif self._ready_after and pod_state(pod) == "not ready":
            deployment, seconds = self._ready_after
            is_his = (pod["metadata"].get("labels") or {}).get("app") == deployment
            if is_his and now - self._born.get(uid, now) >= seconds:
                self.set_ready(pod, True)


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
