"""`sluice list` and `sluice status`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from sluice.api.status import Phase, RolloutStatus
from sluice.cli.live_list import HEADERS, follow_list
from sluice.cli.live_status import Picture, ended, follow_status
from sluice.cli.options import (
    Context,
    Kubeconfig,
    Name,
    Namespace,
    Output,
    OutputOption,
    connect,
    duration,
    get_rollout,
)
from sluice.cli.output import console, plain_table, print_data
from sluice.cli.view import list_row
from sluice.clock import SystemClock
from sluice.errors import UsageError
from sluice.resources import MODEL_ROLLOUTS

__all__ = ["ROLLED_BACK", "ended", "list_rollouts", "status"]

ROLLED_BACK = 3


def list_rollouts(
    namespace: Namespace = None,
    all_namespaces: Annotated[
        bool, typer.Option("--all-namespaces", "-A", help="The rollouts of all namespaces.")
    ] = False,
    selector: Annotated[
        str, typer.Option("--selector", "-l", help="Label selector, e.g. team=search,tier!=test.")
    ] = "",
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Keep the list on the screen up to date.")
    ] = False,
    output: OutputOption = Output.TABLE,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """List the rollouts of a namespace, or of all."""
    client, namespace = connect(kubeconfig, context, namespace)
    scope = None if all_namespaces else namespace
    if watch:
        if output is not Output.TABLE:
            raise UsageError(
                "-w has no JSON or YAML form here: use `sluice status NAME -w -o json`"
            )
        follow_list(client, scope, selector, with_namespace=all_namespaces)
        return
    found = client.list(MODEL_ROLLOUTS, scope, label_selector=selector).items
    if output is not Output.TABLE:
        items = {"apiVersion": "v1", "kind": "List", "items": found}
        print_data(items, output)
        return
    if not found:
        where = "any namespace" if all_namespaces else f"namespace {namespace}"
        with_labels = f" with labels {selector}" if selector else ""
        sys.stderr.write(f"No rollouts in {where}{with_labels}.\n")
        return
    headers = ["NAMESPACE", *HEADERS] if all_namespaces else HEADERS
    rows = [list_row(obj, with_namespace=all_namespaces) for obj in found]
    sys.stdout.write(plain_table(headers, rows) + "\n")


def status(
    name: Name,
    watch: Annotated[
        bool,
        typer.Option("--watch", "-w", help="Follow until the rollout ends; exit 3 on rollback."),
    ] = False,
    timeout: Annotated[
        float | None,
        typer.Option(
            parser=duration,
            metavar="DURATION",
            help="With --watch: give up after this long (exit 5), e.g. 90s or 30m.",
        ),
    ] = None,
    namespace: Namespace = None,
    output: OutputOption = Output.TABLE,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Show one rollout: phase, traffic, every check with its numbers and its reason."""
    client, namespace = connect(kubeconfig, context, namespace)
    obj = get_rollout(client, name, namespace)
    if not watch:
        if output is Output.TABLE:
            picture = Picture(client, SystemClock())
            picture.take(obj)
            console().print(picture.draw())
        else:
            print_data(obj, output)
        return
    last = follow_status(client, obj, output, timeout)
    phase = RolloutStatus.model_validate(last.get("status") or {}).phase
    if phase is Phase.ROLLED_BACK:
        raise typer.Exit(ROLLED_BACK)
