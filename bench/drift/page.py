"""The figures as a page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.judgement.figures import Rate

Figures = dict[str, dict[str, dict[str, Any]]]
HEAD = Path(__file__).with_name("head.md")
PROMISED = 0.01
REACH = (
    ("shifted", "iid, ks 0.1, 0.5 sd in 1 feature", "a shift of .5 sd in one of 10 features", 10),
    ("decay", "-5 points, level .9", "-5 points of accuracy from .9", 120),
    ("decay", "-5 points, level .8", "-5 points of accuracy from .8", 120),
    ("decay", "-5 points, level .7", "-5 points of accuracy from .7", 120),
)


def page(found: Figures, seed: int) -> str:
    """docs/benchmarks/drift.md."""
    parts = [HEAD.read_text().replace("{seed}", f"{seed:,}"), "## Targets\n", _targets(found)]
    for title, part, table in (
        ("## Drift: nothing changes", "stationary", _stationary),
        ("## Drift: something changes after a day", "shifted", _delays),
        ("## Decay of the reward", "decay", _decay),
        ("## Candidate beside stable, within an hour", "canary", _canary),
        ("## Beside other tools' detectors", "streams", _streams),
    ):
        if part in found:
            parts += [title + "\n", table(list(found[part].values()))]
    return "\n".join(parts)


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _rate(events: int, runs: float) -> str:
    """Per cent with its 95% Wilson interval."""
    rate = Rate(events, max(round(runs), 1))
    low, high = rate.wilson()
    return f"{rate.value * 100:.2f}% [{low * 100:.2f}, {high * 100:.2f}]"


def _minutes(value: float | None) -> str:
    return "not within the time" if value is None else f"{value:g} min"


def _targets(found: Figures) -> str:
    rows = []
    for part in ("stationary", "decay"):
        cells = [c for c in found.get(part, {}).values() if "modelWeeks" in c]
        for cell in cells:
            fine = cell["falseAlarms"] <= PROMISED * cell["modelWeeks"]
            what = f"{part} {cell['cell']}: false alarms <= 1 in 100 model-weeks"
            shown = f"{cell['falseAlarms']} in {cell['modelWeeks']:,.0f}"
            rate = _rate(cell["falseAlarms"], cell["modelWeeks"])
            rows.append([what, f"{shown}: {rate}", "yes" if fine else "**no**"])
        if cells:
            events = sum(c["falseAlarms"] for c in cells)
            weeks = sum(c["modelWeeks"] for c in cells)
            all_fine = "yes" if events <= PROMISED * weeks else "**no**"
            rows.append(
                [
                    f"{part}, all cells",
                    f"{events} in {weeks:,.0f}: {_rate(events, weeks)}",
                    all_fine,
                ]
            )
    for part, name, what, most in REACH:
        one = found.get(part, {}).get(name)
        if one:
            fine = one["median"] is not None and one["median"] <= most
            target = f"{what}: seen within {most} min (median)"
            rows.append([target, _minutes(one["median"]), "yes" if fine else "**no**"])
    return _table(["asked", "found", "met"], rows)


def _stationary(cells: list[dict[str, Any]]) -> str:
    rows = [
        [
            c["cell"],
            f"{c['modelWeeks']:,.0f}",
            str(c["falseAlarms"]),
            _rate(c["falseAlarms"], c["modelWeeks"]),
            f"{c['largestEvidence']:g}",
            f"{c['designEffect']:g}",
        ]
        for c in cells
    ]
    head = ["cell", "model-weeks", "false `Drifted`", "per model-week, 95% Wilson"]
    return _table([*head, "largest evidence (log10; 3 is needed)", "design effect learned"], rows)


def _delay_row(c: dict[str, Any]) -> list[str]:
    return [
        c["cell"],
        str(c["models"]),
        f"{_rate(c['seen'], c['models'])}",
        _minutes(c["median"]),
        _minutes(c["p95"]),
    ]


_DELAY = ["cell", "runs", "seen, 95% Wilson", "median delay", "95% of runs"]


def _delays(cells: list[dict[str, Any]]) -> str:
    head = [*_DELAY, "alarms of features that did not move", "design effect learned"]
    more = [[str(c["falseAlarms"]), f"{c['designEffect']:g}"] for c in cells]
    return _table(head, [_delay_row(c) + m for c, m in zip(cells, more, strict=True)])


def _decay(cells: list[dict[str, Any]]) -> str:
    still = [
        [
            c["cell"],
            f"{c['modelWeeks']:,.0f}",
            str(c["falseAlarms"]),
            _rate(c["falseAlarms"], c["modelWeeks"]),
        ]
        for c in cells
        if "modelWeeks" in c
    ]
    moved = [_delay_row(c) for c in cells if "modelWeeks" not in c]
    head = ["stationary", "model-weeks", "false alarms", "per model-week, 95% Wilson"]
    return _table(head, still) + "\n" + _table(_DELAY, moved)


def _canary(cells: list[dict[str, Any]]) -> str:
    rows = [
        [
            c["cell"],
            c["truth"],
            str(c["runs"]),
            _rate(c["harm"], c["runs"]),
            "-" if c["harmMinutes"] is None else f"{c['harmMinutes']:g}",
            _rate(c["pass"], c["runs"]),
            "-" if c["passMinutes"] is None else f"{c['passMinutes']:g}",
        ]
        for c in cells
    ]
    head = ["cell", "truth", "runs", "Harm", "min (median)", "Pass", "min (median)"]
    return _table(head, rows)


def _streams(cells: list[dict[str, Any]]) -> str:
    rows = []
    for c in cells:
        weeks = c["modelWeeks"]
        mine = c["detector"] == "Sluice"
        name = f"**{c['detector']}**" if mine else c["detector"]
        delay = "-" if c["medianAnswers"] is None else f"{c['medianAnswers']:,}"
        per_week = f"{c['falseAlarms'] / weeks:,.1f}"
        seen = f"{c['seen']} of {c['runs']}"
        rows.append([c["stream"], name, str(c["falseAlarms"]), per_week, seen, delay])
    head = ["stream", "detector", "false alarms", "per model-week at 1 answer/s", "change seen"]
    return _table([*head, "median delay, answers"], rows)
