"""`sluice report`: one HTML file about a rollout, to keep or to send."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from sluice.api.status import RolloutStatus
from sluice.api.times import from_wire
from sluice.cli.curves import read_curves
from sluice.cli.options import Context, Kubeconfig, Name, Namespace, connect, get_rollout
from sluice.cli.rollout_events import newest_events
from sluice.clock import SystemClock
from sluice.errors import MetricsError, UsageError
from sluice.metrics.client import Access, PrometheusClient
from sluice.metrics.dialects import DIALECTS, Target, dialect_named
from sluice.report.plots import stack
from sluice.report.rollout import Moment, panels
from sluice.report.rollout import report as page_of

_EVENTS = 200
_LEAST_MARK_GAP = 0.03


def report(
    name: Name,
    file: Annotated[Path, typer.Option("--output", "-o", help="The HTML file to write.")],
    prometheus: Annotated[
        str | None, typer.Option("--prometheus", help="Base URL of Prometheus, for plots.")
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option("--prometheus-token-file", help="File with a bearer token for it."),
    ] = None,
    ca_file: Annotated[
        Path | None, typer.Option("--prometheus-ca-file", help="Its CA certificate (PEM).")
    ] = None,
    dialect: Annotated[
        str, typer.Option(help=f"Where metrics come from: {', '.join(DIALECTS)}.")
    ] = "seldon",
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Write a report: what was rolled out, how each ended and why, with every number."""
    if dialect not in DIALECTS:
        raise UsageError(f"--dialect {dialect}: expected {' or '.join(DIALECTS)}")
    client, namespace = connect(kubeconfig, context, namespace)
    obj = get_rollout(client, name, namespace)
    now = SystemClock().now()
    status = RolloutStatus.model_validate(obj.get("status") or {})
    told = newest_events(client, obj, _EVENTS)
    notes = [] if told is not None else ["The events could not be read with these rights."]
    moments = [Moment(one.at, one.reason, one.message) for one in told or []]
    plots = ""
    if prometheus is not None:
        access = Access(token_file=token_file, ca_file=ca_file)
        source = PrometheusClient(prometheus, access=access)
        plots, problem = _plots(obj, status, moments, now, source, dialect)
        if problem:
            notes.append(problem)
            sys.stderr.write(f"warning: {problem}\n")
    text = page_of(f"{namespace}/{name}", status, moments, now=now, plots=plots, notes=notes)
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{file}: cannot be written: {error.strerror}") from error
    sys.stdout.write(f"{file}\n")


def _plots(
    obj: dict[str, Any],
    status: RolloutStatus,
    moments: list[Moment],
    now: float,
    client: PrometheusClient,
    dialect: str,
) -> tuple[str, str]:
    """SVG of the newest rollout, and what was in the way ("" for nothing)."""
    found = _newest(obj, status, now)
    if found is None:
        return "", "There is no rollout yet whose metrics could be shown."
    targets, began, ended = found
    try:
        stable, candidate = read_curves(client, dialect_named(dialect), targets, began, ended)
    except MetricsError as error:
        return "", f"The metrics could not be read: {error}"
    finally:
        client.close()
    marks = _marks(moments, began, ended)
    try:
        return stack(panels(stable, candidate), marks), ""
    except ImportError:
        return "", "Plots need matplotlib: install sluice-rollouts[sandbox]."


def _newest(
    obj: dict[str, Any], status: RolloutStatus, now: float
) -> tuple[list[Target], float, float] | None:
    """Stable and candidate of the rollout in progress, else of the last one; its begin and end."""
    meta = obj["metadata"]
    deployment = obj["spec"].get("seldonDeploymentName") or meta["name"]

    def target(predictor: str) -> Target:
        return Target(meta["namespace"], deployment, predictor)

    began = from_wire(status.started_at)
    if status.candidate is not None and status.stable is not None and began is not None:
        pair = [target(status.stable.predictor), target(status.candidate.predictor)]
        return pair, began, now
    if not status.history or status.stable is None:
        return None
    last = status.history[0]
    began, ended = from_wire(last.started_at), from_wire(last.ended_at)
    if began is None or ended is None:
        return None
    before = status.stable.predictor
    if last.outcome == "Promoted":
        earlier = next((e for e in status.history[1:] if e.outcome == "Promoted"), None)
        # The very first revision has no entry: then only the new one is drawn.
        before = earlier.predictor if earlier else ""
    return [target(before), target(last.predictor)], began, ended


def _marks(moments: list[Moment], began: float, ended: float) -> list[tuple[float, str]]:
    """Moments within the time, not so close together that they cannot be read."""
    marks: list[tuple[float, str]] = []
    least = (ended - began) * _LEAST_MARK_GAP
    for one in moments:
        seconds = one.at - began
        if 0 <= one.at - began <= ended - began and (
            not marks or seconds - marks[-1][0] >= least or marks[-1][1] != one.reason
        ):
            marks.append((seconds, one.reason))
    return marks
