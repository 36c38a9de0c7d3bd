"""Watches, a queue and one worker: what turns a pass into an operator."""

from __future__ import annotations

import logging
import threading

from sluice.clock import Clock
from sluice.errors import ApiError, SandboxError
from sluice.kube.client import Client
from sluice.resources import (
    DEPLOYMENTS,
    DESTINATION_RULES,
    HORIZONTAL_POD_AUTOSCALERS,
    SELDON_DEPLOYMENTS,
    SERVICES,
    VIRTUAL_SERVICES,
)

from .mirror import Mirror, key_of
from .reconciling import Mirrors, Reconciler
from .recorder import Recorder
from .settings import Json, Settings
from .work import Work

_log = logging.getLogger(__name__)
_FILL_SECONDS = 30.0


class Operator:
    """Runs in threads of its own from `start` to `stop`.

    A change of a SeldonDeployment, or of a Deployment, Service or VirtualService it owns, starts a
    pass. A change of an HPA or a DestinationRule does not: it stays until something else happens.
    """

    def __init__(self, client: Client, clock: Clock, settings: Settings | None = None) -> None:
        self._stop = threading.Event()
        self._work = Work(clock)
        self._recorder = Recorder(client, clock)

        def mirror(resource: object, changed: object) -> Mirror:
            return Mirror(client, resource, changed, self._stop)  # type: ignore[arg-type]

        self._mirrors = Mirrors(
            seldon_deployments=mirror(SELDON_DEPLOYMENTS, self._own_changed),
            deployments=mirror(DEPLOYMENTS, self._owned_changed),
            services=mirror(SERVICES, self._owned_changed),
            virtual_services=mirror(VIRTUAL_SERVICES, self._owned_changed),
            destination_rules=mirror(DESTINATION_RULES, _nothing),
            hpas=mirror(HORIZONTAL_POD_AUTOSCALERS, _nothing),
        )
        self._reconciler = Reconciler(client, self._mirrors, self._recorder, clock, settings)
        self._worker = threading.Thread(target=self._run, name="worker", daemon=True)

    def start(self) -> None:
        """Returns once everything is being watched. Raises SandboxError if that takes too long."""
        self._recorder.start()
        for mirror in self._mirrors.all():
            mirror.start()
        for mirror in self._mirrors.all():
            if not mirror.filled.wait(_FILL_SECONDS):
                raise SandboxError(
                    f"the operator stand-in could not list what it watches within {_FILL_SECONDS:g}"
                    " s; is the API server up, and are the Seldon and Istio CRDs installed?"
                )
        self._worker.start()

    def stop(self) -> None:
        self._stop.set()
        self._work.close()
        self._worker.join(timeout=10)

    def _own_changed(self, obj: Json) -> None:
        self._work.add(key_of(obj))

    def _owned_changed(self, obj: Json) -> None:
        for owner in obj["metadata"].get("ownerReferences") or []:
            if owner.get("controller") and owner["kind"] == "SeldonDeployment":
                self._work.add((obj["metadata"]["namespace"], owner["name"]))

    def _run(self) -> None:
        while (key := self._work.next()) is not None:
            try:
                self._reconciler.reconcile(*key)
            except ApiError as error:
                _log.info("%s/%s: trying again: %s", *key, error)
                self._work.again(key)
            except Exception:
                # One object that this stand-in does not understand must not stop the others.
                _log.exception("%s/%s: pass failed", *key)
                self._work.again(key)
            else:
                _log.debug("%s/%s: pass done", *key)
                self._work.succeeded(key)


def _nothing(obj: Json) -> None:
    """For kinds whose changes start no pass."""
