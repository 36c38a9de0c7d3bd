"""Options that commands share, named as kubectl names them."""

from __future__ import annotations

import difflib
from enum import StrEnum
from typing import Annotated, Any

import typer

from sluice.api.base import parse_duration
from sluice.errors import ApiError, NotFoundError
from sluice.kube.client import Client
from sluice.kube.transport import Timeout
from sluice.resources import MODEL_ROLLOUTS

# A tab key must not hang on a cluster that is away. Seconds.
_COMPLETION_TIMEOUT = Timeout(0.5, 1.5)
_NAMES_IN_A_MESSAGE = 8

Namespace = Annotated[
    str | None,
    typer.Option("--namespace", "-n", help="Namespace; default: the kubeconfig context's."),
]
Context = Annotated[str | None, typer.Option("--context", help="Context of the kubeconfig.")]
Kubeconfig = Annotated[
    str | None, typer.Option("--kubeconfig", help="Path of the kubeconfig; default: as kubectl.")
]


class Output(StrEnum):
    """Forms of output."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


OutputOption = Annotated[Output, typer.Option("--output", "-o", help="table, json or yaml.")]


def duration(text: str) -> float:
    """Seconds of ``90s``, ``30m``, ``1h30m``, or of a bare number of seconds."""
    try:
        # Typer hands a default over as it stands, and a bare number is kubectl's 0.
        seconds = float(text)
    except ValueError:
        try:
            return parse_duration(text)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error
    if not 0 <= seconds < float("inf"):
        raise typer.BadParameter(f"expected a duration such as 90s or 30m, found {text}")
    return seconds


def complete_names(context: typer.Context, incomplete: str) -> list[str]:
    """Names of rollouts that begin so; none when the cluster does not answer at once."""
    given = context.params
    try:
        client, namespace = connect(
            given.get("kubeconfig"), given.get("context"), given.get("namespace")
        )
        found = client.with_timeout(_COMPLETION_TIMEOUT).list(MODEL_ROLLOUTS, namespace).items
    except Exception:
        # Whatever is wrong, a shell that completes is no place to say it.
        return []
    return [name for name in _names(found) if name.startswith(incomplete)]


Name = Annotated[str, typer.Argument(help="The ModelRollout.", autocompletion=complete_names)]


def connect(
    kubeconfig: str | None, context: str | None, namespace: str | None
) -> tuple[Client, str]:
    """A client, and the namespace to work in."""
    client = Client.connect(kubeconfig=kubeconfig, context=context, user_agent="sluice-cli")
    return client, namespace or client.namespace


def get_rollout(client: Client, name: str, namespace: str) -> dict[str, Any]:
    """The ModelRollout. Raises NotFoundError that names the one which was probably meant."""
    try:
        return client.get(MODEL_ROLLOUTS, name, namespace)
    except NotFoundError as error:
        # Where the server does not know the kind, its own words say what to install.
        if error.reason != "NotFound" or "does not serve this kind" in str(error):
            raise
        raise NotFoundError(
            f"there is no ModelRollout {namespace}/{name}{_meant(client, name, namespace)}",
            status=error.status,
            reason=error.reason,
            verb=error.verb,
            path=error.path,
        ) from error


def _meant(client: Client, name: str, namespace: str) -> str:
    """What to look for instead, as the end of a sentence."""
    try:
        names = _names(client.list(MODEL_ROLLOUTS, namespace).items)
    except ApiError:
        return ""
    if near := difflib.get_close_matches(name, names, n=1):
        return f": did you mean {near[0]}?"
    if elsewhere := _elsewhere(client, name):
        return f", but one in namespace {elsewhere}: give -n {elsewhere}"
    if not names:
        return f": namespace {namespace} has none at all; `sluice list -A` shows all namespaces"
    shown = ", ".join(names[:_NAMES_IN_A_MESSAGE])
    more = len(names) - _NAMES_IN_A_MESSAGE
    return f"; there are {shown}" + (f" and {more} more" if more > 0 else "")


def _elsewhere(client: Client, name: str) -> str:
    try:
        found = client.list(MODEL_ROLLOUTS, field_selector=f"metadata.name={name}").items
    except ApiError:
        return ""  # a look at all namespaces is a right that few people have
    return str(found[0]["metadata"]["namespace"]) if found else ""


def _names(found: list[dict[str, Any]]) -> list[str]:
    return sorted(str(obj["metadata"]["name"]) for obj in found)
