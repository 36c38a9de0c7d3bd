"""`sluice replay`: what a policy would have decided over recorded metrics."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from sluice.api.builtin import BALANCED, BUILTIN_POLICY_NAME
from sluice.api.policy import CanaryPolicySpec
from sluice.cli.controller import parse_headers
from sluice.cli.options import Output, OutputOption
from sluice.cli.output import plain_table, print_data
from sluice.cli.progress import Bar
from sluice.clock import SystemClock
from sluice.errors import UsageError
from sluice.metrics.client import Access, PrometheusClient, Timeouts
from sluice.metrics.dialects import Labels
from sluice.replay import dump, page, result
from sluice.replay.asking import Question, Source, choose, from_file, from_prometheus
from sluice.replay.play import asks_answers, play
from sluice.replay.traffic import count, count_answers
from sluice.simulation.files import POLICY_KINDS, read_documents, read_policy

_ROLLED_BACK = 3


def replay(
    prometheus: Annotated[
        str | None,
        typer.Option("--prometheus", help="Base URL of a Prometheus."),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", help="A recording that --dump has written.")
    ] = None,
    policy: Annotated[
        list[Path] | None,
        typer.Option("--policy", help="File with one policy; may be repeated. Default: balanced."),
    ] = None,
    namespace: Annotated[
        str | None, typer.Option("--namespace", "-n", help="Namespace of the predictors.")
    ] = None,
    deployment: Annotated[
        str | None, typer.Option("--deployment", help="Name of the SeldonDeployment.")
    ] = None,
    stable: Annotated[
        str | None, typer.Option("--stable", help="Predictor to compare with.")
    ] = None,
    candidate: Annotated[
        str | None, typer.Option("--candidate", help="Predictor to judge.")
    ] = None,
    start: Annotated[
        str | None,
        typer.Option("--start", help="RFC 3339, or such as '6h ago'. Default: 24h ago."),
    ] = None,
    end: Annotated[
        str | None, typer.Option("--end", help="As --start. Default: now, or the file's end.")
    ] = None,
    step: Annotated[
        str | None,
        typer.Option("--step", help="Time between looks at the metrics. Default: 15s."),
    ] = None,
    dialect: Annotated[
        str,
        typer.Option(
            envvar="SLUICE_DIALECT", help="Where metrics come from: seldon, istio, envoy."
        ),
    ] = "seldon",
    namespace_label: Annotated[str, typer.Option(help="Label of the pod's namespace.")] = (
        "namespace"
    ),
    pod_label: Annotated[str, typer.Option(help="Label of the pod's name.")] = "pod",
    prometheus_token_file: Annotated[
        Path | None, typer.Option(help="File with a bearer token.")
    ] = None,
    prometheus_ca_file: Annotated[Path | None, typer.Option(help="CA certificate (PEM).")] = None,
    prometheus_header: Annotated[
        list[str] | None, typer.Option(help="Extra header, NAME=VALUE; may be repeated.")
    ] = None,
    prometheus_timeout: Annotated[
        float, typer.Option(min=0.1, help="Seconds a query may take.")
    ] = 60.0,
    dump_to: Annotated[
        Path | None,
        typer.Option("--dump", help="Write what was read to this file (.gz: compressed)."),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Draw to this .svg, .png or .html file.")
    ] = None,
    fail_on_rollback: Annotated[
        bool, typer.Option("--fail-on-rollback", help="Exit with 3 if a policy rolls back.")
    ] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Judge two predictors that served side by side, from Prometheus' records or from a file.

    Without --stable and --candidate it lists the predictors that were recorded.
    """
    if (prometheus is None) == (file is None):
        raise UsageError("give either --prometheus URL or --file DUMP: where the metrics are")
    if plot is not None:
        page.form_of(plot)
    policies = _policies(policy or [])
    question = Question(namespace, deployment, stable, candidate, start, end, step)
    with Bar("reading") as bar:
        if file is not None:
            source = from_file(dump.load(file), question)
        else:
            access = Access(
                token_file=prometheus_token_file,
                ca_file=prometheus_ca_file,
                headers=parse_headers(prometheus_header or []),
            )
            limits = Timeouts(connect=min(3.0, prometheus_timeout), read=prometheus_timeout)
            client = PrometheusClient(str(prometheus), access=access, timeouts=limits)
            source = from_prometheus(
                client,
                dialect,
                Labels(namespace=namespace_label, pod=pod_label),
                question,
                now=SystemClock().now(),
                keep=dump_to is not None,
                answers=dump_to is not None or any(asks_answers(p) for _, p in policies),
                tell=bar,
            )
    for text in source.warnings:
        sys.stderr.write(f"warning of Prometheus: {text}\n")
    if dump_to is not None and source.recording is not None:
        dump.save(source.recording, dump_to)
        sys.stderr.write(f"recording written to {dump_to}\n")
    if not question.paired:
        _list(source, output)
        return
    outcome = _play(source, question, policies)
    if plot is not None:
        page.save(outcome, plot)
    _show(outcome, output)
    if fail_on_rollback and any(p.outcome == "rolledBack" for p in outcome.played):
        raise typer.Exit(_ROLLED_BACK)


def _policies(files: list[Path]) -> list[tuple[str, CanaryPolicySpec]]:
    if not files:
        return [(BUILTIN_POLICY_NAME, BALANCED)]
    found = []
    for path in files:
        spec = read_policy(path)
        names = [d.name for d in read_documents(path) if d.kind in POLICY_KINDS]
        found.append((names[0] or path.stem, spec, path))
    names = [name for name, _, _ in found]
    return [
        (name if names.count(name) == 1 else f"{name} ({path})", spec) for name, spec, path in found
    ]


def _play(
    source: Source, question: Question, policies: list[tuple[str, CanaryPolicySpec]]
) -> result.Replay:
    chosen = choose(source, question)
    recording = chosen.recording
    with Bar("replaying") as bar:
        total = len(policies) * (chosen.last - chosen.begin + 1)
        played, done = [], 0

        def tell(moments: int) -> None:
            nonlocal done
            done += moments
            if done % 100 == 0:
                bar(done, total)

        for name, spec in policies:
            played.append(
                play(recording, chosen.sides, name, spec, chosen.begin, chosen.last, tell)
            )
        where = (recording, chosen.sides, chosen.first, chosen.last)
        traffic = count(*where)
        asked = any(asks_answers(spec) for _, spec in policies)
        answered = count_answers(*where) if asked else None
    return result.Replay(
        recording, chosen.sides, traffic, chosen.begin, chosen.last, tuple(played), answered
    )


def _list(source: Source, output: Output) -> None:
    if output is not Output.TABLE:
        print_data(result.found_data(source.found), output)
        return
    rows = result.found_rows(source.found)
    sys.stdout.write(plain_table(result.FOUND_HEADERS, rows) + "\n")
    sys.stderr.write(source.advice() + "\n")


def _show(outcome: result.Replay, output: Output) -> None:
    if output is not Output.TABLE:
        print_data(result.data(outcome), output)
        return
    lines = [*result.overview(outcome), "", plain_table(result.HEADERS, result.rows(outcome))]
    for played in outcome.played:
        lines += ["", played.name]
        lines += [
            f"  {when.rjust(9)}  {what}".rstrip()
            for when, _, what in (line.partition("\t") for line in result.story(outcome, played))
        ]
    lines += ["", "Assumed:", *(f"- {text}" for text in result.ASSUMPTIONS)]
    sys.stdout.write("\n".join(lines) + "\n")
