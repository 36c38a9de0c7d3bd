"""Stands for istiod: keeps a real Envoy's routes, clusters and endpoints as the cluster says.

Traffic is never interrupted by a change: what is added exists in Envoy before a route names it,
and what is removed stays for a while after the last route has gone.
"""

from __future__ import annotations

import dataclasses
import threading
from contextlib import suppress
from typing import Any

import structlog

from sluice.errors import SandboxError, SluiceError
from sluice.kube.client import Client
from sluice.resources import DESTINATION_RULES, PODS, SERVICES, VIRTUAL_SERVICES
from sluice.sandbox.envoy import Envoy
from sluice.sandbox.routing import World, compute
from sluice.sandbox.watching import Key, Watched

GATHER_SECONDS = 0.01
# How long a changed route waits for endpoints that are older than it.
CATCH_UP_SECONDS = 2.0

log = structlog.get_logger(__name__)


class Gateway(threading.Thread):
    """Watches VirtualServices, DestinationRules, Services and Pods, and keeps Envoy in line."""

    def __init__(self, client: Client, envoy: Envoy) -> None:
        super().__init__(name="gateway", daemon=True)
        self._envoy = envoy
        self._dirty = threading.Event()
        self._stopped = threading.Event()
        self._watches = [
            Watched(client, resource, self._changed)
            for resource in (VIRTUAL_SERVICES, DESTINATION_RULES, SERVICES, PODS)
        ]
        self._routed: list[Any] = []
        self.failure: str = ""

    @property
    def envoy(self) -> Envoy:
        return self._envoy

    def stop(self) -> None:
        """End the watches; Envoy goes on with what it has."""
        self._stopped.set()
        self._dirty.set()
        for watch in self._watches:
            watch.stop()
        if self.is_alive():
            self.join(timeout=5)

    def _changed(self, key: Key, obj: dict[str, Any] | None) -> None:
        del key, obj
        self._dirty.set()

    def world(self) -> World:
        """What is known now."""
        return World(*(list(watch.objects().values()) for watch in self._watches))

    def _world_in_step(self) -> World:
        """What is known, with all pods that were ready before its routes were written."""
        world = self.world()
        if (routed := [obj["spec"] for obj in world.virtual_services]) != self._routed:
            with suppress(SluiceError):  # the API server is away: with what there is
                self._watches[-1].catch_up(CATCH_UP_SECONDS)
            self._routed = routed
            world = dataclasses.replace(self.world(), virtual_services=world.virtual_services)
        return world

    def run(self) -> None:
        for watch in self._watches:
            watch.start()
        for watch in self._watches:
            while not (watch.synced.wait(0.2) or self._stopped.is_set()):
                pass
        self._dirty.set()
        timeout: float | None = None
        while not self._stopped.is_set():
            self._dirty.wait(timeout)
            self._stopped.wait(GATHER_SECONDS)  # several events of one change come together
            self._dirty.clear()
            timeout = self._turn()

    def _turn(self) -> float | None:
        try:
            world = self._world_in_step()
            self._envoy.apply(compute(world))
            self.failure = ""
            return self._envoy.remove_left()
        except (SandboxError, OSError, KeyError, TypeError, ValueError) as error:
            # A resource nobody validated must not end the gateway: keep what works, and say so.
            self.failure = f"{type(error).__name__}: {error}"
            log.error("gateway.failed", error=self.failure)
            return 1.0
