"""`sluice convert`: a start with Sluice, from what is there."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from sluice.cli.converting.from_argo import from_rollout
from sluice.cli.converting.from_flagger import from_canary
from sluice.cli.converting.from_seldon import from_seldon_deployment
from sluice.cli.converting.result import Converted
from sluice.cli.converting.source import Source
from sluice.errors import UsageError
from sluice.simulation.files import Document, read_documents

_SELDON = "machinelearning.seldon.io/"
_ARGO = "argoproj.io/"
_FLAGGER = "flagger.app/"
_TEMPLATES = ("AnalysisTemplate", "ClusterAnalysisTemplate")


def convert(
    file: Annotated[
        Path,
        typer.Option(
            "--filename",
            "-f",
            help="With SeldonDeployments, Argo Rollouts' Rollouts or Flagger's Canaries.",
        ),
    ],
) -> None:
    """Print ModelRollouts and policies, with comments on what was carried over and what was not.

    AnalysisTemplates and Deployments that belong to them go into the same file.
    """
    documents = read_documents(file)
    converted = convert_documents(documents)
    if not converted:
        kinds = ", ".join(sorted({document.kind or "no kind" for document in documents}))
        raise UsageError(
            f"{file}: expected a SeldonDeployment, an Argo Rollouts Rollout or a Flagger Canary, "
            f"found {kinds}"
        )
    sys.stdout.write("---\n".join(one.text() for one in converted))


def convert_documents(documents: list[Document]) -> list[Converted]:
    """One conversion for each document that is of a known kind."""
    templates = {d.name: Source(d.content) for d in documents if d.kind in _TEMPLATES}
    workloads = {d.name: Source(d.content) for d in documents if d.kind == "Deployment"}
    converted = []
    for document in documents:
        source, where = Source(document.content), document.where
        group = str(document.content.get("apiVersion") or "")
        try:
            if document.kind == "SeldonDeployment" and group.startswith(_SELDON):
                converted.append(from_seldon_deployment(source, where))
            elif document.kind == "Rollout" and group.startswith(_ARGO):
                converted.append(from_rollout(source, where, templates))
            elif document.kind == "Canary" and group.startswith(_FLAGGER):
                converted.append(from_canary(source, where, workloads))
        except (TypeError, ValueError, AttributeError) as error:
            raise UsageError(
                f"{where}: expected a valid {document.kind}, found a field that cannot be read: "
                f"{error}"
            ) from error
    return converted
