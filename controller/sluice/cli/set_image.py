"""`sluice set-image`: a new image into the ModelRollout's template, which starts a rollout."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from sluice.cli.gitops import owner_in_git
from sluice.cli.image_patch import image_changes, image_patch, wanted_images
from sluice.cli.options import Context, Kubeconfig, Name, Namespace, connect, get_rollout
from sluice.cli.wait import Quiet, Timeout, wait_for
from sluice.cli.waiting import Wanted
from sluice.errors import ConflictError, PatchTestFailedError, UsageError
from sluice.kube.client import Client
from sluice.resources import MODEL_ROLLOUTS

_ATTEMPTS = 4


def set_image(
    name: Name,
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="[CONTAINER=]IMAGE...", help="The container may be left out if one."
        ),
    ],
    source: Annotated[
        list[str] | None,
        typer.Option(
            "--source",
            metavar="KEY=VALUE",
            help="For spec.source, e.g. gitCommit=ab12; repeatable.",
        ),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Then wait until it is promoted, as `sluice wait` does.")
    ] = False,
    timeout: Timeout = 1800.0,
    quiet: Quiet = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Let the server check the change, and keep nothing.")
    ] = False,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Change the image of a model; the controller then rolls it out."""
    origin = _pairs(source or [])
    client, namespace = connect(kubeconfig, context, namespace)
    obj = get_rollout(client, name, namespace)
    if tool := owner_in_git(obj):
        sys.stderr.write(
            f"warning: {namespace}/{name} is kept by {tool}, which may set the image back: change "
            "it there too\n"
        )
    obj = _write(client, obj, images, origin, dry_run=dry_run, quiet=quiet)
    if wait and not dry_run:
        wanted = [Wanted("promoted")]
        raise typer.Exit(wait_for(client, obj, wanted, None, timeout=timeout, quiet=quiet))


def _write(
    client: Client,
    obj: dict[str, Any],
    images: list[str],
    origin: dict[str, str],
    *,
    dry_run: bool,
    quiet: bool,
) -> dict[str, Any]:
    """Patch, reading anew when somebody was faster; returns the object as it is then."""
    name, namespace = obj["metadata"]["name"], obj["metadata"]["namespace"]
    who = f"modelrollout.sluice.dev/{name}"
    for attempt in range(_ATTEMPTS):
        if attempt:
            obj = get_rollout(client, name, namespace)
        wanted = wanted_images(obj, images)
        changes = image_changes(obj, wanted)
        ops = image_patch(obj, wanted, origin)
        if not ops:
            _say(f"{who}: nothing changed, the image is set already", quiet)
            return obj
        try:
            written = client.json_patch(MODEL_ROLLOUTS, name, namespace, ops, dry_run=dry_run)
        except PatchTestFailedError:
            continue
        for change in changes:
            _say(
                f"{who}: {change.container}: {change.old or 'no image'} "
                f"-> {change.new}" + (" (dry run)" if dry_run else ""),
                quiet,
            )
        if changes:
            _warn_old_source(obj, origin)
        else:
            _say(f"{who}: source changed, the image was set already", quiet)
        return written
    raise ConflictError(
        f"{namespace}/{name} was changed by somebody else at every one of {_ATTEMPTS} attempts: "
        "look who writes it (`kubectl get mro -o yaml --show-managed-fields`) and try again"
    )


def _warn_old_source(obj: dict[str, Any], origin: dict[str, str]) -> None:
    left = sorted(set(obj["spec"].get("source") or {}) - set(origin))
    if left:
        sys.stderr.write(
            f"warning: spec.source keeps {', '.join(left)} of the image before; the history will "
            "say so of this one: give --source KEY=VALUE\n"
        )


def _pairs(given: list[str]) -> dict[str, str]:
    pairs = {}
    for text in given:
        key, separator, value = text.partition("=")
        if not key or not separator:
            raise UsageError(f"--source {text}: expected KEY=VALUE")
        pairs[key] = value
    return pairs


def _say(text: str, quiet: bool) -> None:
    if not quiet:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
