"""The demo's live view: what runs, what is decided and why, and what users feel."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import Any, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from sluice.api.status import RolloutStatus
from sluice.sandbox.demo.requests import Shot
from sluice.sandbox.demo.scenarios import Scenario
from sluice.sandbox.demo.timeline import Run

_WINDOW_SECONDS = 5.0
_LINES = 8
_STYLES = {"Pass": "green", "Harm": "bold red", "Undecided": "yellow"}


class Screen(Protocol):
    """Where the demo shows what happens."""

    def say(self, text: str) -> None:
        """Something happened."""
        ...

    def show(self, run: Run | None, obj: dict[str, Any] | None, shots: Sequence[Shot]) -> None:
        """The state now."""
        ...

    def close(self) -> None:
        """No more to show."""
        ...


class PlainScreen:
    """Lines for logs and pipes: each thing that happens once, with its time."""

    def __init__(self, console: Console, started: float) -> None:
        self._console = console
        self._started = started
        self._last = ""

    def say(self, text: str) -> None:
        passed = time.time() - self._started
        self._console.print(Text(f"[{passed:6.1f}s] {text}"), soft_wrap=True)

    def show(self, run: Run | None, obj: dict[str, Any] | None, shots: Sequence[Shot]) -> None:
        del shots
        if run is None or obj is None:
            return
        status = RolloutStatus.model_validate(obj.get("status") or {})
        verdicts = ", ".join(f"{c.name} {c.verdict}" for c in status.checks)
        weight = status.traffic.desired.get(run.candidate, 0)
        line = f"{run.scenario.name}: {status.phase} {weight}%" + (
            f" | {verdicts}" * bool(verdicts)
        )
        if line != self._last:
            self._last = line
            self.say(line)

    def close(self) -> None:
        """Nothing to end."""


class LiveScreen:
    """A picture that changes in place."""

    def __init__(self, console: Console, scenarios: Sequence[Scenario], started: float) -> None:
        self._scenarios = scenarios
        self._started = started
        self._lines: deque[str] = deque(maxlen=_LINES)
        self._done: dict[str, Run] = {}
        self._live = Live(console=console, refresh_per_second=4, transient=False)
        self._live.start()

    def say(self, text: str) -> None:
        self._lines.append(f"{time.time() - self._started:6.1f}s  {text}")

    def show(self, run: Run | None, obj: dict[str, Any] | None, shots: Sequence[Shot]) -> None:
        if run is not None:
            self._done[run.scenario.name] = run
        parts: list[RenderableType] = [self._overview(run)]
        if obj is not None:
            status = RolloutStatus.model_validate(obj.get("status") or {})
            parts += [_now(status, shots), _checks(status)]
        parts.append(Panel(Text("\n".join(self._lines)), title="What happened", title_align="left"))
        self._live.update(Group(*parts))

    def close(self) -> None:
        self._live.stop()

    def _overview(self, current: Run | None) -> Table:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for header in ("", "ROLLOUT", "EXPECTED", "OUTCOME", "WHAT IT SHOWS"):
            table.add_column(header)
        for scenario in self._scenarios:
            run = self._done.get(scenario.name)
            if run is None:
                mark, outcome = " ", "-"
            elif run.outcome:
                mark = "[green]✓[/]" if run.right else "[red]✗[/]"
                outcome = f"{run.outcome} after {run.ended - run.started:.0f}s"
            else:
                mark = "[cyan]▶[/]" if run is current else " "
                outcome = f"running, {time.time() - run.started:.0f}s"
            table.add_row(mark, scenario.name, scenario.expected, outcome, scenario.story)
        return table


def _now(status: RolloutStatus, shots: Sequence[Shot]) -> RenderableType:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for header in ("REVISION", "PREDICTOR", "WANTED", "OBSERVED", "REQ/S", "FAILED", "P95"):
        table.add_column(header)
    since = time.time() - _WINDOW_SECONDS
    recent = [s for s in shots[-2000:] if s.at >= since]
    for role, revision in (("stable", status.stable), ("candidate", status.candidate)):
        if revision is None:
            continue
        ours = [s for s in recent if s.predictor == revision.predictor]
        times = sorted(s.milliseconds for s in ours)
        p95 = f"{times[int(0.95 * (len(times) - 1))]:.0f} ms" if times else "-"
        observed = (status.traffic.observed or {}).get(revision.predictor, 0)
        image = revision.images[0].rsplit("/", 1)[-1] if revision.images else ""
        table.add_row(
            f"{role} {image}",
            revision.predictor,
            f"{status.traffic.desired.get(revision.predictor, 0)}%",
            f"{observed}%",
            f"{len(ours) / _WINDOW_SECONDS:.0f}",
            str(sum(s.failed for s in ours)),
            p95,
        )
    title = f"{status.phase}: {status.message}"
    return Panel(table, title=Text(title[:150]), title_align="left")


def _checks(status: RolloutStatus) -> RenderableType:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for header in ("CHECK", "VERDICT", "FOR PASS", "FOR HARM", "WHY"):
        table.add_column(header)
    for check in status.checks:
        style = _STYLES.get(check.verdict.value, "magenta")
        table.add_row(
            check.name,
            f"[{style}]{check.verdict.value}[/]",
            _share(check.evidence, check.needed),
            _share(check.harm_evidence, check.harm_needed),
            Text(check.message or check.reason),
        )
    return Panel(table, title="Verdicts, evidence of needed (log10)", title_align="left")


def _share(evidence: float | None, needed: float | None) -> str:
    return "-" if evidence is None or needed is None else f"{evidence:.2f} / {needed:.2f}"
