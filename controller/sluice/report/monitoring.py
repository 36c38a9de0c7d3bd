"""The report's part about a promoted model: how far each variable is from training. Pure."""

from __future__ import annotations

import io
import re

from sluice.api.monitoring_status import FeatureRow, MonitoringStatus, Retraining
from sluice.api.status import RolloutStatus
from sluice.report import page as html
from sluice.report.plots import GREY, STABLE

_DRIFTED = "#c0392b"
_PLOTTED = 30
_KINDS = ("Drifted", "Decayed")


def monitored(status: RolloutStatus) -> list[str]:
    """Heading, conditions, plot and tables; [] where nothing is monitored."""
    found = status.monitoring
    told = [c for c in status.conditions if c.type in _KINDS]
    if found is None and not told:
        return []
    parts = [html.heading("Monitoring of the stable")]
    if told:
        rows = [
            [c.type, c.status, f"{c.reason}: {c.message}", c.last_transition_time] for c in told
        ]
        parts.append(html.table(["Condition", "Status", "Why", "Since"], rows))
    if found is None:
        return parts
    if found.features:
        parts += [distances(found.features), _features(found)]
    if found.decay is not None:
        row = found.decay
        values = [row.level, row.reward, row.drop, row.tolerance]
        shown = ["-" if value is None else f"{value:.4g}" for value in values]
        numbers = [f"{row.evidence:.1f} of {row.needed:.1f}", f"{row.feedback:,}"]
        headers = ["Level of feedback", "Now", "Fall", "Tolerated", "Evidence", "Answers"]
        parts.append(html.table(headers, [[*shown, *numbers]]))
    if found.retrainings:
        headers = ["Retraining", "State", "For", "By", "Began", "Ended", "Message"]
        rows = [
            [
                str(one.number),
                one.state.value,
                _occasion(one),
                one.job or one.told or "-",
                one.at,
                one.ended_at or "-",
                one.message,
            ]
            for one in found.retrainings
        ]
        parts.append(html.table(headers, rows))
    return parts


def _occasion(one: Retraining) -> str:
    """The condition or the person, and what was said with it."""
    by = f" by {one.by}" if one.by else ""
    told = [text for text in (one.why, ", ".join(one.features)) if text]
    return f"{one.trigger}{by}{': ' if told else ''}{'; '.join(told)}"


def _features(found: MonitoringStatus) -> str:
    headers = ["Variable", "Distance", "Value", "Threshold", "Evidence", "Requests", "Since"]
    return html.table(
        headers,
        [
            [
                html.mark(row.name, good=False) if row.drifted else row.name,
                row.distance,
                f"{row.value:.3g}",
                f"{row.threshold:g}",
                f"{row.evidence:.1f} of {row.needed:.1f}",
                f"{row.requests:,}",
                row.since or "-",
            ]
            for row in sorted(found.features, key=_ratio, reverse=True)
        ],
    )


def _ratio(row: FeatureRow) -> float:
    return row.value / row.threshold


def distances(rows: list[FeatureRow]) -> str:
    """A bar for each variable, as SVG: its distance over its threshold, which is the line at 1."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    shown = sorted(rows, key=_ratio)[-_PLOTTED:]
    figure, axis = pyplot.subplots(figsize=(10, 0.8 + 0.28 * len(shown)))
    axis.barh(
        [row.name for row in shown],
        [_ratio(row) for row in shown],
        color=[_DRIFTED if row.drifted else STABLE for row in shown],
        height=0.6,
    )
    axis.axvline(1.0, color=GREY, linewidth=1.0, linestyle="--")
    axis.set_title("Distance from training, in thresholds", fontsize=9, loc="left")
    axis.tick_params(labelsize=7)
    axis.set_xlim(left=0.0, right=max(1.2, axis.get_xlim()[1]))
    axis.grid(axis="x", alpha=0.25)
    figure.tight_layout()
    out = io.StringIO()
    figure.savefig(out, format="svg", bbox_inches="tight")
    pyplot.close(figure)
    return re.sub(r"^.*?(?=<svg)", "", out.getvalue(), flags=re.DOTALL)
