"""The report about one rollout: what happened when, every decision with its numbers. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sluice.api.base import format_duration
from sluice.api.status import CheckStatus, HistoryEntry, RolloutStatus
from sluice.api.times import from_wire, to_wire
from sluice.report import page as html
from sluice.report.monitoring import monitored
from sluice.report.plots import CANDIDATE, STABLE, Line, Panel
from sluice.report.preflight import preflight
from sluice.report.timeline import Bar, timeline

_GOOD = ("Promoted", "Pass")
_BAD = ("RolledBack", "Harm")


@dataclass(frozen=True)
class Curves:
    """What Prometheus counted on one side: a value per interval, at seconds since the start."""

    seconds: Sequence[float]
    requests: Sequence[float]
    failed: Sequence[float | None]
    p95: Sequence[float | None]


@dataclass(frozen=True)
class Moment:
    """An event: Unix seconds, its reason and sentence."""

    at: float
    reason: str
    message: str


def report(
    name: str,
    status: RolloutStatus,
    moments: Sequence[Moment],
    *,
    now: float,
    plots: str = "",
    notes: Sequence[str] = (),
) -> str:
    """The whole page. `plots` is SVG of the newest rollout; `notes` say what is missing and why."""
    parts = [html.paragraph(note) for note in notes]
    parts.append(_overview(status, now))
    if bars := _bars(status, now):
        parts += [html.heading("Rollouts over time"), timeline(bars)]
    if status.candidate is not None and status.checks:
        title = f"In progress: revision {status.candidate.revision}"
        parts += [html.heading(title), html.paragraph(status.message), checks(status.checks)]
    parts += _preflight_now(status)
    parts += monitored(status)
    if plots:
        parts += [html.heading("What Prometheus counted in the newest rollout"), plots]
    if moments:
        rows = [[to_wire(one.at), one.reason, one.message] for one in moments]
        parts += [html.heading("Events"), html.table(["Time", "Reason", "What"], rows)]
    entries = list(reversed(status.history))
    for entry in reversed(entries):
        parts += _entry(entry)
    return html.page(f"Rollouts of {name}", parts)


def panels(stable: Curves, candidate: Curves) -> list[Panel]:
    """The plots: requests a second, failed requests and latency, side by side."""
    sides = (("stable", STABLE, stable), ("candidate", CANDIDATE, candidate))
    return [
        Panel(
            "Requests",
            "1/s",
            [Line(c.seconds, c.requests, label, color) for label, color, c in sides],
        ),
        Panel(
            "Failed requests",
            "%",
            [
                _known(c.seconds, [None if v is None else 100 * v for v in c.failed], label, color)
                for label, color, c in sides
            ],
            least_top=1.0,
        ),
        Panel(
            "Latency, 95th percentile",
            "ms",
            [
                _known(c.seconds, [None if v is None else 1000 * v for v in c.p95], label, color)
                for label, color, c in sides
            ],
        ),
    ]


def checks(found: Sequence[CheckStatus]) -> str:
    """Every check with every number."""
    headers = ["Check", "Verdict", "Candidate", "Stable", "Requests", "For Pass", "For Harm", "Why"]
    rows = [
        [
            check.name,
            _marked(check.verdict.value),
            _value(check.candidate),
            _value(check.stable),
            f"{check.candidate_samples:,} / {check.stable_samples:,}",
            _of(check.evidence, check.needed),
            _of(check.harm_evidence, check.harm_needed),
            check.message or check.reason,
        ]
        for check in found
    ]
    return html.table(headers, rows)


def _overview(status: RolloutStatus, now: float) -> str:
    rows = [["Phase", f"{status.phase.value}: {status.message}"]]
    for label, revision in (
        ("Stable", status.stable),
        ("Candidate", status.candidate),
        ("Rejected", status.rejected),
    ):
        if revision is not None:
            share = status.traffic.desired.get(revision.predictor, 0)
            images = ", ".join(revision.images)
            rows.append([label, f"{revision.revision}, {share}% of the traffic, {images}"])
    if status.pause is not None:
        rows.append(["Paused", status.pause.message])
    rows += [["Policy", status.policy or "-"], ["Written", to_wire(now)]]
    return html.table(["", ""], rows)


def _bars(status: RolloutStatus, now: float) -> list[Bar]:
    bars = []
    for entry in reversed(status.history):
        began, ended = from_wire(entry.started_at), from_wire(entry.ended_at)
        if began is not None and ended is not None:
            title = f"{entry.outcome}: {entry.reason}: {entry.message}"
            bars.append(Bar(_label(entry), entry.outcome, began, ended, title))
    began = from_wire(status.started_at)
    if status.candidate is not None and began is not None:
        label = f"{status.candidate.revision} in progress"
        bars.append(Bar(label, "InProgress", began, max(now, began), status.message))
    return bars


def _entry(entry: HistoryEntry) -> list[str]:
    number = "" if entry.number is None else f"{entry.number}: "
    rows = [
        ["Outcome", _marked(entry.outcome)],
        ["Reason", f"{entry.reason}: {entry.message}"],
        ["Images", ", ".join(entry.images) or "-"],
        ["Began", entry.started_at or "-"],
        ["Ended", entry.ended_at or "-"],
        ["Took", _took(entry)],
        *([key, value] for key, value in sorted(entry.source.items())),
    ]
    parts = [html.heading(f"{number}revision {entry.revision}"), html.table(["", ""], rows)]
    if entry.preflight is not None:
        parts.append(preflight(entry.preflight))
    return [*parts, checks(entry.checks)] if entry.checks else parts


def _preflight_now(status: RolloutStatus) -> list[str]:
    """That of the rollout in progress; an ended one's stands in its entry."""
    if status.preflight is None or not status.phase.active:
        return []
    return [html.heading("Preflight"), preflight(status.preflight)]


def _label(entry: HistoryEntry) -> str:
    number = "" if entry.number is None else f"{entry.number}  "
    return f"{number}{entry.revision} {entry.outcome}"


def _took(entry: HistoryEntry) -> str:
    began, ended = from_wire(entry.started_at), from_wire(entry.ended_at)
    return "-" if began is None or ended is None else format_duration(round(ended - began))


def _marked(word: str) -> str:
    if word in _GOOD or word in _BAD:
        return html.mark(word, good=word in _GOOD)
    return word


def _value(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _of(evidence: float | None, needed: float | None) -> str:
    return "-" if evidence is None or needed is None else f"{evidence:.2f} of {needed:.2f}"


def _known(
    seconds: Sequence[float], values: Sequence[float | None], label: str, color: str
) -> Line:
    pairs = [(s, v) for s, v in zip(seconds, values, strict=True) if v is not None]
    return Line([s for s, _ in pairs], [v for _, v in pairs], label, color)
