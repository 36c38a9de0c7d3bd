"""`sluice simulate`: what a policy would do, over many simulated rollouts."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from sluice.cli.options import Output, OutputOption
from sluice.cli.output import plain_table, print_data
from sluice.errors import UsageError
from sluice.simulation.files import read_policy
from sluice.simulation.scenario import Scenario, read_scenarios
from sluice.simulation.serving import in_scenario
from sluice.simulation.simulate import simulate as run_scenarios

_HEADERS = [
    "SCENARIO", "TRUTH", "RUNS", "PROMOTED", "ROLLED BACK", "UNDECIDED", "MIN TO ROLLBACK",
    "REQUESTS", "BAD", "MIN TO PROMOTE", "LIMIT", "RATIO",
]  # fmt: skip


def simulate(
    policy: Annotated[Path, typer.Option("--policy", help="File with one policy.")],
    scenario: Annotated[
        list[Path], typer.Option("--scenario", help="File with scenarios; may be repeated.")
    ],
    runs: Annotated[int, typer.Option(min=1, max=1_000_000, help="Rollouts per scenario.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same answer.")] = 1,
    jobs: Annotated[int, typer.Option(min=0, help="Processes; 0: one per core.")] = 0,
    output: OutputOption = Output.TABLE,
) -> None:
    """Play many rollouts of a policy over simulated traffic, with the controller's own engine."""
    read = read_policy(policy)
    scenarios = [found for path in scenario for found in read_scenarios(path)]
    _names_differ(scenarios)
    console = Console(stderr=True)
    progress = Progress(
        TextColumn("simulating"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        console=console, transient=True, disable=not console.is_terminal,
    )  # fmt: skip
    with progress:
        bar = progress.add_task("", total=runs * len(scenarios))
        results = run_scenarios(
            read,
            scenarios,
            runs=runs,
            seed=seed,
            jobs=jobs or os.cpu_count() or 1,
            tell=lambda done: progress.advance(bar, done),
        )
    for each in scenarios:
        for name, lacks in in_scenario(read, each)[1].items():
            sys.stderr.write(
                f"Not simulated: {name}. Scenario {each.name} does not have {lacks}; the other "
                "checks keep their part of the risk.\n"
            )
    if output is Output.TABLE:
        rows = [_row(result) for result in results]
        sys.stdout.write(plain_table(_HEADERS, rows) + "\n")
    else:
        print_data(results, output)


def _names_differ(scenarios: list[Scenario]) -> None:
    names = [scenario.name for scenario in scenarios]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(
                f"the scenario name {name!r} is there {names.count(name)} times: give each its "
                "own, the traffic is drawn by it"
            )


def _row(result: dict[str, Any]) -> list[str]:
    return [
        result["name"],
        result["truth"],
        f"{result['runs']}",
        *(_rate(result[what]) for what in ("promoted", "rolledBack", "undecided")),
        _shown(result["secondsToRollback"]["p50"], 60.0, ".1f"),
        _shown(result["candidateRequestsToRollback"]["p50"], 1.0, ",.0f"),
        _shown(result["badRequestsToRollback"]["p50"], 1.0, ",.0f"),
        _shown(result["secondsToPromote"]["p50"], 60.0, ".1f"),
        _shown(result["limit"], 1.0, ",.0f"),
        _shown(result["ratioToLimit"], 1.0, ".2f"),
    ]


def _rate(rate: dict[str, Any]) -> str:
    low, high = rate["ci95"]
    return f"{rate['rate'] * 100:.1f}% ({low * 100:.1f}-{high * 100:.1f})"


def _shown(value: float | None, unit: float, form: str) -> str:
    return "-" if value is None else format(value / unit, form)
