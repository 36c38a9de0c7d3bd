"""One pass over one SeldonDeployment: Services, HPAs, Deployments, and, once all are ready, routes.

The order is what makes the operator what it is. The VirtualService is looked at only after every
Deployment of the spec is ready: before that it is frozen, neither following the spec nor guarded
against edits. Removed predictors are cleaned up after the routes have left them.
"""

from __future__ import annotations

from dataclasses import dataclass

from sluice.clock import Clock
from sluice.errors import ApiError, ApiUnavailableError, ConflictError, NotFoundError
from sluice.kube.client import Client
from sluice.resources import (
    DEPLOYMENTS,
    DESTINATION_RULES,
    HORIZONTAL_POD_AUTOSCALERS,
    SELDON_DEPLOYMENTS,
    SERVICES,
    VIRTUAL_SERVICES,
    Resource,
)

from . import comparing
from .desired import Desired, desired
from .mirror import Mirror
from .names import deployment_id
from .recorder import Recorder, timestamp
from .settings import CONTROLLER_ID, Json, Settings
from .status import Findings, deployment_ready, status_of

_SERVER_SAID = "; the server said: "
_EVENT_KINDS = {"HorizontalPodAutoscaler": "HPA"}


@dataclass(frozen=True)
class Mirrors:
    """The local copies a pass reads from. HPAs and DestinationRules start no pass."""

    seldon_deployments: Mirror
    deployments: Mirror
    services: Mirror
    virtual_services: Mirror
    destination_rules: Mirror
    hpas: Mirror

    def all(self) -> list[Mirror]:
        return [
            self.seldon_deployments,
            self.deployments,
            self.services,
            self.virtual_services,
            self.destination_rules,
            self.hpas,
        ]


def sentence(error: ApiError) -> str:
    """What the API server itself said: the client wraps it for people, a status does not."""
    return str(error).partition(_SERVER_SAID)[2] or str(error)


class Reconciler:
    """Passes over SeldonDeployments. Raises ApiError when a pass must be tried again."""

    def __init__(
        self,
        client: Client,
        mirrors: Mirrors,
        recorder: Recorder,
        clock: Clock,
        settings: Settings | None = None,
    ) -> None:
        self._client = client
        self._mirrors = mirrors
        self._recorder = recorder
        self._clock = clock
        self._settings = settings or Settings()

    def reconcile(self, namespace: str, name: str) -> None:
        """One pass, if the object is there, is ours and is not on its way out."""
        sdep = self._mirrors.seldon_deployments.get(namespace, name)
        if sdep is None or sdep["metadata"].get("deletionTimestamp"):
            return
        labels = sdep["metadata"].get("labels") or {}
        if labels.get(CONTROLLER_ID, "") != self._settings.controller_id:
            return
        _Pass(self._client, self._mirrors, self._recorder, self._settings, sdep).run(
            timestamp(self._clock.now())
        )


class _Pass:
    def __init__(
        self,
        client: Client,
        mirrors: Mirrors,
        recorder: Recorder,
        settings: Settings,
        sdep: Json,
    ) -> None:
        self._client = client
        self._mirrors = mirrors
        self._recorder = recorder
        self._sdep = sdep
        self._namespace: str = sdep["metadata"]["namespace"]
        self._desired: Desired = desired(sdep, settings)
        self._findings = Findings()

    def run(self, now: str) -> None:
        failed: ApiError | None = None
        try:
            self._objects()
        except ApiUnavailableError:
            raise
        except ApiError as error:
            if isinstance(error, ConflictError) and error.reason == "Conflict":
                raise
            failed = error
            self._findings.failure = sentence(error)
            self._recorder.warning(self._sdep, "InternalError", sentence(error))
        self._findings.live_deployments = self._live_deployments()
        self._write_status(now)
        if failed is not None:
            raise failed

    def _objects(self) -> None:
        for service in self._desired.services:
            self._service(service)
        self._hpas()
        for deployment in self._desired.deployments:
            self._deployment(deployment)
        live = self._live_deployments()
        self._findings.ready = not self._findings.replaced and all(
            deployment_ready(live.get(name, {})) for name in self._desired.deployment_names
        )
        if self._findings.ready:
            self._routes()
            self._clean_up()

    def _live_deployments(self) -> dict[str, Json]:
        found = (
            self._mirrors.deployments.get(self._namespace, name)
            for name in self._desired.deployment_names
        )
        return {obj["metadata"]["name"]: obj for obj in found if obj is not None}

    def _service(self, wanted: Json) -> None:
        name = wanted["metadata"]["name"]
        live = self._mirrors.services.get(self._namespace, name)
        if live is not None and comparing.service_differs(live, wanted):
            # Made anew rather than changed, as the real operator does: its traffic is cut for a
            # moment, and creating it before it is gone fails once.
            self._client.delete(SERVICES, name, self._namespace, propagation="Foreground")
            live = None
        if live is None:
            self._create(SERVICES, self._mirrors.services, wanted)
            self._findings.service_made = True

    def _hpas(self) -> None:
        mirror = self._mirrors.hpas
        wanted_names = {hpa["metadata"]["name"] for hpa in self._desired.hpas}
        for wanted in self._desired.hpas:
            live = mirror.get(self._namespace, wanted["metadata"]["name"])
            if self._apply(HORIZONTAL_POD_AUTOSCALERS, mirror, live, wanted, comparing.hpa_differs):
                self._findings.hpas_written = True
        for live in self._ours(mirror):
            name = live["metadata"]["name"]
            if name in self._desired.deployment_names and name not in wanted_names:
                self._delete(HORIZONTAL_POD_AUTOSCALERS, name)

    def _deployment(self, wanted: Json) -> None:
        mirror = self._mirrors.deployments
        name = wanted["metadata"]["name"]
        live = mirror.get(self._namespace, name)
        if live is None:
            self._create(DEPLOYMENTS, mirror, comparing.stamped(wanted))
            self._findings.replaced = True
            return
        scaled = name in self._desired.scaled
        if not comparing.deployment_differs(live, wanted, scaled=scaled):
            return
        body = comparing.stamped(wanted)
        body["metadata"]["annotations"] |= comparing.controllers_annotations(live)
        if scaled:
            body["spec"] = {**body["spec"], "replicas": live["spec"].get("replicas", 1)}
        written = self._replace(DEPLOYMENTS, mirror, live, body)
        if written["spec"]["template"] != live["spec"]["template"]:
            self._findings.replaced = True

    def _routes(self) -> None:
        virtual_service = self._desired.virtual_service
        mirror = self._mirrors.virtual_services
        live = mirror.get(self._namespace, virtual_service["metadata"]["name"])
        written = self._apply(
            VIRTUAL_SERVICES, mirror, live, virtual_service, comparing.spec_differs
        )
        rules = self._mirrors.destination_rules
        for rule in self._desired.destination_rules:
            live = rules.get(self._namespace, rule["metadata"]["name"])
            made = self._apply(DESTINATION_RULES, rules, live, rule, comparing.spec_differs)
            written = written or made
        self._findings.routes_written = written

    def _clean_up(self) -> None:
        """Old Deployments first; their Services once the Deployments are gone.

        Old Deployments are those the status tells of; old DestinationRules stay for ever.
        """
        status = self._sdep.get("status") or {}
        old = [
            name
            for name in status.get("deploymentStatus") or {}
            if name not in self._desired.deployment_names
        ]
        self._findings.gone_deployments = [
            name for name in old if self._mirrors.deployments.get(self._namespace, name) is None
        ]
        for name in old:
            if name in self._findings.gone_deployments:
                continue
            self._client.delete(DEPLOYMENTS, name, self._namespace, propagation="Foreground")
            self._recorder.normal(self._sdep, "DeleteDeployment", f'Deleted Deployment "{name}"')
        if not old:
            self._clean_up_services(status)

    def _clean_up_services(self, status: Json) -> None:
        for mirror, resource in (
            (self._mirrors.services, SERVICES),
            (self._mirrors.hpas, HORIZONTAL_POD_AUTOSCALERS),
        ):
            for live in self._ours(mirror):
                name = live["metadata"]["name"]
                if name not in (*self._desired.service_names, *self._desired.scaled):
                    self._delete(resource, name)
        self._findings.gone_services = [
            name
            for name in status.get("serviceStatus") or {}
            if name not in self._desired.service_names
        ]

    def _ours(self, mirror: Mirror) -> list[Json]:
        own = deployment_id(self._sdep["metadata"]["name"])
        return mirror.of_deployment(self._namespace, own)

    def _apply(
        self,
        resource: Resource,
        mirror: Mirror,
        live: Json | None,
        wanted: Json,
        differs: comparing.Differs,
    ) -> bool:
        """Creates or replaces. Whether it wrote."""
        if live is None:
            self._create(resource, mirror, wanted)
            return True
        if differs(live, wanted):
            self._replace(resource, mirror, live, wanted)
            return True
        return False

    def _create(self, resource: Resource, mirror: Mirror, wanted: Json) -> None:
        mirror.put(self._client.create(resource, wanted, self._namespace))
        self._tell("Create", wanted)

    def _replace(self, resource: Resource, mirror: Mirror, live: Json, wanted: Json) -> Json:
        version = live["metadata"]["resourceVersion"]
        body = {**wanted, "metadata": {**wanted["metadata"], "resourceVersion": version}}
        written = self._client.replace(resource, body)
        mirror.put(written)
        if written["metadata"]["resourceVersion"] != version:
            self._tell("Update", wanted)
        return written

    def _delete(self, resource: Resource, name: str) -> None:
        try:
            self._client.delete(resource, name, self._namespace)
        except NotFoundError:
            return

    def _tell(self, verb: str, obj: Json) -> None:
        kind, name = obj["kind"], obj["metadata"]["name"]
        told = _EVENT_KINDS.get(kind, kind)
        past = "Created" if verb == "Create" else "Updated"
        self._recorder.normal(self._sdep, f"{verb}{told}", f'{past} {told} "{name}"')

    def _write_status(self, now: str) -> None:
        old = self._sdep.get("status") or {}
        new = status_of(old, self._desired, self._findings, now)
        if new == old:
            return
        name = self._sdep["metadata"]["name"]
        try:
            written = self._client.replace(
                SELDON_DEPLOYMENTS, {**self._sdep, "status": new}, subresource="status"
            )
        except ConflictError as error:
            told = f'Failed to update status for SeldonDeployment "{name}": {sentence(error)}'
            self._recorder.warning(self._sdep, "UpdateFailed", told)
            raise
        self._mirrors.seldon_deployments.put(written)
        self._recorder.normal(self._sdep, "Updated", f'Updated SeldonDeployment "{name}"')
