"""`sluice lint`: what is wrong with policies and ModelRollouts, and what they will take."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from sluice.cli.options import Output, OutputOption
from sluice.cli.output import print_data
from sluice.simulation.cost import Cost
from sluice.simulation.files import read_documents
from sluice.simulation.lint import REALISTIC, Level, Linted, Traffic
from sluice.simulation.lint import lint as lint_documents


def lint(
    files: Annotated[list[Path], typer.Argument(help="Files with policies and ModelRollouts.")],
    rps: Annotated[
        float | None, typer.Option("--rps", min=0, help="Requests a second, both sides together.")
    ] = None,
    error_rate: Annotated[
        float | None,
        typer.Option("--error-rate", min=0, max=1, help="The stable's failing share, e.g. 0.005."),
    ] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Check policies and ModelRollouts; exit 1 on an error, 2 when a file cannot be read."""
    documents = [document for path in files for document in read_documents(path)]
    linted = lint_documents(documents, Traffic(rps, error_rate))
    if output is Output.TABLE:
        sys.stdout.write("\n".join(line for each in linted for line in _lines(each)) + "\n")
        if rps is None or error_rate is None:
            sys.stderr.write(
                "With --rps and --error-rate it is also said how long decisions will take.\n"
            )
    else:
        print_data([_data(each) for each in linted], output)
    if any(finding.level is Level.ERROR for each in linted for finding in each.findings):
        raise typer.Exit(1)


def _lines(linted: Linted) -> list[str]:
    document = linted.document
    lines = [f"{document.where}: {document.kind or '(no kind)'} {document.name}".rstrip()]
    for finding in linted.findings:
        lines.append(f"  {finding.level.value}: {finding.where}: {finding.what}")
        lines.append(f"    -> {finding.fix}")
    if not linted.findings:
        lines.append("  nothing to complain about")
    for cost in linted.costs:
        lines.append(f"  {cost.what}: {_said(cost)}")
    if linted.costs:
        lines.append(
            f"  (the least that is possible, times {REALISTIC:g}; docs/simulate.md says how)"
        )
    return lines


def _said(cost: Cost) -> str:
    if cost.requests is None:
        return "never"
    if cost.minutes is None:
        return f"about {cost.requests:,.0f} of the candidate's answers with a truth"
    return f"about {cost.requests:,.0f} candidate requests, {cost.minutes:,.1f} min ({cost.check})"


def _data(linted: Linted) -> dict[str, Any]:
    document = linted.document
    return {
        "file": document.file,
        "document": document.number,
        "kind": document.kind,
        "name": document.name,
        "findings": [
            {"level": f.level.value, "where": f.where, "what": f.what, "fix": f.fix}
            for f in linted.findings
        ],
        "costs": [
            {
                "what": cost.what,
                "candidateRequests": None if cost.requests is None else round(cost.requests),
                "minutes": None if cost.minutes is None else round(cost.minutes, 1),
                "check": cost.check,
            }
            for cost in linted.costs
        ],
    }
