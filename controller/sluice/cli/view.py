"""One rollout as a person wants to see it: phase, weights, checks with numbers, what is next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from sluice.api.base import format_duration
from sluice.api.policy import CanaryPolicySpec
from sluice.api.status import GateState, RolloutStatus
from sluice.api.times import from_wire
from sluice.cli.bars import span, steps_bar
from sluice.cli.checks_view import checks_view
from sluice.cli.monitoring_view import monitoring_view
from sluice.cli.next_move import next_move
from sluice.cli.output import borderless
from sluice.cli.preflight_view import STYLES, preflight_line, waits_for_it
from sluice.cli.rollout_events import Told
from sluice.engine.gates import waiting
from sluice.engine.monitoring import CONDITIONS

_HISTORY_SHOWN = 3


@dataclass(frozen=True)
class Beside:
    """What is shown beside the object itself. `events` None: they could not be read."""

    policy: CanaryPolicySpec | None = None
    events: Sequence[Told] | None = ()
    rate: float | None = None


def age(stamp: str | None, now: float | None = None) -> str:
    """How long ago, in at most two units, as kubectl writes it."""
    then = from_wire(stamp)
    if then is None:
        return "-"
    seconds = int((datetime.now(UTC).timestamp() if now is None else now) - then)
    if seconds < 120:
        return f"{max(0, seconds)}s"
    if seconds < 7200:
        return format_duration(seconds - seconds % 60 if seconds >= 600 else seconds)
    return format_duration(seconds - seconds % 3600)


def stall(status: RolloutStatus) -> str:
    """Why the resource cannot be worked on; "" when it can. A rollback is told by its phase."""
    condition = status.condition("Stalled")
    if condition is None or condition.status != "True" or status.pause is not None:
        return ""
    return "" if condition.reason == status.phase.value else condition.reason


def phase_in_words(status: RolloutStatus) -> str:
    """The phase, and beside it what keeps the rollout from going on, or has become of the model."""
    aside = stall(status) or ("paused" if status.pause else "waiting" if waiting(status) else "")
    aside = aside or ("preflight" if waits_for_it(status) else "")
    aside = aside or ", ".join(kind.lower() for kind in CONDITIONS if _is_true(status, kind))
    return f"{status.phase.value} ({aside})" if aside else status.phase.value


def _is_true(status: RolloutStatus, kind: str) -> bool:
    condition = status.condition(kind)
    return condition is not None and condition.status == "True"


def list_row(obj: dict[str, Any], *, with_namespace: bool, now: float | None = None) -> list[str]:
    """One line of `sluice list`."""
    status = RolloutStatus.model_validate(obj.get("status") or {})
    meta = obj["metadata"]
    step = f"{status.step.index + 1}/{status.step.total}" if status.step else "-"
    candidate = status.candidate or status.rejected
    weight = "-"
    if status.candidate is not None:
        weight = f"{status.traffic.desired.get(status.candidate.predictor, 0)}%"
    row = [
        meta["name"],
        phase_in_words(status),
        step,
        weight,
        status.verdict.value if status.verdict else "-",
        status.stable.revision if status.stable else "-",
        candidate.revision if candidate else "-",
        age(meta.get("creationTimestamp"), now),
    ]
    return [meta["namespace"], *row] if with_namespace else row


def details(
    obj: dict[str, Any], beside: Beside | None = None, now: float | None = None
) -> RenderableType:
    """The whole picture of one rollout."""
    beside = beside or Beside()
    now = datetime.now(UTC).timestamp() if now is None else now
    status = RolloutStatus.model_validate(obj.get("status") or {})
    parts: list[RenderableType] = [_head(obj, status, beside, now)]
    if status.checks:
        parts += ["", checks_view(status, beside.policy, beside.rate)]
    if status.monitoring or any(c.type in CONDITIONS for c in status.conditions):
        parts += ["", monitoring_view(status, lambda stamp: age(stamp, now))]
    if status.history:
        parts += ["", _history(status, now)]
    if beside.events is None:
        parts += ["", Text("Events: not readable with these rights", style="dim")]
    elif beside.events:
        parts += ["", _events(beside.events, now)]
    return Group(*parts)


def _head(obj: dict[str, Any], status: RolloutStatus, beside: Beside, now: float) -> RenderableType:
    meta = obj["metadata"]
    head = borderless("", "")
    head.show_header = False
    head.add_row("Name", Text(f"{meta['namespace']}/{meta['name']}"))
    phase = Text(status.phase.value, style="bold")
    phase.append(f" for {age(status.phase_started_at, now)}", style="not bold")
    if reason := stall(status):
        phase.append(f"  stalled: {reason}", style="bold red")
    head.add_row("Phase", phase)
    if status.observed_generation not in (None, meta.get("generation")):
        head.add_row("", Text("the newest change is not yet seen by the controller", "yellow"))
    if status.pause:
        head.add_row("Paused", Text(f"{status.pause.message}, {_since(status.pause.since, now)}"))
    if status.message:
        head.add_row("Now", Text(status.message))
    if move := next_move(status, beside.policy, now):
        head.add_row("Next", Text(move))
    if status.stable:
        head.add_row("Stable", _revision(status, "stable"))
    if status.candidate:
        head.add_row("Candidate", _revision(status, "candidate"))
    elif status.rejected:
        head.add_row("Rejected", _revision(status, "rejected"))
    if status.step:
        head.add_row("Step", Text(_step(status, beside.policy, now)))
    if status.shadow and not status.shadow.ended_at:
        since = status.shadow.verified_at
        copied = f"copied {_since(since, now)}" if since else "not copied yet"
        head.add_row("Shadow", Text(f"{status.shadow.percent}% of the requests, {copied}"))
    if status.preflight:
        style = STYLES.get(status.preflight.state, "")
        head.add_row("Preflight", Text(preflight_line(status.preflight), style))
    if status.preview:
        head.add_row("Preview", Text(status.preview))
    head.add_row("Policy", Text(status.policy or "-"))
    if status.freeze:
        text = f"{status.freeze.message}, {_since(status.freeze.since, now)}"
        head.add_row("Frozen", Text(text, "yellow"))
    for gate in status.gates:
        style = "" if gate.state is GateState.OPEN else "yellow"
        head.add_row("Gate", Text(f"{gate.name} {gate.state.value}: {gate.message}", style))
    if status.templates:
        kept = [f"{e.number} ({e.revision}, {age(e.at, now)} ago)" for e in status.templates]
        head.add_row("Templates", Text(", ".join(kept)))
    return head


def _step(status: RolloutStatus, policy: CanaryPolicySpec | None, now: float) -> str:
    step = status.step
    if step is None:
        return "-"
    weights = [one.weight for one in policy.steps] if policy else []
    if step.index < len(weights):
        text = f"{steps_bar(weights, step.index)} %"
    else:
        text = f"{step.index + 1} of {step.total} at {step.weight}%"
    hold = from_wire(step.hold_until)
    left = hold - now if hold else 0
    return text + (f"   hold for {span(left)} more" if left > 0 else "")


def _history(status: RolloutStatus, now: float) -> RenderableType:
    lines = [Text("History", style="bold")]
    for entry in status.history[:_HISTORY_SHOWN]:
        line = Text(f"{entry.revision}  {entry.outcome} {age(entry.ended_at, now)} ago: ")
        line.append(f"{entry.reason}: {entry.message}", style="dim")
        lines.append(line)
    more = len(status.history) - _HISTORY_SHOWN
    if more > 0:
        lines.append(Text(f"and {more} more: sluice history", style="dim"))
    return Group(*lines)


def _events(events: Sequence[Told], now: float) -> RenderableType:
    lines = [Text("Events", style="bold")]
    for one in events:
        line = Text(f"{span(now - one.at):>6} ago  ")
        line.append(one.reason, style="yellow" if one.warning else "")
        line.append(f" x{one.count}" if one.count > 1 else "")
        line.append(f"  {one.message}", style="dim")
        lines.append(line)
    return Group(*lines)


def _since(stamp: str, now: float) -> str:
    return f"since {age(stamp, now)}"


def _revision(status: RolloutStatus, which: str) -> Text:
    revision = getattr(status, which)
    desired = status.traffic.desired.get(revision.predictor, 0)
    observed = (status.traffic.observed or {}).get(revision.predictor)
    seen = "not readable" if status.traffic.observed is None else f"{observed or 0}%"
    return Text(
        f"{revision.revision}  {desired}% wanted, {seen} observed  {', '.join(revision.images)}"
    )
