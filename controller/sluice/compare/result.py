"""What a comparison came to, as data for programs and as text for people. Pure."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from sluice.compare.checks import Check, together
from sluice.compare.classes import gravest
from sluice.compare.pairs import What
from sluice.compare.totals import Example, Totals, latencies

_NAMES = {
    What.SCHEMA: "schema",
    What.FAILED: "failed",
    What.LABEL: "label",
    What.DISTANCE: "distance",
}
_ROWS_SHOWN = 10
_CLASSES_SHOWN, _LONGEST_NAME = 20, 30


def data(totals: Totals, sides: dict[str, str]) -> dict[str, Any]:
    """The JSON of a comparison; docs/compare-answers.md says what each field means."""
    checks = totals.checks()
    return {
        "verdict": together(checks),
        "sides": sides,
        "requests": totals.requests,
        "rows": totals.rows,
        "agreeing": totals.agreeing,
        "checks": [_check(one) for one in checks],
        "codes": [
            {"stable": stable, "candidate": candidate, "requests": n}
            for (stable, candidate), n in totals.codes.most_common()
        ],
        "schema": {"fields": dict(totals.fields.most_common()), "first": totals.schemas},
        "labels": [
            {"stable": stable, "candidate": candidate, "rows": n}
            for (stable, candidate), n in totals.moved.most_common()
        ],
        "distance": {
            "greatest": _finite(totals.greatest),
            "relative": _finite(totals.relative),
            "byColumn": {name: _finite(value) for name, value in totals.columns.items()},
        },
        "milliseconds": {
            "stable": latencies(totals.seconds[0]),
            "candidate": latencies(totals.seconds[1]),
        },
        "examples": [_example(one) for one in totals.worst()],
    }


def text(totals: Totals, sides: dict[str, str]) -> list[str]:
    """Lines for people: the verdict, its checks, then what differs and the worst examples."""
    checks = totals.checks()
    lines = [f"{together(checks)}: {totals.requests} requests, {totals.rows} rows compared"]
    lines += [f"  {name:9}  {where}" for name, where in sides.items()]
    lines.append("")
    shown = gravest(checks, _CLASSES_SHOWN)
    names = {one.name: _cut(one.name) for one in shown}
    width = max(9, *map(len, names.values()))
    for check in shown:
        lines.append(f"  {names[check.name]:{width}}  {check.verdict:9}  {check.message}")
    if len(shown) < len(checks):
        lines.append(f"  {len(checks) - len(shown)} more classes, none of them graver: -o json")
    for words, n in (
        ("only the candidate failed", totals.only(stable_ok=True)),
        ("only the stable failed (not counted)", totals.only(stable_ok=False)),
    ):
        if n:
            codes = ", ".join(
                f"{n} x {a}/{b}" for (a, b), n in totals.codes.most_common(5) if a != b
            )
            lines.append(f"  {'codes':9}  {n} of {totals.requests} requests: {words} ({codes})")
    lines += _labels(totals)
    if totals.columns:
        lines += ["", f"  greatest distance {totals.greatest:.3g}, relative {totals.relative:.3g}"]
        worst = sorted(totals.columns.items(), key=lambda item: -item[1])[:_ROWS_SHOWN]
        lines += [f"    {name:20}  {value:.3g}" for name, value in worst]
    times = [latencies(one) for one in totals.seconds]
    if times[0]:
        lines += [""] + [
            f"  {name:9}  " + "  ".join(f"{at} {ms:.1f}ms" for at, ms in one.items())
            for name, one in zip(("stable", "candidate"), times, strict=True)
        ]
    for one in totals.worst():
        lines += [
            "",
            f"  line {one.number}: {one.why}",
            f"    request    {one.request}",
            f"    stable     {one.stable}",
            f"    candidate  {one.candidate}",
        ]
    return lines


def _labels(totals: Totals) -> list[str]:
    """Agreement by the stable's label, and what became of the rest."""
    became: dict[str, dict[str, int]] = defaultdict(dict)
    for (stable, candidate), n in totals.moved.items():
        became[stable][candidate] = n
    # Free text has as many labels as rows; a table of them tells nothing.
    if not became or len(became) > _ROWS_SHOWN * 2:
        return []
    lines = ["", "  label                 rows  agree  others"]
    for label in sorted(became):
        answered = sum(became[label].values())
        # As judged: with rows that were not answered alike, and with numbers too far away.
        rows, same = totals.classes.counts.get(label, (answered, became[label].get(label, 0)))
        others = sorted(
            ((n, name) for name, n in became[label].items() if name != label), reverse=True
        )
        if rows > answered:
            others.insert(0, (rows - answered, "no such answer"))
        rest = ", ".join(f"{name} {n}" for n, name in others[:3])
        lines.append(f"  {label[:20]:20} {rows:>5} {100 * same / rows:>5.1f}%  {rest}".rstrip())
    return lines


def _cut(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"


def _check(one: Check) -> dict[str, Any]:
    return {
        "name": one.name,
        "verdict": one.verdict,
        "share": one.share,
        "interval": [one.low, one.high],
        "wanted": one.wanted,
        "counted": one.counted,
        "harmOnly": one.harm_only,
        "message": one.message,
    }


def _example(one: Example) -> dict[str, Any]:
    return {
        "line": one.number,
        "what": _NAMES[What(one.what)],
        "why": one.why,
        "distance": _finite(one.size),
        "request": one.request,
        "stable": one.stable,
        "candidate": one.candidate,
    }


def _finite(value: float) -> float | None:
    """JSON knows no infinity: missing on one side is null."""
    return value if value < float("inf") else None
