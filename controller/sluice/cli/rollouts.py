"""`sluice list` and `sluice status`."""

from __future__ import annotations

import sys
import threading
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.live import Live

from sluice.api.status import Phase, RolloutStatus
from sluice.cli.options import (
    Context,
    Kubeconfig,
    Namespace,
    Output,
    OutputOption,
    connect,
    get_rollout,
)
from sluice.cli.output import console, plain_table, print_data
from sluice.cli.view import details, list_row, news
from sluice.errors import ApiUnavailableError, GoneError, NotFoundError, WaitTimeoutError
from sluice.kube.client import Client
from sluice.kube.resources import MODEL_ROLLOUTS

ROLLED_BACK = 3
_WATCH_SECONDS = 60
_RETRY_SECONDS = 2.0


def list_rollouts(
    namespace: Namespace = None,
    all_namespaces: Annotated[bool, typer.Option("--all-namespaces", "-A")] = False,
    output: OutputOption = Output.TABLE,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """List the rollouts of a namespace, or of all."""
    client, namespace = connect(kubeconfig, context, namespace)
    found = client.list(MODEL_ROLLOUTS, None if all_namespaces else namespace).items
    if output is not Output.TABLE:
        items = {"apiVersion": "v1", "kind": "List", "items": found}
        print_data(items, output)
        return
    if not found:
        where = "any namespace" if all_namespaces else f"namespace {namespace}"
        sys.stderr.write(f"No rollouts in {where}.\n")
        return
    headers = ["NAME", "PHASE", "STEP", "WEIGHT", "VERDICT", "STABLE", "CANDIDATE", "AGE"]
    if all_namespaces:
        headers.insert(0, "NAMESPACE")
    rows = [list_row(obj, with_namespace=all_namespaces) for obj in found]
    sys.stdout.write(plain_table(headers, rows) + "\n")


def status(
    name: Annotated[str, typer.Argument(help="The ModelRollout.")],
    watch: Annotated[
        bool,
        typer.Option("--watch", "-w", help="Follow until the rollout ends; exit 3 on rollback."),
    ] = False,
    timeout: Annotated[
        float | None, typer.Option(help="With --watch: give up after seconds (exit 5).")
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
            console().print(details(obj))
        else:
            print_data(obj, output)
        return
    last = _follow(client, obj, output, timeout)
    phase = RolloutStatus.model_validate(last.get("status") or {}).phase
    if phase is Phase.ROLLED_BACK:
        raise typer.Exit(ROLLED_BACK)


def ended(obj: dict[str, Any]) -> bool:
    """The controller has seen this generation and has nothing more to do for it."""
    status = RolloutStatus.model_validate(obj.get("status") or {})
    seen = status.observed_generation == obj["metadata"].get("generation")
    ready = status.condition("Ready")
    settled = status.phase is Phase.ROLLED_BACK or (ready is not None and ready.status == "True")
    return seen and not status.phase.active and settled


def _follow(
    client: Client, obj: dict[str, Any], output: Output, timeout: float | None
) -> dict[str, Any]:
    """Draw each change until the rollout has ended; one watch, no polling."""
    late = threading.Event()
    timer = threading.Timer(timeout, late.set) if timeout else None
    if timer:
        timer.daemon = True
        timer.start()
    if output is not Output.TABLE:
        print_data(obj, output)
        return _until_ended(client, obj, late, lambda o: print_data(o, output))
    if not sys.stdout.isatty():
        return _until_ended(client, obj, late, _Lines(obj))
    with Live(details(obj), console=console(), refresh_per_second=4) as live:
        return _until_ended(client, obj, late, lambda o: live.update(details(o)))


class _Lines:
    """For logs and pipes: one line for each change of what one would act on, then the whole."""

    def __init__(self, obj: dict[str, Any]) -> None:
        self._last = ""
        self(obj)

    def __call__(self, obj: dict[str, Any]) -> None:
        line = news(obj)
        if line != self._last:
            self._last = line
            sys.stdout.write(f"{datetime.now(UTC):%H:%M:%S}Z  {line}\n")
            sys.stdout.flush()
        if ended(obj):
            console().print(details(obj))


def _until_ended(
    client: Client, obj: dict[str, Any], late: threading.Event, show: Any
) -> dict[str, Any]:
    name, namespace = obj["metadata"]["name"], obj["metadata"]["namespace"]
    while not ended(obj):
        if late.is_set():
            raise WaitTimeoutError(f"{namespace}/{name} has not ended in time")
        try:
            stream = client.watch(
                MODEL_ROLLOUTS,
                namespace,
                resource_version=obj["metadata"]["resourceVersion"],
                timeout_seconds=min(_WATCH_SECONDS, 5),
            )
            for event in stream:
                if late.is_set():
                    break
                if event.object["metadata"].get("name") != name:
                    continue
                if event.type == "DELETED":
                    raise NotFoundError(f"ModelRollout {namespace}/{name} was deleted")
                obj = event.object
                show(obj)
                if ended(obj):
                    break
        except (GoneError, ApiUnavailableError):
            late.wait(_RETRY_SECONDS)
            obj = get_rollout(client, name, namespace)
            show(obj)
    return obj
