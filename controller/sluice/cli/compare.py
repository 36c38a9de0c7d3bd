"""`sluice compare`: the same requests to two versions, and whether they answer alike."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from sluice.cli.controller import parse_headers
from sluice.cli.options import (
    Context,
    Kubeconfig,
    Namespace,
    Output,
    OutputOption,
    complete_names,
    duration,
    get_rollout,
)
from sluice.cli.output import print_data
from sluice.cli.progress import Bar
from sluice.compare import result
from sluice.compare.asking import Side, ask_both
from sluice.compare.checks import HARM, PASS
from sluice.compare.classes import PerClass
from sluice.compare.lines import read_requests
from sluice.compare.reaching import sides as sides_of
from sluice.compare.totals import Tolerance, Totals
from sluice.compare.url import Url
from sluice.errors import UsageError
from sluice.kube.client import Client

_DIFFERENT, _NOT_SHOWN = 3, 5
_LEAST_CONNECTIONS = 10


def compare(
    rollout: Annotated[
        str | None,
        typer.Argument(
            help="A ModelRollout in progress: its stable and its candidate are asked.",
            autocompletion=complete_names,
        ),
    ] = None,
    requests: Annotated[
        Path | None,
        typer.Option("--requests", help="JSON Lines, one request body a line (.gz, - for stdin)."),
    ] = None,
    stable: Annotated[
        str | None, typer.Option("--stable", help="URL of the version to compare with.")
    ] = None,
    candidate: Annotated[
        str | None, typer.Option("--candidate", help="URL of the version to judge.")
    ] = None,
    agreement: Annotated[
        float,
        typer.Option(min=0.0, max=1.0, help="Share of rows that must agree at least."),
    ] = 0.99,
    distance: Annotated[
        float | None,
        typer.Option(min=0.0, help="Numbers may be so far apart. Default: labels alone count."),
    ] = None,
    class_agreement: Annotated[
        float | None,
        typer.Option(
            "--class-agreement",
            min=0.0,
            max=1.0,
            help="Judge every class that the stable predicts, too: this share of its rows.",
        ),
    ] = None,
    class_rows: Annotated[
        int | None,
        typer.Option(
            "--class-rows",
            min=1,
            help="A class with fewer rows is judged for harm alone. Default: as many as it takes.",
        ),
    ] = None,
    slower: Annotated[
        float | None,
        typer.Option(min=0.01, help="Judge latency too: most may take so many times as long."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Send so many requests at most.")
    ] = None,
    parallel: Annotated[
        int, typer.Option(min=1, max=64, help="Requests under way at a time, each to both in turn.")
    ] = 4,
    timeout: Annotated[
        float,
        typer.Option(parser=duration, metavar="DURATION", help="For one answer."),
    ] = 10.0,
    header: Annotated[
        list[str] | None, typer.Option("--header", help="With URLs: NAME=VALUE; may be repeated.")
    ] = None,
    examples: Annotated[
        int, typer.Option(min=0, max=1000, help="Show so many of the worst pairs.")
    ] = 5,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Send the same requests to two versions and compare their answers.

    Exit code 0: the same within the tolerance, 3: different, 5: too few requests to tell.
    """
    if requests is None:
        raise UsageError("give --requests FILE: one request body a line")
    if (rollout is None) == (stable is None and candidate is None):
        raise UsageError("give either a ModelRollout, or --stable URL and --candidate URL")
    if rollout is None and (stable is None or candidate is None):
        raise UsageError("give both --stable URL and --candidate URL")
    if rollout is not None and header:
        raise UsageError("--header goes with --stable and --candidate")
    if class_rows is not None and class_agreement is None:
        raise UsageError("--class-rows goes with --class-agreement")
    per_class = None if class_agreement is None else PerClass(class_agreement, class_rows)
    pair: tuple[Side, Side]
    if rollout is not None:
        client = Client.connect(
            kubeconfig=kubeconfig, context=context, user_agent="sluice-cli",
            connections=max(parallel, _LEAST_CONNECTIONS),
        )  # fmt: skip
        where = namespace or client.namespace
        found = get_rollout(client, rollout, where)
        pair = sides_of(client, found, where, timeout=timeout, parallel=parallel)
    else:
        headers = parse_headers(header or [])
        pair = (
            Url(str(stable), timeout=timeout, parallel=parallel, headers=headers),
            Url(str(candidate), timeout=timeout, parallel=parallel, headers=headers),
        )
    totals = Totals(Tolerance(agreement, distance, slower, per_class), examples)
    count = _lines(requests, limit)
    with Bar("asking") as bar:
        ask_both(
            read_requests(requests, limit), *pair, totals, parallel=parallel,
            tell=lambda done: bar(done, count),
        )  # fmt: skip
    if not totals.requests:
        raise UsageError(f"{requests}: expected requests, found none")
    names = {"stable": pair[0].where, "candidate": pair[1].where}
    if output is Output.TABLE:
        sys.stdout.write("\n".join(result.text(totals, names)) + "\n")
    else:
        print_data(result.data(totals, names), output)
    verdict = totals.verdict()
    if verdict != PASS:
        raise typer.Exit(_DIFFERENT if verdict == HARM else _NOT_SHOWN)


def _lines(path: Path, limit: int | None) -> int | None:
    """For the bar; None where it cannot be known before."""
    if str(path) == "-" or path.suffix == ".gz" or not path.is_file():
        return limit
    with path.open("rb") as file:
        count = sum(1 for line in file if line.strip())
    return count if limit is None else min(limit, count)
