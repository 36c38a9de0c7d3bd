"""`sluice promote | pause | resume | abort | retry | retrain`: acknowledged in the status."""

from __future__ import annotations

import sys
import time
import uuid
from typing import Annotated, Any

import typer

from sluice.api.rollout import COMMAND_ANNOTATION
from sluice.api.status import RolloutStatus
from sluice.cli.options import (
    Context,
    Kubeconfig,
    Name,
    Namespace,
    connect,
    duration,
    get_rollout,
)
from sluice.engine.commands import LONGEST_WHY, Command, Request, meant_for, refusal_now
from sluice.errors import NotAllowedError, UsageError, WaitTimeoutError
from sluice.kube.client import Client
from sluice.kube.rbac import who_am_i
from sluice.resources import MODEL_ROLLOUTS

Wait = Annotated[
    float,
    typer.Option(
        "--timeout",
        parser=duration,
        metavar="DURATION",
        help="How long to wait for the controller's answer.",
    ),
]
_POLL_SECONDS = 0.25


def promote(
    name: Name,
    full: Annotated[
        bool, typer.Option("--full", help="Skip all steps and the evidence: all traffic now.")
    ] = False,
    namespace: Namespace = None,
    timeout: Wait = 15.0,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Go to the next step now; with --full to the whole traffic. Blue-green: switch. In a bake:
    end it.

    Hold and evidence are skipped; a closed gate is waited for, and harm still rolls back.
    """
    command = Command.PROMOTE_FULL if full else Command.PROMOTE
    _send(command, name, namespace, timeout, context, kubeconfig)


def pause(
    name: Name,
    namespace: Namespace = None,
    timeout: Wait = 15.0,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Stop progressing; the weights stay, and harm still rolls back."""
    _send(Command.PAUSE, name, namespace, timeout, context, kubeconfig)


def resume(
    name: Name,
    namespace: Namespace = None,
    timeout: Wait = 15.0,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Go on after a pause."""
    _send(Command.RESUME, name, namespace, timeout, context, kubeconfig)


def abort(
    name: Name,
    namespace: Namespace = None,
    timeout: Wait = 15.0,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Take the candidate out, or give up one that waits for a gate, until `retry` or a change."""
    _send(Command.ABORT, name, namespace, timeout, context, kubeconfig)


def retry(
    name: Name,
    namespace: Namespace = None,
    timeout: Wait = 15.0,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Try a rolled-back revision again."""
    _send(Command.RETRY, name, namespace, timeout, context, kubeconfig)


def retrain(
    name: Name,
    reason: Annotated[
        str,
        typer.Option(help=f"Why, for whoever reads the history; at most {LONGEST_WHY} characters."),
    ] = "",
    namespace: Namespace = None,
    timeout: Wait = 15.0,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Start the retraining that spec.monitoring declares, in any phase and without its cooldown.

    Not while another one is under way. It counts in cooldown and maxPerWeek of those to come.
    """
    if len(reason) > LONGEST_WHY:
        raise UsageError(
            f"--reason has {len(reason)} characters, expected at most {LONGEST_WHY}: say it "
            "shorter, or put a link there"
        )
    _send(Command.RETRAIN, name, namespace, timeout, context, kubeconfig, why=reason)


def possible_refusal(obj: dict[str, Any], command: Command) -> str:
    """Why a command on this ModelRollout, as the API server has it, is not possible now; or ""."""
    monitoring = obj["spec"].get("monitoring") or {}
    return refusal_now(
        RolloutStatus.model_validate(obj.get("status") or {}),
        command,
        spec_paused=bool(obj["spec"].get("paused")),
        retrainable=bool(monitoring.get("onDrift") or monitoring.get("onDecay")),
    )


def _send(
    command: Command,
    name: str,
    namespace: str | None,
    timeout: float,
    context: str | None,
    kubeconfig: str | None,
    why: str = "",
) -> None:
    client, namespace = connect(kubeconfig, context, namespace)
    obj = get_rollout(client, name, namespace)
    if refusal := possible_refusal(obj, command):
        raise NotAllowedError(f"{command} {namespace}/{name}: {refusal}")
    revision = meant_for(RolloutStatus.model_validate(obj.get("status") or {}), command)
    request = Request(uuid.uuid4().hex[:12], command, revision, who_am_i(client), why)
    body = {"metadata": {"annotations": {COMMAND_ANNOTATION: request.to_annotation()}}}
    client.merge_patch(MODEL_ROLLOUTS, name, namespace, body)
    answer = _await_answer(client, name, namespace, request, timeout)
    if not answer.get("accepted"):
        raise NotAllowedError(f"{command} {namespace}/{name}: {answer.get('message', 'refused')}")
    sys.stdout.write(f"modelrollout.sluice.dev/{name}: {command} accepted\n")


def _await_answer(
    client: Client, name: str, namespace: str, request: Request, timeout: float
) -> dict[str, Any]:
    deadline = time.monotonic() + timeout
    while True:
        obj = get_rollout(client, name, namespace)
        answer: dict[str, Any] = (obj.get("status") or {}).get("lastCommand") or {}
        if answer.get("id") == request.id:
            return answer
        if time.monotonic() >= deadline:
            raise WaitTimeoutError(
                f"the controller has not answered within {timeout:g}s: is it running? "
                "The command stays in the annotation and is carried out when it comes back"
            )
        time.sleep(_POLL_SECONDS)
