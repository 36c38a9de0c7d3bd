"""Options that commands share, named as kubectl names them."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from sluice.kube.client import Client

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
