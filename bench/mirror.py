"""Seldon as the bench needs it: every Deployment is ready at once, the VirtualService follows.

    python -m bench.mirror --kubeconfig FILE

The objects are those of the sandbox's operator, byte for byte; only their making is simpler (no
webhook, Services, pods or freeze), so that a thousand rollouts fit beside the controller that is
measured. What Seldon itself would cost is not in any figure.
"""

from __future__ import annotations

import argparse
import queue
import threading
import zlib
from contextlib import suppress
from typing import Any

from sluice.errors import AlreadyExistsError, ApiError, NotFoundError
from sluice.kube.client import Client
from sluice.resources import DEPLOYMENTS, SELDON_DEPLOYMENTS, VIRTUAL_SERVICES
from sluice.sandbox.operator.desired import desired
from sluice.sandbox.operator.settings import Settings
from sluice.sandbox.watching import Key, Watched

WORKERS = 4
Json = dict[str, Any]


class Mirror:
    """Makes what a SeldonDeployment asks for, in the operator's order."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._settings = Settings()
        self._newest: dict[Key, Json] = {}
        self._made: dict[Key, set[str]] = {}
        self._routes: dict[Key, Json] = {}
        self._queues: list[queue.SimpleQueue[Key]] = [queue.SimpleQueue() for _ in range(WORKERS)]

    def start(self) -> None:
        """Work in threads; one SeldonDeployment is always one thread's."""
        for one in self._queues:
            threading.Thread(target=self._work, args=(one,), daemon=True).start()

    def changed(self, key: Key, obj: Json | None) -> None:
        """For `Watched`."""
        if obj is not None:
            self._newest[key] = obj
            self._queues[zlib.crc32(key[1].encode()) % WORKERS].put(key)

    def _work(self, keys: queue.SimpleQueue[Key]) -> None:
        while True:
            key = keys.get()
            try:
                self._make(key, self._newest[key])
            except ApiError as error:
                print(f"{key[1]}: {error}", flush=True)
                keys.put(key)

    def _make(self, key: Key, sdep: Json) -> None:
        wanted = desired(sdep, self._settings)
        made = self._made.setdefault(key, set())
        for deployment in wanted.deployments:
            name = deployment["metadata"]["name"]
            if name not in made:
                self._make_ready(deployment)
                made.add(name)
        self._route(key, wanted.virtual_service)
        for name in made - set(wanted.deployment_names):
            with suppress(NotFoundError):
                self._client.delete(DEPLOYMENTS, name, key[0])
            made.discard(name)

    def _make_ready(self, deployment: Json) -> None:
        meta = deployment["metadata"]
        try:
            stored = self._client.create(DEPLOYMENTS, deployment, meta["namespace"])
        except AlreadyExistsError:
            stored = self._client.get(DEPLOYMENTS, meta["name"], meta["namespace"])
        replicas = stored["spec"]["replicas"]
        numbers = ("replicas", "readyReplicas", "availableReplicas", "updatedReplicas")
        status = {
            "observedGeneration": stored["metadata"]["generation"],
            **dict.fromkeys(numbers, replicas),
        }
        self._client.merge_patch(
            DEPLOYMENTS, meta["name"], meta["namespace"], {"status": status}, subresource="status"
        )

    def _route(self, key: Key, virtual_service: Json) -> None:
        known = self._routes.get(key)
        if known is None:
            try:
                stored = self._client.create(VIRTUAL_SERVICES, virtual_service, key[0])
            except AlreadyExistsError:
                stored = self._client.get(VIRTUAL_SERVICES, key[1], key[0])
            self._routes[key] = stored
        elif known["spec"] != virtual_service["spec"]:
            body = {**known, "spec": virtual_service["spec"]}
            self._routes[key] = self._client.replace(VIRTUAL_SERVICES, body)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kubeconfig", required=True)
    given = parser.parse_args()
    client = Client.connect(kubeconfig=given.kubeconfig, connections=WORKERS + 2)
    mirror = Mirror(client)
    mirror.start()
    watched = Watched(client, SELDON_DEPLOYMENTS, mirror.changed)
    watched.start()
    watched.join()


if __name__ == "__main__":
    main()
