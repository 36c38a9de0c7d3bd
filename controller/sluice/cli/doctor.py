"""`sluice doctor`: what keeps Sluice from working here, and what to do about it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from sluice._version import __version__
from sluice.cli.controller import parse_headers
from sluice.cli.options import Context, Kubeconfig, Namespace, Output, OutputOption, connect
from sluice.cli.output import console, print_data
from sluice.clock import SystemClock
from sluice.doctor.examine import Examination, Question
from sluice.doctor.findings import Finding, Level, report, summary
from sluice.errors import UsageError
from sluice.kube.transport import Timeout
from sluice.loops.settings import ControllerSettings
from sluice.metrics.client import Access, PrometheusClient, Timeouts
from sluice.metrics.dialects import DIALECTS, Labels

_STYLES = {
    Level.OK: "green",
    Level.NOTE: "cyan",
    Level.WARNING: "yellow",
    Level.ERROR: "bold red",
}
_WORST_FIRST = (Level.ERROR, Level.WARNING, Level.NOTE, Level.OK)
_TITLES = {
    "server": "API server",
    "crds": "Sluice's CRDs",
    "controller": "Controller",
    "rights": "Rights",
    "seldon": "Seldon Core",
    "deployments": "SeldonDeployments",
    "routing": "Istio",
    "rollouts": "ModelRollouts",
    "prometheus": "Prometheus",
}


def doctor(
    namespace: Namespace = None,
    all_namespaces: Annotated[bool, typer.Option("--all-namespaces", "-A")] = False,
    prometheus: Annotated[
        list[str] | None,
        typer.Option(help="URL of Prometheus; may be repeated. Default: the controller's."),
    ] = None,
    prometheus_token_file: Annotated[
        Path | None, typer.Option(help="File with a bearer token for it.")
    ] = None,
    prometheus_ca_file: Annotated[Path | None, typer.Option(help="CA certificate (PEM).")] = None,
    prometheus_header: Annotated[
        list[str] | None, typer.Option(help="Extra header, NAME=VALUE; may be repeated.")
    ] = None,
    dialect: Annotated[
        str | None, typer.Option(help="Look with this dialect; default: the controller's.")
    ] = None,
    namespace_label: Annotated[
        str | None, typer.Option(help="Label of the pod's namespace; default: the controller's.")
    ] = None,
    pod_label: Annotated[
        str | None, typer.Option(help="Label of the pod's name; default: the controller's.")
    ] = None,
    controller_namespace: Annotated[
        str, typer.Option(help="Where the controller is, if you may not look everywhere.")
    ] = "sluice-system",
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Leave out what is ok (table only).")
    ] = False,
    output: OutputOption = Output.TABLE,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Check the cluster and Prometheus, before and after an install; exit 1 on an error.

    Changes nothing. docs/doctor.md explains every finding.
    """
    if dialect is not None and dialect not in DIALECTS:
        raise UsageError(f"--dialect {dialect}: expected one of {', '.join(DIALECTS)}")
    client, namespace = connect(kubeconfig, context, namespace)
    scope = None if all_namespaces else namespace
    access = Access(
        token_file=prometheus_token_file,
        ca_file=prometheus_ca_file,
        headers=parse_headers(prometheus_header or []),
    )
    usual = ControllerSettings()
    question = Question(
        scope=scope,
        prometheus=[_url(url) for url in prometheus or []],
        dialect=dialect or "",
        namespace_label=namespace_label or "",
        pod_label=pod_label or "",
        system_namespace=controller_namespace,
        default_labels=Labels(usual.prometheus.namespace_label, usual.prometheus.pod_label),
        default_dialect=usual.prometheus.dialect,
        default_pulse=usual.pulse,
    )

    def prometheus_at(url: str) -> PrometheusClient:
        return PrometheusClient(url, access=access, timeouts=Timeouts(3, 10))

    quick = client.with_timeout(Timeout(5, 15))
    findings = Examination(quick, prometheus_at, SystemClock(), question).run()
    if output is Output.TABLE:
        show(findings, console(), quiet=quiet)
    else:
        about: dict[str, Any] = {"sluice": __version__, "server": client.server, "namespace": scope}
        print_data(report(findings, **about), output)
    if any(finding.level is Level.ERROR for finding in findings):
        raise typer.Exit(1)


def _url(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise UsageError(f"--prometheus {url}: expected a URL such as http://localhost:9090")
    return url


def show(findings: list[Finding], to: Console, *, quiet: bool) -> None:
    """Group by group; under what is not ok, the remedy. The counts last."""
    for check, title in _TITLES.items():
        mine = [f for f in findings if f.check == check and not (quiet and f.level is Level.OK)]
        if not mine:
            continue
        to.print(Text(title, style="bold"))
        for finding in sorted(mine, key=lambda f: _WORST_FIRST.index(f.level)):
            to.print(_line(finding), soft_wrap=True)
            if finding.remedy:
                to.print(Text(f"           -> {finding.remedy}", style="dim"), soft_wrap=True)
    counts = summary(findings)
    shown = ", ".join(f"{counts[level]} {level.value}" for level in _WORST_FIRST)
    to.print(Text(f"\n{shown}"), soft_wrap=True)
    sys.stdout.flush()


def _line(finding: Finding) -> Text:
    line = Text("  ")
    line.append(f"{finding.level.value:<8}", style=_STYLES[finding.level])
    where = f"{finding.where}: " if finding.where else ""
    line.append(f" {where}{finding.what}")
    line.append(f"  [{finding.id}]", style="dim")
    return line
