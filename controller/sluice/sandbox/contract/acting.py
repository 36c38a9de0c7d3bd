"""Does what a step's `do` says, and returns the API server's answer in the recordings' form."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from urllib.parse import urlencode

from sluice.errors import SandboxError

from .made_up_node import MadeUpNode
from .observing import path
from .recordings import Json
from .stage import Stage
from .wire import JSON_PATCH, MERGE_PATCH, Answer

# Drains are replayed at this pace; what was recorded in 4 s takes 2.
PACE = 0.5
_SECOND_NAME = "second"


def answered(answer: Answer) -> Json:
    """An answer in the words of the recordings."""
    error = None if answer.accepted else answer.body.get("message")
    found: Json = {
        "accepted": answer.accepted,
        "http_status": answer.status,
        "error": error,
        "warnings": answer.warnings or None,
    }
    if not answer.accepted:
        found["reason"] = answer.body.get("reason") or None
    predictors = (answer.body.get("spec") or {}).get("predictors") or []
    found["predictors_after"] = [
        {key: each[key] for key in ("name", "traffic", "replicas") if key in each}
        for each in predictors
    ]
    return found


class Actor:
    """Acts on one stage. `template` is what a second SeldonDeployment is made from."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._wire = stage.wire
        self._created: Json = {}
        self.name = "iris"

    def act(self, do: Json) -> Json | None:
        """The answer, or None where nothing was asked of the API server."""
        for key, action in self._actions().items():
            if key in do:
                return action(do)
        raise SandboxError(f"the replay does not know the step {sorted(do)}; teach it in acting.py")

    def _actions(self) -> dict[str, Callable[[Json], Json | None]]:
        return {
            "create": self._create,
            "json_patches": self._json_patches,
            "evict": self._evict,
            "json_patch_object": self._json_patch_object,
            "json_patch": self._json_patch,
            "set_deployment_status": self._set_deployment_status,
            "scale_deployment": self._scale_deployment,
            "scale_seldondeployment": self._scale_seldondeployment,
            "delete_object": self._delete_object,
            "delete": self._delete,
            "request": self._request,
            "replace": self._replace,
            "operator": self._operator,
            "webhook": self._webhook,
            "set_pods_ready": self._set_pods_ready,
            "set_pods_unready": self._set_pods_unready,
            "wait": lambda _: None,
        }

    def _create(self, do: Json) -> Json:
        body = do["create"]
        if isinstance(body, str):
            metadata = {**self._created["metadata"], "name": _SECOND_NAME}
            body = {**self._created, "metadata": metadata}
        query = {}
        if do.get("dryRun"):
            query["dryRun"] = "All"
        elif self._stage.observer.items("SeldonDeployment") and body is do["create"]:
            # A file that creates once more has emptied the namespace in between.
            self._stage.reset(events=False)
        if do.get("fieldValidation"):
            query["fieldValidation"] = do["fieldValidation"]
        if not query and body is do["create"]:
            self._created = body
            self.name = body["metadata"]["name"]
        where = path("SeldonDeployment") + (f"?{urlencode(query)}" if query else "")
        return answered(self._wire.request("POST", where, body))

    def _json_patch(self, do: Json) -> Json:
        where = path("SeldonDeployment", do["name"])
        first = answered(self._wire.request("PATCH", where, do["json_patch"], JSON_PATCH))
        if "then_json_patch_object" in do:
            then = self._json_patch_object({"json_patch_object": do["then_json_patch_object"]})
            first["vs_patch"] = then
        return first

    def _json_patches(self, do: Json) -> Json:
        where = path("SeldonDeployment", do["name"])
        last: Json = {}
        start = time.monotonic()
        for number, patch in enumerate(do["json_patches"]):
            due = start + number * do.get("spacing_ms", 0) / 1000
            time.sleep(max(0.0, due - time.monotonic()))
            last = answered(self._wire.request("PATCH", where, patch, JSON_PATCH))
            if not last["accepted"]:
                return last
        return last

    def _json_patch_object(self, do: Json) -> Json:
        wanted = do["json_patch_object"]
        where = path(wanted["kind"], wanted["name"])
        return answered(self._wire.request("PATCH", where, wanted["ops"], JSON_PATCH))

    def _set_deployment_status(self, do: Json) -> Json:
        wanted = do["set_deployment_status"]
        where = path("Deployment", wanted["name"], "status")
        status = wanted["status"]
        if None in status.values():
            return answered(self._wire.request("PATCH", where, {"status": status}, MERGE_PATCH))
        ops = [{"op": "add", "path": "/status", "value": status}]
        return answered(self._wire.request("PATCH", where, ops, JSON_PATCH))

    def _scale_deployment(self, do: Json) -> Json:
        wanted = do["scale_deployment"]
        where = path("Deployment", wanted["name"], "scale")
        body = {"spec": {"replicas": wanted["replicas"]}}
        return answered(self._wire.request("PATCH", where, body, MERGE_PATCH))

    def _scale_seldondeployment(self, do: Json) -> Json:
        wanted = do["scale_seldondeployment"]
        where = path("SeldonDeployment", wanted["name"], "scale")
        body = {"spec": {"replicas": wanted["replicas"]}}
        return answered(self._wire.request("PATCH", where, body, MERGE_PATCH))

    def _delete(self, do: Json) -> Json:
        policy = do.get("propagationPolicy")
        body = {"propagationPolicy": policy} if policy else None
        where = path("SeldonDeployment", do["delete"])
        return answered(self._wire.request("DELETE", where, body))

    def _delete_object(self, do: Json) -> Json:
        wanted = do["delete_object"]
        return answered(self._wire.request("DELETE", path(wanted["kind"], wanted["name"])))

    def _request(self, do: Json) -> Json:
        where = f"{path('SeldonDeployment', self.name)}?{do['query']}"
        return answered(self._wire.request(do["request"], where, do["body"], do["content_type"]))

    def _replace(self, _: Json) -> Json:
        where = path("SeldonDeployment", self.name)
        body = self._wire.request("GET", where).body
        body["metadata"]["resourceVersion"] = "1"
        return answered(self._wire.request("PUT", where, body))

    def _operator(self, do: Json) -> None:
        wanted = do["operator"]
        if wanted in ("stop", "restart"):
            self._stage.stop_operator()
        if wanted in ("start", "restart"):
            self._stage.start_operator()
        if wanted.startswith("SIG"):
            self._stage.signal_operator(wanted)

    def _webhook(self, do: Json) -> None:
        if do["webhook"] == "unregistered":
            self._stage.unregister_webhook()
        else:
            self._stage.register_webhook()

    def _node(self) -> MadeUpNode:
        if self._stage.node is None:
            raise SandboxError("a step about pods was found in a recording without pods")
        return self._stage.node

    def _set_pods_ready(self, do: Json) -> None:
        """Makes pods ready until the Deployment has none left to make ready."""
        node = self._node()
        deployment = do["set_pods_ready"]["deployment"]
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            for pod in node.pods_of(deployment):
                if not _is_ready(pod):
                    node.set_ready(pod, True)
            found = self._wire.request("GET", path("Deployment", deployment)).body
            wanted = found.get("spec", {}).get("replicas", 1)
            if _settled(found, wanted) and self._hpa_content(deployment, wanted):
                return
            time.sleep(0.05)

    def _hpa_content(self, deployment: str, replicas: int) -> bool:
        """Whether an HPA, if there is one, has raised the Deployment to its minimum."""
        answer = self._wire.request("GET", path("HorizontalPodAutoscaler", deployment))
        return not answer.accepted or replicas >= answer.body["spec"].get("minReplicas", 1)

    def _set_pods_unready(self, do: Json) -> None:
        node = self._node()
        wanted = do["set_pods_unready"]
        ready = [pod for pod in node.pods_of(wanted["deployment"]) if _is_ready(pod)]
        for pod in ready[: wanted["count"]]:
            node.set_ready(pod, False)

    def _evict(self, do: Json) -> Json:
        """Evicts pods one by one while, a moment later, the SeldonDeployment is patched."""
        wanted = do["evict"]
        node = self._node()
        node.ready_after(wanted["deployment"], wanted["new_pod_ready_after_s"] * PACE)
        drain = threading.Thread(target=self._drain, args=(wanted,), daemon=True)
        drain.start()
        time.sleep(0.3 * PACE)
        patch = {"json_patch": do["then_json_patch"], "name": self.name}
        result = self._json_patch(patch)
        drain.join(timeout=60)
        return result

    def _drain(self, wanted: Json) -> None:
        node = self._node()
        victims = node.pods_of(wanted["deployment"])[: wanted["pods"]]
        mode = wanted["mode"]
        for pod in victims:
            name = pod["metadata"]["name"]
            body = {
                "apiVersion": "policy/v1",
                "kind": "Eviction",
                "metadata": {"name": name, "namespace": pod["metadata"]["namespace"]},
            }
            self._wire.request("POST", path("Pod", name, "eviction"), body)
            if mode == "atonce" or pod is victims[-1]:
                continue
            if mode == "overlap":
                time.sleep(3.0 * PACE)
                continue
            self._until_whole(wanted["deployment"], len(victims))
            time.sleep(float(mode.split()[2]) * PACE)

    def _until_whole(self, deployment: str, pods: int) -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            ready = [pod for pod in self._node().pods_of(deployment) if _is_ready(pod)]
            if len(ready) >= pods:
                return
            time.sleep(0.01)


def _is_ready(pod: Json) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(entry["type"] == "Ready" and entry["status"] == "True" for entry in conditions)


def _settled(deployment: Json, wanted: int) -> bool:
    status = deployment.get("status") or {}
    return bool(
        status.get("observedGeneration") == deployment.get("metadata", {}).get("generation")
        and status.get("readyReplicas", 0) == wanted
        and status.get("replicas", 0) == wanted
    )
