"""Options that commands share, named as kubectl names them."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from sluice.errors import NotFoundError
from sluice.kube.client import Client
from sluice.kube.resources import MODEL_ROLLOUTS

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


def connect(
    kubeconfig: str | None, context: str | None, namespace: str | None
) -> tuple[Client, str]:
    """A client, and the namespace to work in."""
    client = Client.connect(kubeconfig=kubeconfig, context=context, user_agent="sluice-cli")
    return client, namespace or client.namespace


def get_rollout(client: Client, name: str, namespace: str) -> dict[str, Any]:
    """The ModelRollout. Raises NotFoundError with where else to look."""
    try:
        return client.get(MODEL_ROLLOUTS, name, namespace)
    except NotFoundError as error:
        if error.reason != "NotFound":  # the server does not know the kind: its words say so
            raise
        raise NotFoundError(
            f"there is no ModelRollout {name!r} in namespace {namespace}; `sluice list -A` shows "
            "those of all namespaces",
            status=error.status,
            reason=error.reason,
        ) from error
