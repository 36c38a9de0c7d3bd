"""`sluice undo | restart`: changes of `spec.template`, judged like any other change of it.

They change what the user owns. Where Git owns it, the next sync takes the change back: the command
says so, and the commit is what has to be reverted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from sluice.api.rollout import template_name
from sluice.api.status import Phase, RolloutStatus, StoredTemplate
from sluice.cli.gitops import owner_in_git
from sluice.cli.options import Context, Kubeconfig, Name, Namespace, connect
from sluice.cli.view import age
from sluice.errors import NotAllowedError, NotFoundError, PatchTestFailedError
from sluice.kube.client import Client
from sluice.resources import CONTROLLER_REVISIONS, MODEL_ROLLOUTS
from sluice.seldon.revision import revision_of

RESTARTED_ANNOTATION = "sluice.dev/restartedAt"
_PREDICTOR = "/spec/template/spec/predictors/0"


def undo(
    name: Name,
    to_revision: Annotated[
        str | None,
        typer.Option(
            help="A revision, or its number in `sluice history`; default: the one before."
        ),
    ] = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Put an earlier template back into the spec; in mid-rollout that is the stable's."""
    client, namespace = connect(kubeconfig, context, namespace)
    obj = client.get(MODEL_ROLLOUTS, name, namespace)
    where = f"{namespace}/{name}"
    target = _target(obj, to_revision, where)
    kept = _kept(client, name, namespace, target)
    template = _with_replicas_of(kept["template"], obj["spec"]["template"])
    patch = [{"op": "replace", "path": "/spec/template", "value": template}]
    if source := kept.get("source"):
        patch.append({"op": "add", "path": "/spec/source", "value": source})
    elif "source" in obj["spec"]:
        patch.append({"op": "remove", "path": "/spec/source"})
    _patch(client, obj, patch, f"undo {where}")
    _say(f"{name}: the template is that of revision {target.revision} ({target.number}) again")
    _warn_of_other_owners(obj)


def restart(
    name: Name,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """New pods of the same version, brought in and judged step by step like a new one."""
    client, namespace = connect(kubeconfig, context, namespace)
    obj = client.get(MODEL_ROLLOUTS, name, namespace)
    status = RolloutStatus.model_validate(obj.get("status") or {})
    predictor = obj["spec"]["template"]["spec"]["predictors"][0]
    if why := _not_at_rest(status, revision_of(predictor)):
        raise NotAllowedError(f"restart {namespace}/{name}: {why}")
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    annotations = {**(predictor.get("annotations") or {}), RESTARTED_ANNOTATION: now}
    patch = [{"op": "add", "path": f"{_PREDICTOR}/annotations", "value": annotations}]
    _patch(client, obj, patch, f"restart {namespace}/{name}")
    _say(f"{name}: new pods of the same version come in as a rollout")
    _warn_of_other_owners(obj)


def _target(obj: dict[str, Any], wanted: str | None, where: str) -> StoredTemplate:
    kept = RolloutStatus.model_validate(obj.get("status") or {}).templates
    present = revision_of(obj["spec"]["template"]["spec"]["predictors"][0])
    others = [entry for entry in kept if entry.revision != present]
    if wanted is None:
        if others:
            return others[0]
        raise NotAllowedError(f"undo {where}: no earlier template is kept: {_choice(kept)}")
    for entry in kept:
        if wanted in (str(entry.number), entry.revision):
            if entry.revision == present:
                raise NotAllowedError(f"undo {where}: the template is that of {wanted} already")
            return entry
    raise NotAllowedError(f"undo {where}: no template of {wanted!r} is kept: {_choice(kept)}")


def _choice(kept: Sequence[StoredTemplate]) -> str:
    entries = [f"{e.number} ({e.revision}, {age(e.at)} ago)" for e in kept]
    return "there is " + (", ".join(entries) or "none yet, the first is kept once it serves")


def _kept(client: Client, name: str, namespace: str, target: StoredTemplate) -> dict[str, Any]:
    stored = template_name(name, target.revision)
    try:
        found = client.get(CONTROLLER_REVISIONS, stored, namespace)
    except NotFoundError as error:
        raise NotAllowedError(
            f"the template of revision {target.revision} was kept in ControllerRevision "
            f"{namespace}/{stored}, which is gone: choose another with --to-revision"
        ) from error
    data: dict[str, Any] = found.get("data") or {}
    template = data.get("template")
    kept_as = template and revision_of(template["spec"]["predictors"][0])
    if kept_as != target.revision:
        raise NotAllowedError(
            f"ControllerRevision {namespace}/{stored} does not hold revision {target.revision} "
            f"(found {kept_as or 'no template'}): choose another with --to-revision"
        )
    return data


def _with_replicas_of(template: dict[str, Any], present: dict[str, Any]) -> dict[str, Any]:
    """How many pods there are is no part of a version, as with `kubectl rollout undo`."""
    [predictor], [now] = template["spec"]["predictors"], present["spec"]["predictors"]
    predictor = {key: value for key, value in predictor.items() if key != "replicas"}
    if "replicas" in now:
        predictor["replicas"] = now["replicas"]
    return {**template, "spec": {**template["spec"], "predictors": [predictor]}}


def _not_at_rest(status: RolloutStatus, present: str) -> str:
    """Why a restart would be something else than new pods of the stable; "" when it is that."""
    if status.phase.active:
        return f"a rollout is in progress (phase {status.phase}), and a restart would begin it anew"
    if status.phase is Phase.ROLLED_BACK:
        return "the template is that of the rejected revision: `sluice undo` first"
    if status.stable is None or status.stable.revision != present:
        return "the template is not the one that serves: `sluice undo` first"
    return ""


def _patch(client: Client, obj: dict[str, Any], patch: list[dict[str, Any]], what: str) -> None:
    """Change the spec as it was read: the generation tells, while a status changes all the time."""
    meta = obj["metadata"]
    unchanged = {"op": "test", "path": "/metadata/generation", "value": meta["generation"]}
    try:
        client.json_patch(MODEL_ROLLOUTS, meta["name"], meta["namespace"], [unchanged, *patch])
    except PatchTestFailedError as error:
        raise NotAllowedError(
            f"{what}: its spec was changed in the meantime: look again, and repeat the command"
        ) from error


def _warn_of_other_owners(obj: dict[str, Any]) -> None:
    if owner := owner_in_git(obj):
        sys.stderr.write(
            f"warning: {owner} keeps this ModelRollout, and its next sync takes the change back: "
            "change it there too\n"
        )


def _say(text: str) -> None:
    sys.stdout.write(f"modelrollout.sluice.dev/{text}\n")
