"""Where `sluice batch` sends to, and whether a rollout is in progress there."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from sluice.api.status import Phase
from sluice.clock import Clock
from sluice.errors import SluiceError, UsageError
from sluice.kube.client import Client
from sluice.kube.transport import Timeout
from sluice.resources import MODEL_ROLLOUTS

PATHS = {"predict": "/api/v1.0/predictions", "feedback": "/api/v1.0/feedback"}
DEFAULT_GATEWAY = "http://istio-ingressgateway.istio-system.svc"
_PORT = 8000
_LOOK_SECONDS = 15.0
_LOOK_TIMEOUT = Timeout(2.0, 5.0)
_BY_ROLE = ("stable", "candidate")


@dataclass(frozen=True)
class Target:
    """`name` is what a resumed run must have in common; `watched` says that it is split traffic."""

    url: str
    name: str
    watched: bool = False


def by_url(url: str, method: str) -> Target:
    """A URL as it is given; without a path it is a server of Seldon's protocol."""
    whole = url if "://" in url else f"http://{url}"
    try:
        place = parse_url(whole)
    except LocationParseError as error:
        raise UsageError(f"--url: expected http://HOST[:PORT][/PATH], found {url}") from error
    if place.path in (None, "", "/"):
        whole = whole.split("?")[0].rstrip("/") + PATHS[method]
    return Target(whole, whole.split("?")[0])


def through_gateway(gateway: str, namespace: str, deployment: str, method: str) -> Target:
    """As all users come in: the weights of a rollout decide who answers."""
    base = (gateway if "://" in gateway else f"http://{gateway}").rstrip("/")
    url = f"{base}/seldon/{namespace}/{deployment}{PATHS[method]}"
    return Target(url, f"{namespace}/{deployment}", watched=True)


def to_predictor(namespace: str, deployment: str, predictor: str, method: str) -> Target:
    """To one predictor's own Service, past the split. Raises UsageError outside of a cluster."""
    service = f"{deployment}-{predictor}"
    if len(service) > 63:
        raise UsageError(
            f"the Service of {predictor} has a name of Seldon's making, for {service} is longer "
            "than 63 characters: look it up and give --url"
        )
    if not os.environ.get("KUBERNETES_SERVICE_HOST"):
        raise UsageError(
            "a predictor's Service is reached from inside the cluster alone. From here: kubectl "
            f"port-forward -n {namespace} service/{service} {_PORT}, then --url "
            f"http://127.0.0.1:{_PORT}"
        )
    url = f"http://{service}.{namespace}.svc:{_PORT}{PATHS[method]}"
    return Target(url, f"{namespace}/{deployment}/{predictor}")


def predictor_of(client: Client, namespace: str, deployment: str, revision: str) -> str:
    """The predictor of a revision: ``stable``, ``candidate``, or a hash. Raises UsageError."""
    found = rollout_of(client, namespace, deployment)
    if found is None:
        raise UsageError(
            f"--revision needs a ModelRollout that keeps {namespace}/{deployment}, there is none: "
            "give --predictor"
        )
    status = found.get("status") or {}
    live = {role: status[role] for role in _BY_ROLE if status.get(role)}
    for role, one in live.items():
        if revision in (role, one.get("revision"), one.get("predictor")):
            return str(one["predictor"])
    have = ", ".join(f"{one.get('revision')} ({role})" for role, one in live.items()) or "none yet"
    raise UsageError(f"{namespace}/{deployment} has no revision {revision} that serves: {have}")


def rollout_of(client: Client, namespace: str, deployment: str) -> dict[str, Any] | None:
    """The ModelRollout that keeps a SeldonDeployment, None if none does."""
    for found in client.list(MODEL_ROLLOUTS, namespace).items:
        name = (found.get("spec") or {}).get("seldonDeploymentName") or found["metadata"]["name"]
        if name == deployment:
            return dict(found)
    return None


class RolloutWatch:
    """Looks every 15 s, in a thread, whether a rollout of the deployment is in progress.

    `connect` raises SluiceError where there is no cluster to be asked: then `blind` says why.
    """

    def __init__(
        self, connect: Callable[[], Client], namespace: str, deployment: str, clock: Clock
    ) -> None:
        self._connect = connect
        self._where = (namespace, deployment)
        self._clock = clock
        self._client: Client | None = None
        self._stop = threading.Event()
        self.active = ""
        """The phase and the weight of a rollout in progress, "" if there is none."""
        self.blind = ""
        """Why it could not be looked, "" if it could."""

    def look(self) -> None:
        """Ask once. Never raises: what could not be seen stays as it was."""
        namespace, deployment = self._where
        try:
            if self._client is None:
                self._client = self._connect().with_timeout(_LOOK_TIMEOUT)
            found = rollout_of(self._client, namespace, deployment)
        except SluiceError as error:
            self.blind = str(error)
            return
        self.blind = ""
        self.active = _activity((found or {}).get("status") or {})

    def start(self) -> None:
        """Look again and again until `stop`."""
        threading.Thread(target=self._run, name="rollout-watch", daemon=True).start()

    def stop(self) -> None:
        self._stop.set()

    def _run(self) -> None:
        while not self._clock.wait(self._stop, _LOOK_SECONDS):
            self.look()


def _activity(status: dict[str, Any]) -> str:
    try:
        active = Phase(status.get("phase", "Idle")).active
    except ValueError:
        return ""
    if not active:
        return ""
    weight = (status.get("step") or {}).get("weight")
    candidate = (status.get("candidate") or {}).get("revision", "?")
    share = f", {weight}% to it" if weight is not None else ""
    return f"{status['phase']} of {candidate}{share}"
