"""`sluice sandbox up | status | down` and `sluice demo`."""

from __future__ import annotations

import shlex
import shutil
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from sluice.cli.options import Output, OutputOption
from sluice.cli.output import console, plain_table, print_data
from sluice.errors import SandboxError, UsageError

app = typer.Typer(
    help="Real parts on this machine: API server, Envoy, Prometheus, model servers. No root.",
    no_args_is_help=True,
)

_DRIFT = "drift"

Name = Annotated[str, typer.Option("--name", help="Several sandboxes can run side by side.")]


@app.command()
def up(
    name: Name = "default",
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Stay here; Ctrl-C takes it down.")
    ] = False,
    scrape_interval: Annotated[float, typer.Option(help="Prometheus' scrape interval, s.")] = 5.0,
) -> None:
    """Bring a sandbox up."""
    from sluice.sandbox import owner, progress
    from sluice.sandbox.layout import Layout
    from sluice.sandbox.up import Options

    if scrape_interval <= 0:
        raise UsageError(f"--scrape-interval {scrape_interval:g}: expected more than 0 seconds")
    layout = Layout.named(name)
    options = Options(scrape_seconds=scrape_interval)
    if foreground:
        code = owner.run_foreground(
            layout, options, progress.screen(), announce=lambda s: _announce(s.access())
        )
        raise typer.Exit(code)
    _announce(owner.start_background(layout, options, progress.screen()))


@app.command()
def down(name: Name = "default") -> None:
    """Take a sandbox down; nothing of it is left running."""
    from sluice.sandbox import owner
    from sluice.sandbox.layout import Layout

    stopped = owner.bring_down(Layout.named(name))
    sys.stdout.write(f"sandbox {name} is down ({stopped} processes stopped)\n")


@app.command("status")
def sandbox_status(name: Name = "default", output: OutputOption = Output.TABLE) -> None:
    """Show what a sandbox runs, and where to reach it."""
    from sluice.sandbox import owner
    from sluice.sandbox.layout import Layout

    described = owner.describe(Layout.named(name))
    if output is not Output.TABLE:
        print_data(described, output)
        return
    rows = [
        [str(p["name"]), str(p["pid"]), "running" if p["alive"] else "DEAD", str(p["log"])]
        for p in described.get("processes", [])
    ]
    if not rows:
        raise SandboxError(f"sandbox {name} is not up; bring it up with `{_command('up', name)}`")
    sys.stdout.write(plain_table(["PROCESS", "PID", "STATE", "LOG"], rows) + "\n")
    if described["crashed"]:
        raise SandboxError(
            f"sandbox {name} has crashed: the process that owned it (pid {described['owner']}) is "
            f"gone. Begin anew with `{_command('up', name)}`, or clear it away with "
            f"`{_command('down', name)}`"
        )
    _announce(described.get("access") or {})


def _announce(access: dict[str, Any]) -> None:
    for key, label in (
        ("kubeconfig", "export KUBECONFIG="),
        ("gateway", "gateway (Envoy): "),
        ("prometheus", "Prometheus: "),
        ("controller", "controller: "),
    ):
        if key in access:
            # The first line is to be pasted into a shell.
            value = shlex.quote(access[key]) if key == "kubeconfig" else access[key]
            sys.stdout.write(f"{label}{value}\n")
    if access and not shutil.which("kubectl"):
        from sluice.sandbox import parts

        sys.stdout.write(f"kubectl: {parts.locate('kubectl')}\n")


def _command(verb: str, name: str) -> str:
    """What to type for this sandbox."""
    from sluice.sandbox.layout import DEFAULT_NAME

    return f"sluice sandbox {verb}" + ("" if name == DEFAULT_NAME else f" --name {name}")


def demo(
    only: Annotated[
        str | None,
        typer.Option("--only", help="One rollout of the demo, or drift: retraining by a Job."),
    ] = None,
    name: Name = "demo",
    rate: Annotated[float, typer.Option(help="Requests per second.")] = 60.0,
) -> None:
    """Five rollouts on real parts under live load: promoted, rolled back, held. Six minutes."""
    from sluice.sandbox.demo.scenarios import SCENARIOS
    from sluice.sandbox.layout import Layout

    if only == _DRIFT:
        signal.signal(signal.SIGTERM, _interrupt)
        raise typer.Exit(_close_the_loop(Layout.named(name), rate))
    scenarios = [s for s in SCENARIOS if only in (None, s.name)]
    if not scenarios:
        names = ", ".join([*(s.name for s in SCENARIOS), _DRIFT])
        raise UsageError(f"--only {only}: there is no such rollout in the demo; choose {names}")
    stop = threading.Event()
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    runs = _play_all(Layout.named(name), scenarios, rate, stop)
    right = sum(run.right for run in runs)
    sys.stdout.write(f"{right} of {len(scenarios)} rollouts ended as expected\n")
    if right != len(scenarios):
        raise typer.Exit(1)


def _close_the_loop(layout: Any, rate: float) -> int:
    """The drift demo; its exit code."""
    from sluice.sandbox import progress
    from sluice.sandbox.demo import drift
    from sluice.sandbox.demo.screen import PlainScreen
    from sluice.sandbox.up import Sandbox

    screen = PlainScreen(console(), time.time())
    options = drift.options(layout)
    with Sandbox(layout, options, progress.screen()) as sandbox, sandbox.keeping_controllers():
        closing = drift.Closing(sandbox, screen.say, time.sleep, rate)
        try:
            closing.play()
        finally:
            sandbox.supervisor.stop("load", grace=6.0)
            path = drift.write(layout.root, closing.story)
    moments = closing.story.to_dict()["moments"]
    console().print(plain_table(["MOMENT", "SECONDS"], [[k, str(v)] for k, v in moments.items()]))
    sys.stdout.write(f"report: {path}\n")
    return 0 if closing.story.right else 1


def _play_all(layout: Any, scenarios: Any, rate: float, stop: threading.Event) -> list[Any]:
    from sluice.sandbox import progress
    from sluice.sandbox.demo import play, report
    from sluice.sandbox.demo.requests import Shots
    from sluice.sandbox.up import Options, Sandbox

    began = time.time()
    options = Options(scrape_seconds=1.0, controller_args=play.CONTROLLER_ARGS)
    shots = Shots(layout.root / "requests.jsonl")
    runs: list[Any] = []
    with Sandbox(layout, options, progress.screen()) as sandbox, sandbox.keeping_controllers():
        screen = _screen(scenarios, began)
        stage = play.Stage(sandbox, screen, shots, stop, rate)
        try:
            play.prepare(stage)
            for scenario in scenarios:
                runs.append(play.play(stage, scenario))
        finally:
            screen.close()
            sandbox.supervisor.stop("load", grace=6.0)
            shots.read()
            report.write(layout.root, runs, shots)
        _summary(runs, shots, layout.root)
    return runs


def _screen(scenarios: Any, began: float) -> Any:
    from sluice.sandbox.demo.screen import LiveScreen, PlainScreen

    if sys.stdout.isatty():
        return LiveScreen(console(), scenarios, began)
    return PlainScreen(console(), began)


def _summary(runs: list[Any], shots: Any, directory: Path) -> None:
    headers = [
        "ROLLOUT",
        "EXPECTED",
        "OUTCOME",
        "REASON",
        "SECONDS",
        "TO CANDIDATE",
        "FAILED",
        "COLLATERAL",
    ]
    rows = []
    for run in runs:
        entry = run.summary(shots.between(run.started, run.ended))
        rows.append(
            [
                entry["name"],
                entry["expected"],
                entry["outcome"] + ("" if run.right else "  <-- not as expected"),
                entry["reason"],
                str(entry["seconds"]),
                str(entry["candidateRequests"]),
                str(entry["badRequests"]),
                str(entry["collateralErrors"]),
            ]
        )
    sys.stdout.write("\n" + plain_table(headers, rows) + "\n\n")
    for run in runs:
        sys.stdout.write(f"{run.scenario.name}: {run.message}\n")
    sys.stdout.write(f"\nsummary: {directory / 'summary.json'}\n")
    sys.stdout.write(f"report:  {directory / 'report.html'}\n")


def _interrupt(number: int, frame: object) -> None:
    del frame
    raise KeyboardInterrupt(number)
