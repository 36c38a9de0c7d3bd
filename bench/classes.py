"""`python -m bench classes`: how often a comparison by class is wrong, and what it finds.

Each run draws how many rows of each class agree, and judges them as `sluice compare
--class-agreement` and a preflight's `perClass` do; only asking the models is left out. What it
prints is the table of docs/benchmarks/preflight.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sluice.compare.classes import PerClass
from sluice.compare.totals import Tolerance, Totals
from sluice.simulation.outcomes import wilson

_SEED = 40_961


@dataclass(frozen=True)
class Cell:
    """`classes`: rows, and the true share of them that agrees. `stated`: the most that `counted`
    may be. `by_class` False: the whole alone."""

    name: str
    classes: Sequence[tuple[int, float]]
    counted: str
    agreement: float = 0.9
    per_class: float = 0.9
    stated: float | None = None
    by_class: bool = True


def cells() -> list[Cell]:
    """Wrong ones first: everything exactly at the limit, where the risk is greatest."""
    at, risk = 0.9, Tolerance().risk
    rare = [(9000, 1.0), (950, 1.0)]
    found = [
        Cell(name, [(n, at) for n in rows], "Harm", stated=risk)
        for name, rows in (
            ("3 classes of 333", [333] * 3),
            ("900, 90 and 10", [900, 90, 10]),
            ("20 classes of 50", [50] * 20),
            ("200 classes of 40", [40] * 200),
        )
    ]
    found += [
        Cell(
            f"{n} of 3,000 at the limit, else all", [(3000 - n, 1.0), (n, at)], "Pass", stated=risk
        )
        for n in (36, 100, 600)
    ]
    many = [(150, 0.99)] * 19 + [(150, at)]
    found.append(Cell("one of 20 of 150 at the limit, else 99%", many, "Pass", stated=risk))
    for n, share in ((50, 0.2), (50, 0.5), (50, 0.7), (20, 0.2), (20, 0.5), (5, 0.0)):
        spoilt = [*rare, (n, share)]
        name = f"9,000, 950 and {n}, of which {share:.0%} agree"
        found.append(Cell(name, spoilt, "Harm", agreement=0.99))
        found.append(Cell(f"{name}: whole alone", spoilt, "Pass", agreement=0.99, by_class=False))
    for n in (50, 100, 200):
        for share in (0.99, 0.97):
            alike = [(n, share)] * 10
            found.append(Cell(f"10 classes of {n}, {share:.0%} agree", alike, "Pass"))
    return found


def counted(cell: Cell, runs: int, rng: np.random.Generator) -> int:
    """The runs with the verdict that the cell counts."""
    per_class = PerClass(cell.per_class) if cell.by_class else None
    rows = np.array([n for n, _ in cell.classes])
    agreeing = rng.binomial(rows, [share for _, share in cell.classes], (runs, len(rows)))
    hits = 0
    for one in agreeing:
        totals = Totals(Tolerance(cell.agreement, per_class=per_class))
        totals.seconds[0].append(0.01)  # the schema is the same
        totals.rows, totals.agreeing = int(rows.sum()), int(one.sum())
        totals.classes.add(
            {f"{k}": (int(n), int(x)) for k, (n, x) in enumerate(zip(rows, one, strict=True))}
        )
        hits += totals.verdict() == cell.counted
    return hits


def main(words: list[str]) -> int:
    """Returns the exit code: 0 as stated, 1 a cell is significantly above it."""
    parser = argparse.ArgumentParser(prog="python -m bench classes", description=__doc__)
    parser.add_argument("--runs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=_SEED)
    given = parser.parse_args(words)
    rng, broken = np.random.default_rng(given.seed), False
    print("| rows of each class, and how many agree | counted | runs, 95% Wilson | stated |")
    print("|---|---|---|---|")
    for cell in cells():
        hits = counted(cell, given.runs, rng)
        low, high = wilson(hits, given.runs)
        broken |= cell.stated is not None and low > cell.stated
        most = f"{100 * cell.stated:g}%" if cell.stated is not None else ""
        share = f"{100 * hits / given.runs:.2f}% [{100 * low:.2f}, {100 * high:.2f}]"
        print(f"| {cell.name} | {cell.counted} | {share} | {most} |", flush=True)
    return int(broken)
