"""report.html and summary.json of a demo."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from sluice.report import page as html
from sluice.report.plots import CANDIDATE, STABLE, Line, Panel, check_color, stack
from sluice.sandbox.demo.requests import Shot, Shots
from sluice.sandbox.demo.timeline import Run

# Requests are put together over this many seconds for a point of a curve.
_BIN_SECONDS = 2.0


def write(directory: Path, runs: Sequence[Run], shots: Shots) -> None:
    """summary.json, timeline.json and report.html."""
    directory.mkdir(parents=True, exist_ok=True)
    summaries = [run.summary(shots.between(run.started, run.ended)) for run in runs]
    (directory / "summary.json").write_text(json.dumps(summaries, indent=2) + "\n")
    timeline = json.dumps([run.to_dict() for run in runs]) + "\n"
    (directory / "timeline.json").write_text(timeline)
    parts = [
        html.paragraph(
            "Each rollout ran on real parts: kube-apiserver, Prometheus, Envoy and seldon-core "
            "model servers, under steady load. Curves of error rate and latency are what the "
            "clients saw; evidence is what the controller wrote into the status."
        ),
        _overview(runs, summaries),
    ]
    for run in runs:
        parts += _section(run, shots.between(run.started, run.ended))
    (directory / "report.html").write_text(html.page("Sluice demo", parts))


def _overview(runs: Sequence[Run], summaries: Sequence[dict[str, object]]) -> str:
    headers = [
        "Rollout",
        "Expected",
        "Outcome",
        "Seconds",
        "Requests to candidate",
        "Failed by candidate",
        "Collateral errors",
        "Why",
    ]
    rows = []
    for run, entry in zip(runs, summaries, strict=True):
        rows.append(
            [
                run.scenario.name,
                run.scenario.expected,
                html.mark(run.outcome or "unfinished", good=run.right),
                str(entry["seconds"]),
                str(entry["candidateRequests"]),
                str(entry["badRequests"]),
                str(entry["collateralErrors"]),
                f"{run.reason}: {run.message}",
            ]
        )
    return html.table(headers, rows)


def _section(run: Run, shots: Sequence[Shot]) -> list[str]:
    parts = [html.heading(f"{run.scenario.name}: {run.scenario.story}")]
    marks = [(at - run.started, text) for at, text in run.marks]
    parts.append(stack([_weights(run), *_felt(run, shots), *_evidence(run)], marks))
    return parts


def _weights(run: Run) -> Panel:
    seconds = [s.at - run.started for s in run.samples]
    desired = Line(seconds, [s.desired for s in run.samples], "asked for", "#999", True, True)
    observed = [s.observed for s in run.samples]
    return Panel(
        "Candidate's share of the traffic",
        "%",
        [Line(seconds, observed, "at the gateway", CANDIDATE, steps=True), desired],
    )


def _felt(run: Run, shots: Sequence[Shot]) -> list[Panel]:
    sides = (
        ("stable", STABLE, [s for s in shots if s.predictor != run.candidate]),
        ("candidate", CANDIDATE, [s for s in shots if s.predictor == run.candidate]),
    )
    errors, latency = [], []
    for label, color, side in sides:
        rate = _binned(run, side, lambda b: 100 * sum(s.failed for s in b) / len(b))
        tail = _binned(run, side, lambda b: _quantile(b, 0.95))
        errors.append(Line(*rate, label, color))
        latency.append(Line(*tail, f"{label} p95", color))
        latency.append(
            Line(
                *_binned(run, side, lambda b: _quantile(b, 0.5)),
                f"{label} median",
                color,
                dashed=True,
            )
        )
    return [Panel("Failed requests", "%", errors, least_top=5.0), Panel("Latency", "ms", latency)]


def _evidence(run: Run) -> list[Panel]:
    harm, passed, harm_levels, pass_levels = [], [], {}, {}
    for index, name in enumerate(sorted({n for s in run.samples for n in s.verdicts})):
        known = [s for s in run.samples if name in s.toward_harm]
        seconds = [s.at - run.started for s in known]
        color = check_color(index)
        harm.append(Line(seconds, [max(-3.0, s.toward_harm[name]) for s in known], name, color))
        passed.append(Line(seconds, [max(-3.0, s.toward_pass[name]) for s in known], name, color))
        if name in run.needed:
            pass_levels["needed to pass"], harm_levels["needed to roll back"] = run.needed[name]
    if not harm:
        return []
    return [
        Panel("Evidence for harm", "log10 E", harm, harm_levels, floor=None),
        Panel("Evidence for promotion", "log10 E", passed, pass_levels, floor=None),
    ]


def _binned(
    run: Run, shots: Sequence[Shot], value: Callable[[list[Shot]], float]
) -> tuple[list[float], list[float]]:
    bins: dict[int, list[Shot]] = {}
    for shot in shots:
        bins.setdefault(int((shot.at - run.started) / _BIN_SECONDS), []).append(shot)
    found = sorted(bins)
    return [(b + 0.5) * _BIN_SECONDS for b in found], [value(bins[b]) for b in found]


def _quantile(shots: list[Shot], level: float) -> float:
    times = sorted(s.milliseconds for s in shots)
    return times[int(level * (len(times) - 1))]
