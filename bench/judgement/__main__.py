"""`python -m bench.judgement [--quick] [--runs N] [--seed S] [--out DIRECTORY]`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path

from bench.judgement import plots
from bench.judgement.cells import CELLS
from bench.judgement.figures import Outcome, measure
from bench.judgement.native import schedules
from bench.judgement.ours import sluice
from bench.judgement.page import OURS, page
from bench.judgement.peers import PEERS, Rule, SafeRollout

OUT = Path(__file__).parents[2] / "docs" / "benchmarks"
EVALUATION_SEED = 20_260
IN_TRACK_2 = (
    "healthy", "bursty", "very bursty", "shared outage", "metrics outage", "errors x2", "errors x5",
    "errors x20", "latency x2", "late", "intermittent",
)  # fmt: skip

# What differs besides the test, made alike.
ALIKE: dict[str, Rule] = {
    "Sluice": sluice,
    "Sluice, no warm-up": partial(sluice, warm=False),
    "Sluice, skew 0": partial(sluice, skew=0.0),
    "Sluice, neither": partial(sluice, warm=False, skew=0.0),
    "Sluice, no history": partial(sluice, learns=False),
    "GrowthBook, alpha 1%": SafeRollout(alpha=0.01),
    "GrowthBook, alpha 1%, 30 s warm-up": SafeRollout(alpha=0.01, skipped=2),
}
ALIKE_IN = ("bursty", "cold start", "shared outage", "errors x2", "errors x5", "errors x20",
    "latency +20%", "latency x2")  # fmt: skip


def main() -> int:
    """Measure, and write the page, the pictures and the figures as JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.judgement", description=__doc__)
    parser.add_argument("--runs", type=int, default=5000, help="per cell")
    parser.add_argument("--seed", type=int, default=EVALUATION_SEED)
    parser.add_argument("--quick", action="store_true", help="a tenth of the runs")
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    runs = max(given.runs // 10, 1) if given.quick else given.runs
    start = time.process_time()

    def tell(what: str) -> None:
        print(f"{time.process_time() - start:6.1f} s CPU  {what}", file=sys.stderr)

    track1 = measure(CELLS, {**PEERS, OURS: sluice}, runs=runs, seed=given.seed, tell=tell)
    alike = measure(
        [cell for cell in CELLS if cell.name in ALIKE_IN],
        ALIKE,
        runs=runs,
        seed=given.seed,
        tell=lambda name: tell(f"{name}, made alike"),
    )
    track2: list[Outcome] = []
    for name, schedule in schedules().items():
        track2 += measure(
            [cell for cell in CELLS if cell.name in IN_TRACK_2],
            {name: schedule.rule},
            runs=runs,
            seed=given.seed + 1000,
            tell=lambda cell, name=name: tell(f"{name}: {cell}"),  # type: ignore[misc]
            share=schedule.shares(),
            scrapes=schedule.scrapes,
        )
    given.out.mkdir(parents=True, exist_ok=True)
    text = page(track1, alike, track2, runs=runs, seed=given.seed)
    (given.out / "judgement.md").write_text(text)
    tracks = {"sameWeights": track1, "madeAlike": alike, "nativeSchedules": track2}
    data = {name: [asdict(outcome) for outcome in found] for name, found in tracks.items()}
    (given.out / "judgement.json").write_text(
        "{\n"
        + ",\n".join(f'"{k}": [\n' + ",\n".join(map(json.dumps, v)) + "]" for k, v in data.items())
        + "}\n"
    )
    plots.wrong_verdicts(track1, given.out / "judgement-wrong.svg")
    plots.cost_of_harm(track1, given.out / "judgement-cost.svg")
    return 0


if __name__ == "__main__":
    sys.exit(main())
