"""Plots as inline SVG, drawn by matplotlib without a display."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

STABLE, CANDIDATE, GREY = "#3b6fb6", "#d9822b", "#8a8f98"
_CHECKS = ("#2a9d5c", "#8e44ad", "#c0392b", "#16a2b8", "#b8860b")


@dataclass(frozen=True)
class Line:
    """A curve: seconds since the start, values."""

    seconds: Sequence[float]
    values: Sequence[float]
    label: str
    color: str
    dashed: bool = False
    steps: bool = False


@dataclass(frozen=True)
class Panel:
    """One plot of a stack that shares the time axis.

    `levels` are horizontal marks by label; the axis reaches at least to `least_top`.
    """

    title: str
    unit: str
    lines: Sequence[Line]
    levels: Mapping[str, float] = field(default_factory=dict)
    floor: float | None = 0.0
    least_top: float = 0.0


def check_color(index: int) -> str:
    """A colour for the check with this index."""
    return _CHECKS[index % len(_CHECKS)]


def stack(panels: Sequence[Panel], marks: Sequence[tuple[float, str]]) -> str:
    """The panels under one another as SVG; `marks` are moments (seconds, what happened)."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        len(panels), 1, sharex=True, figsize=(10, 1.9 * len(panels)), squeeze=False
    )
    for axis, panel in zip(axes[:, 0], panels, strict=True):
        _draw(axis, panel, pad=32 if panel is panels[0] and marks else 6)
        for seconds, _ in marks:
            axis.axvline(seconds, color=GREY, linewidth=0.7, linestyle=":")
    top = axes[0, 0]
    for index, (seconds, text) in enumerate(marks):
        top.annotate(
            text,
            (seconds, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(2, 3 + 9 * (index % 3)),
            textcoords="offset points",
            fontsize=7,
            color="#444",
        )
    axes[-1, 0].set_xlabel("seconds since the rollout began")
    figure.tight_layout()
    out = io.StringIO()
    figure.savefig(out, format="svg", bbox_inches="tight")
    pyplot.close(figure)
    svg = out.getvalue()
    return re.sub(r"^.*?(?=<svg)", "", svg, flags=re.DOTALL)


def _draw(axis: Any, panel: Panel, *, pad: float) -> None:
    for line in panel.lines:
        axis.plot(
            line.seconds,
            line.values,
            label=line.label,
            color=line.color,
            linewidth=1.4,
            linestyle="--" if line.dashed else "-",
            drawstyle="steps-post" if line.steps else "default",
        )
    for label, level in panel.levels.items():
        axis.axhline(level, color="#555", linewidth=0.8, linestyle="--", label=label)
    axis.set_title(panel.title, fontsize=9, loc="left", pad=pad)
    axis.set_ylabel(panel.unit, fontsize=8)
    axis.tick_params(labelsize=7)
    axis.grid(alpha=0.25)
    if panel.floor is not None:
        axis.set_ylim(bottom=panel.floor, top=max(axis.get_ylim()[1], panel.least_top))
    if panel.lines:
        axis.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
