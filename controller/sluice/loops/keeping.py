"""What is kept for later: digests of the images, templates for `undo`, the audit log.

All of it comes after the traffic was moved, and none of it stops a decision: what cannot be read or
stored is left out, with a line in the log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import structlog

from sluice.api.base import API_VERSION
from sluice.api.rollout import Rollout, template_name
from sluice.api.status import Phase, RolloutStatus, StoredTemplate
from sluice.engine.inputs import Decision, Inputs
from sluice.errors import AlreadyExistsError, ApiError, NotFoundError
from sluice.kube.client import Client
from sluice.loops.audit import AuditLog, records_of, stall_record
from sluice.loops.stores import Object
from sluice.resources import CONTROLLER_REVISIONS, MODEL_ROLLOUTS

log = structlog.get_logger()

ROLLOUT_LABEL = "sluice.dev/model-rollout"
_LONGEST_LABEL = 63
_READ_DIGESTS = {Phase.PROMOTING.value, Phase.ROLLING_BACK.value}

Pods = Callable[[str, str], Iterable[Mapping[str, Any]]]  # (namespace, SeldonDeployment)


class Keeper:
    """`pods` lists the pods of a SeldonDeployment, with a request."""

    def __init__(self, client: Client, pods: Pods, audit: AuditLog | None = None) -> None:
        self._client = client
        self._pods = pods
        self._audit = audit

    def complete(self, obj: Object, inputs: Inputs, decision: Decision) -> RolloutStatus:
        """The status with what only requests can tell; the same where they fail."""
        status = decision.status
        if _READ_DIGESTS & set(decision.transitions) and status.candidate:
            status = self._with_digests(inputs.rollout, status)
        if status.templates != inputs.rollout.status.templates:
            status = self._with_template(obj, inputs.rollout, status)
        return status

    def template_of_stable(self, rollout: Rollout) -> dict[str, Any] | None:
        """The kept template of the stable revision; None where there is none, or no right to read.

        Sized as the present template is: how many pods there are is no part of a version.
        """
        stable = rollout.status.stable
        if stable is None or all(e.revision != stable.revision for e in rollout.status.templates):
            return None
        name = template_name(rollout.name, stable.revision)
        try:
            found = self._client.get(CONTROLLER_REVISIONS, name, rollout.namespace)
            template: dict[str, Any] = found["data"]["template"]
            [predictor] = template["spec"]["predictors"]
            [present] = rollout.raw_template["spec"]["predictors"]
        except NotFoundError:
            log.warning("kept template is gone", rollout=rollout.key, name=name)
            return None
        except (LookupError, TypeError, ValueError) as error:
            log.warning("kept template not understood", rollout=rollout.key, error=repr(error))
            return None
        sized = {key: value for key, value in predictor.items() if key != "replicas"}
        if "replicas" in present:
            sized["replicas"] = present["replicas"]
        return {**template, "spec": {**template["spec"], "predictors": [sized]}}

    def tell(self, inputs: Inputs, decision: Decision) -> None:
        """The audit log's lines of a pass."""
        if self._audit:
            self._audit.write(records_of(inputs, decision))

    def tell_stalled(self, obj: Object, reason: str, message: str, now: float) -> None:
        """The line of a rollout that cannot be worked on."""
        if self._audit:
            self._audit.write([stall_record(obj, reason, message, now)])

    def _with_digests(self, rollout: Rollout, status: RolloutStatus) -> RolloutStatus:
        candidate = status.candidate
        if candidate is None:
            return status
        try:
            pods = list(self._pods(rollout.namespace, rollout.deployment_name))
        except ApiError as error:
            log.warning("digests not read", rollout=rollout.key, error=str(error))
            return status
        digests = digests_of(pods, candidate.predictor)
        digests = {image: found for image, found in digests.items() if image in candidate.images}
        if not digests:
            return status
        known = candidate.model_copy(update={"digests": digests})
        return status.model_copy(update={"candidate": known})

    def _with_template(self, obj: Object, rollout: Rollout, status: RolloutStatus) -> RolloutStatus:
        before, head = rollout.status.templates, status.templates[0]
        try:
            self._store(obj, rollout, head)
        except ApiError as error:
            log.warning("template not kept for undo", rollout=rollout.key, error=str(error))
            return status.model_copy(update={"templates": before})
        kept = {entry.revision for entry in status.templates}
        for entry in before:
            if entry.revision not in kept:
                self._remove(rollout, entry)
        return status

    def _store(self, obj: Object, rollout: Rollout, head: StoredTemplate) -> None:
        revision = controller_revision(obj, rollout, head)
        try:
            self._client.create(CONTROLLER_REVISIONS, revision, rollout.namespace)
        except AlreadyExistsError:
            # Promoted once before, or stored by a pass whose status was not written. No right to
            # change one is needed: it is made anew.
            self._remove(rollout, head)
            self._client.create(CONTROLLER_REVISIONS, revision, rollout.namespace)

    def _remove(self, rollout: Rollout, entry: StoredTemplate) -> None:
        try:
            self._client.delete(
                CONTROLLER_REVISIONS, template_name(rollout.name, entry.revision), rollout.namespace
            )
        except NotFoundError:
            pass
        except ApiError as error:
            log.warning("old template not removed", rollout=rollout.key, error=str(error))


def controller_revision(obj: Object, rollout: Rollout, head: StoredTemplate) -> dict[str, Any]:
    """What `undo` needs of a revision, owned by the ModelRollout and so deleted with it."""
    return {
        "apiVersion": CONTROLLER_REVISIONS.api_version,
        "kind": CONTROLLER_REVISIONS.kind,
        "metadata": {
            "name": template_name(rollout.name, head.revision),
            "labels": {ROLLOUT_LABEL: rollout.name[:_LONGEST_LABEL].rstrip("-.")},
            "ownerReferences": [
                {
                    "apiVersion": API_VERSION,
                    "kind": MODEL_ROLLOUTS.kind,
                    "name": rollout.name,
                    "uid": rollout.uid,
                    "controller": True,
                    "blockOwnerDeletion": False,
                }
            ],
        },
        "revision": head.number,
        "data": {
            "template": obj["spec"]["template"],
            "source": obj["spec"].get("source") or {},
        },
    }


def digests_of(pods: Iterable[Mapping[str, Any]], predictor: str) -> dict[str, str]:
    """Image -> digest, of the predictor's ready pods.

    Where pods of one image have several digests (a tag that was pushed again) all are named.
    """
    found: dict[str, set[str]] = {}
    for pod in pods:
        labels = (pod.get("metadata") or {}).get("labels") or {}
        if labels.get("version") != predictor or not _ready(pod):
            continue
        images = {c["name"]: c.get("image") for c in (pod.get("spec") or {}).get("containers", ())}
        for status in (pod.get("status") or {}).get("containerStatuses") or ():
            image, digest = images.get(status.get("name")), _digest(status.get("imageID") or "")
            if image and digest:
                found.setdefault(image, set()).add(digest)
    return {image: ", ".join(sorted(digests)) for image, digests in found.items()}


def _digest(image_id: str) -> str:
    """Of `registry/repo@sha256:…`, `docker-pullable://…@sha256:…` or `sha256:…` alone."""
    _, found, digest = image_id.rpartition("sha256:")
    return found + digest if found else ""


def _ready(pod: Mapping[str, Any]) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)
