"""The stable as the monitoring sees it: variables and thresholds, feedback, retrainings."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from sluice.api.monitoring_status import DecayRow, MonitoringStatus, Retraining
from sluice.api.status import RolloutStatus
from sluice.cli.bars import bar
from sluice.cli.output import borderless
from sluice.engine.monitoring import CONDITIONS

Age = Callable[[str | None], str]
_ROWS, _RETRAININGS = 20, 3
_STYLES = {"True": "bold red", "False": "green", "Unknown": "yellow"}


def monitoring_view(status: RolloutStatus, age: Age) -> RenderableType:
    """For 80 columns and more. `age` says how long ago a time was."""
    parts: list[RenderableType] = [Text("Monitoring", style="bold")]
    for condition in status.conditions:
        if condition.type in CONDITIONS:
            line = Text(f"{condition.type} ")
            line.append(condition.status, style=_STYLES.get(condition.status, ""))
            line.append(f" {condition.reason} for {age(condition.last_transition_time)}")
            parts.append(line)
            if condition.message:
                parts.append(Padding(Text(condition.message, style="dim"), (0, 0, 0, 2)))
    found = status.monitoring
    if found is None:
        return Group(*parts)
    if found.features:
        parts.append(_features(found, age))
    if found.decay is not None:
        parts.append(Text(decay_in_words(found.decay)))
    for one in found.retrainings[:_RETRAININGS]:
        parts.append(
            Text(f"retraining {one.number}: {retraining_in_words(one)}, {age(one.at)} ago")
        )
    return Group(*parts)


def _features(found: MonitoringStatus, age: Age) -> RenderableType:
    table = borderless("Variable", "Distance", "Threshold", "Evidence", "Requests", "Since")
    rows = sorted(found.features, key=lambda row: -row.value / row.threshold)
    for row in rows[:_ROWS]:
        table.add_row(
            Text(row.name, style="bold red" if row.drifted else ""),
            f"{row.distance} {row.value:.3g}",
            f"{row.threshold:g}",
            f"{bar(row.evidence, row.needed)} {row.evidence:.1f} of {row.needed:.1f}",
            f"{row.requests:,}",
            age(row.since) if row.since else "-",
        )
    if len(rows) > _ROWS:
        table.add_row(f"and {len(rows) - _ROWS} more", "", "", "", "", "")
    return table


def decay_in_words(row: DecayRow) -> str:
    """The feedback in one line."""
    if row.level is None:
        return f"feedback: {row.level_feedback:,} answers towards its level"
    now = "none since" if row.reward is None else f"{row.reward:.3f}, {row.drop:+.3f} below"
    return (
        f"feedback: level {row.level:.3f}; now {now} (tolerated {row.tolerance:g}); evidence "
        f"{row.evidence:.1f} of {row.needed:.1f}; {row.feedback:,} answers"
    )


def retraining_in_words(one: Retraining) -> str:
    """What it was for, by what, and how it stands."""
    by = f" by Job {one.job}" if one.job else f", told {one.told}" if one.told else ""
    why = f" ({', '.join(one.features)})" if one.features else ""
    tail = f": {one.message}" if one.message else ""
    return f"{one.state.value} for {one.trigger}{why}{by}{tail}{_asked(one)}"


def _asked(one: Retraining) -> str:
    said = [f"asked for by {one.by}"] if one.by else []
    said += [f'"{one.why}"'] if one.why else []
    return f"; {', '.join(said)}" if said else ""
