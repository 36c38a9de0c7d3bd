"""A replay as one picture: traffic, errors, latency, and each policy's evidence over time."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sluice.api.base import format_duration, parse_duration
from sluice.api.policy import Metric
from sluice.api.times import to_wire
from sluice.errors import UsageError
from sluice.metrics.source import Floats
from sluice.replay.play import Played
from sluice.replay.result import Replay, in_short
from sluice.report.plots import CANDIDATE, GREY, STABLE, check_color

FORMS = ("svg", "png", "html")
_BINS = 45  # points of a curve of rates
_LOOKS_AFTER = 40
_LOWEST = -2.0  # evidence below this is of no interest, log10
_WHAT = {
    "StepStarted": ("step", "#6b7280"),
    "Promoting": ("promoted", "#1d7f45"),
    "Baking": ("", ""),
    "Promoted": ("bake over", "#1d7f45"),
    "RollingBack": ("rolled back", "#b3261e"),
    "Undecided": ("paused: undecided", "#8e44ad"),
}


def draw(replay: Replay, form: str) -> bytes:
    """The picture as svg or png. Raises UsageError without matplotlib."""
    try:
        import matplotlib
    except ImportError as error:
        raise UsageError(
            "--plot needs matplotlib: pip install 'sluice-rollouts[sandbox]', or leave --plot out"
        ) from error
    matplotlib.use("agg")
    from matplotlib import pyplot

    view = _View(replay)
    panels = [_draw_share, _draw_errors, _draw_latency, *_of_answers(replay)]
    heights = [1.0] * len(panels) + [1.15, 1.15] * len(replay.played)
    with matplotlib.rc_context({"svg.hashsalt": "sluice", "font.size": 9, "svg.fonttype": "none"}):
        figure, axes = pyplot.subplots(
            len(heights),
            1,
            sharex=True,
            figsize=(11.5, 1.75 * sum(heights)),
            height_ratios=heights,
            squeeze=False,
            layout="constrained",
        )
        column = list(axes[:, 0])
        for axis, panel in zip(column, panels, strict=False):
            panel(axis, view)
        for number, played in enumerate(replay.played):
            _draw_evidence(column[len(panels) + 2 * number], view, played, harm=False)
            _draw_evidence(column[len(panels) + 1 + 2 * number], view, played, harm=True)
        for axis in column[: len(panels)]:
            _mark_outcomes(axis, view)
        for axis in column:
            _finish(axis, view)
        _time_axis(column[-1], view)
        figure.suptitle(_title(replay), fontsize=11, x=0.01, ha="left", fontweight="bold")
        out = io.BytesIO()
        metadata = {"Date": None} if form == "svg" else None
        figure.savefig(out, format=form, dpi=140, metadata=metadata)
        pyplot.close(figure)
    return out.getvalue()


def _title(replay: Replay) -> str:
    sides = replay.sides
    said = ", ".join(f"{p.name}: {_outcome(p)}" for p in replay.played)
    return f"{sides.namespace}/{sides.deployment}: {sides.candidate} against {sides.stable}. {said}"


def _outcome(played: Played) -> str:
    if math.isnan(played.seconds):
        return "undecided"
    words = {"promoted": "promoted", "rolledBack": "rolled back"}
    return f"{words[played.outcome]} after {in_short(played.seconds)}"


class _View:
    """Which part of the recording is shown, in seconds since the first moment."""

    def __init__(self, replay: Replay) -> None:
        self.replay = replay
        recording = replay.recording
        self.origin = recording.time(replay.first)
        ends = [self.at(played, played.looks[-1].seconds) for played in replay.played]
        begins = [self.at(played, 0.0) for played in replay.played]
        whole = recording.time(replay.last) - self.origin
        span = max(ends, default=whole) - min(begins, default=0.0)
        # What came after a decision is part of the answer: was it right?
        after = max(0.15 * span, _LOOKS_AFTER * recording.step)
        self.right = min(whole, max(ends, default=whole) + after)
        self.left = min(begins, default=0.0) - 0.02 * self.right
        first = recording.index(self.origin + self.left)
        last = recording.index(self.origin + self.right)
        self.moments = np.arange(first + 1, last + 1)

    def at(self, played: Played, seconds: float) -> float:
        """Seconds of a policy's rollout on the common axis."""
        return self.replay.recording.time(played.begin) + seconds - self.origin

    def binned(self, part: Floats, whole: Floats) -> tuple[list[float], list[float]]:
        """`part` over `whole` in percent, put together over bins so that it is no noise."""
        width = max(1, math.ceil(len(self.moments) / _BINS))
        groups = np.split(self.moments, range(width, len(self.moments), width))
        xs, ys = [], []
        for group in groups:
            n = float(whole[group].sum())
            if len(group):
                times = [self.replay.recording.time(int(i)) for i in (group[0] - 1, group[-1])]
                xs.append(sum(times) / 2 - self.origin)
                ys.append(100.0 * float(part[group].sum()) / n if n > 0 else math.nan)
        return xs, ys


def _draw_share(axis: Any, view: _View) -> None:
    requests = view.replay.traffic.requests
    xs, ys = view.binned(requests[:, 0], requests.sum(axis=1))
    axis.plot(xs, ys, color=CANDIDATE, linewidth=1.6, label="as it was (requests counted)")
    for number, played in enumerate(view.replay.played):
        times = [view.at(played, look.seconds) for look in played.looks]
        weights = [look.weight for look in played.looks]
        if not math.isnan(played.seconds):
            times, weights = [*times, view.right], [*weights, weights[-1]]
        axis.plot(
            times,
            weights,
            color=_policy_color(number),
            linewidth=1.0,
            linestyle=(0, (4, 2)),
            drawstyle="steps-post",
            label=f"as {played.name} would have asked",
        )
    axis.set_ylim(-3, 105)
    axis.set_title("Candidate's share of the traffic, %", loc="left", fontsize=9)


def _policy_color(number: int) -> str:
    return ("#222222", "#8a8f98", "#0f766e", "#a21caf")[number % 4]


def _draw_errors(axis: Any, view: _View) -> None:
    traffic = view.replay.traffic
    _draw_sides(axis, view, traffic.failed, traffic.requests, "Failed requests, %")


def _draw_sides(axis: Any, view: _View, part: Floats, whole: Floats, title: str) -> None:
    """`part` over `whole`, both (moments, 2), in percent."""
    for label, side, color in ((_names(view)[0], 1, STABLE), (_names(view)[1], 0, CANDIDATE)):
        xs, ys = view.binned(part[:, side], whole[:, side])
        axis.plot(xs, ys, color=color, linewidth=1.4, label=label)
    axis.set_ylim(bottom=0, top=max(axis.get_ylim()[1], 1.0))
    axis.set_title(title, loc="left", fontsize=9)


def _of_answers(replay: Replay) -> list[Callable[[Any, _View], None]]:
    """Panels of what models answered: the class that differs most, and wrong answers."""
    answered = replay.answered
    if answered is None:
        return []
    found: list[Callable[[Any, _View], None]] = []
    if (at := answered.telling()) is not None:
        part, whole = answered.predictions[:, :, at], answered.predictions.sum(axis=2)
        title = f"Predicted {answered.labels[at]}, %"
        found.append(lambda axis, view: _draw_sides(axis, view, part, whole, title))
    if answered.told.any():
        wrong, told = answered.wrong, answered.told
        title_of_wrong = "Wrong answers of those with a truth, %"
        found.append(lambda axis, view: _draw_sides(axis, view, wrong, told, title_of_wrong))
    return found


def _names(view: _View) -> tuple[str, str]:
    sides = view.replay.sides
    return f"stable {sides.stable}", f"candidate {sides.candidate}"


def _draw_latency(axis: Any, view: _View) -> None:
    traffic = view.replay.traffic
    edge = telling_edge(view.replay)
    title = f"Requests slower than {format_duration(traffic.edges[edge])}, %"
    _draw_sides(axis, view, traffic.above[:, :, edge], traffic.requests, title)


def telling_edge(replay: Replay) -> int:
    """Which bucket edge to show: a limit's, else where the sides differ, else the tail's."""
    edges = np.array(replay.traffic.edges)
    for played in replay.played:
        for check in played.policy.checks:
            if check.metric is Metric.LATENCY and check.limit is not None:
                reached = np.flatnonzero(edges >= parse_duration(str(check.limit.max)) - 1e-9)
                return int(reached[0]) if len(reached) else len(edges) - 1
    above, n = replay.traffic.above.sum(axis=0), replay.traffic.requests.sum(axis=0)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        rates = above / n
        pooled = above.sum(axis=0) / n.sum()
        z = (rates[0] - rates[1]) / np.sqrt(pooled * (1 - pooled) * (1.0 / n).sum())
    z = np.nan_to_num(z, nan=0.0, posinf=0.0, neginf=0.0)
    if z.max(initial=0.0) > 5.0:
        return int(z.argmax())
    return int(np.abs(np.nan_to_num(pooled) - 0.05).argmin())


def _draw_evidence(axis: Any, view: _View, played: Played, *, harm: bool) -> None:
    needed: dict[float, list[str]] = {}
    for number, check in enumerate(played.policy.checks):
        xs, ys = [], []
        for look in played.looks:
            status = next((c for c in look.checks if c.name == check.name), None)
            if status is None:
                continue
            value = status.harm_evidence if harm else status.evidence
            level = status.harm_needed if harm else status.needed
            xs.append(view.at(played, look.seconds))
            ys.append(max(_LOWEST, value or 0.0))
            if level is not None and check.name not in needed.setdefault(round(level, 3), []):
                needed[round(level, 3)].append(check.name)
        axis.plot(xs, ys, color=check_color(number), linewidth=1.5, label=check.name)
    for level in needed:
        axis.axhline(level, color="#333", linewidth=0.9, linestyle="--")
        axis.annotate(
            f"needed {level:.2f}",
            (1.0, level),
            xycoords=("axes fraction", "data"),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=7.5,
            color="#333",
        )
    top = max([1.0, *needed]) * 1.35
    axis.set_ylim(_LOWEST - 0.15, max(top, min(axis.get_ylim()[1], 3 * top)))
    axis.axhline(0.0, color=GREY, linewidth=0.5)
    what = "harm (any check: roll back)" if harm else "Pass (all checks: promote)"
    axis.set_title(f"{played.name}: log10 evidence for {what}", loc="left", fontsize=9)
    _mark(axis, view, played, words=not harm)


def _mark_outcomes(axis: Any, view: _View) -> None:
    """Where each policy would have decided, across the panels of the traffic."""
    for played in view.replay.played:
        if not math.isnan(played.seconds):
            color = _WHAT["Promoting" if played.outcome == "promoted" else "RollingBack"][1]
            at = view.at(played, played.seconds)
            axis.axvline(at, color=color, linewidth=0.9, linestyle=":", alpha=0.9)


def _mark(axis: Any, view: _View, played: Played, *, words: bool) -> None:
    """Vertical lines where the policy would have acted, named above the first of its panels."""
    drawn: list[float] = []
    steps = 0
    for happening in played.happenings:
        text, color = _WHAT.get(happening.reason, ("", ""))
        if not text:
            continue
        if happening.reason == "StepStarted":
            weight = played.policy.steps[min(steps, len(played.policy.steps) - 1)].weight
            steps += 1
            text = f"{weight}%"
        at = view.at(played, happening.seconds)
        axis.axvline(at, color=color, linewidth=1.1, linestyle="-", alpha=0.85)
        if words:
            crowded = sum(abs(at - other) < 0.05 * (view.right - view.left) for other in drawn)
            axis.annotate(
                text,
                (at, 1.0),
                xycoords=("data", "axes fraction"),
                xytext=(3, -9 - 10 * crowded),
                textcoords="offset points",
                fontsize=7.5,
                color=color,
                fontweight="bold",
            )
            drawn.append(at)


def _finish(axis: Any, view: _View) -> None:
    for begin, end in view.replay.outages:
        axis.axvspan(begin - view.origin, end - view.origin, color="#d7d9de", alpha=0.7, zorder=0)
        if axis is axis.figure.axes[0]:
            axis.annotate(
                "metrics out",
                ((begin + end) / 2 - view.origin, 0.72),
                xycoords=("data", "axes fraction"),
                ha="center",
                va="top",
                fontsize=7.5,
                color="#555",
                annotation_clip=True,
            )
    axis.set_xlim(view.left, view.right)
    axis.grid(alpha=0.22)
    axis.tick_params(labelsize=8)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    axis.legend(
        fontsize=8,
        loc="lower right",
        bbox_to_anchor=(1.0, 0.98),
        ncols=4,
        frameon=False,
        borderpad=0.1,
        borderaxespad=0.1,
    )


_TICKS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)


def ticks(left: float, right: float, origin: float) -> Sequence[tuple[float, str]]:
    """Round moments of the day (UTC) on the axis, with their text; at most nine."""
    span = right - left
    every = next((t for t in _TICKS if span / t <= 8), 86400 * math.ceil(span / 86400 / 8))
    first = math.ceil((origin + left) / every) * every
    found = []
    for moment in np.arange(first, origin + right + 1e-6, every):
        text = to_wire(float(moment))
        clock = text[11:19] if every < 60 else text[11:16]
        if every >= 86400 or clock.strip("0:") == "":
            clock = text[5:10] if every >= 86400 else f"{clock}\n{text[5:10]}"
        found.append((float(moment) - origin, clock))
    return found


def _time_axis(axis: Any, view: _View) -> None:
    marks = ticks(view.left, view.right, view.origin)
    axis.set_xticks([at for at, _ in marks], [text for _, text in marks])
    day = to_wire(view.origin + view.left)[:10]
    axis.set_xlabel(f"time of day, UTC, from {day}", fontsize=8)
