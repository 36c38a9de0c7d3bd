"""`python -m bench.drift [--only TEXT] [--quick] [--seed S] [--out DIRECTORY]`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from bench.drift.canary import Canary, canary_cells, run_canary
from bench.drift.ours import (
    Cell,
    Decay,
    decay_cells,
    run,
    run_decay,
    shifted_cells,
    stationary_cells,
)

OUT = Path(__file__).parents[2] / "docs" / "benchmarks"
EVALUATION_SEED = 20_261
PARTS = ("decay", "canary", "shifted", "stationary", "streams")
Figures = dict[str, dict[str, dict[str, object]]]


def main() -> int:
    """Measure what is asked for, keep the figures of the rest, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m bench.drift", description=__doc__)
    parser.add_argument(
        "--only", default="", help="parts, by comma: " + ", ".join(PARTS) + "; page: only that"
    )
    parser.add_argument("--seed", type=int, default=EVALUATION_SEED)
    parser.add_argument("--quick", action="store_true", help="a tenth of the models")
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    parts = set(filter(None, given.only.split(","))) or set(PARTS)
    file = given.out / "drift.json"
    found: Figures = json.loads(file.read_text()) if file.exists() else {}
    fewer = 10 if given.quick else 1
    for part, jobs in _jobs(given.seed, fewer).items():
        if part not in parts:
            continue
        found[part] = {}
        for job in jobs:
            start = time.process_time()
            one = job()
            found[part][str(one["cell"])] = one
            _write(file, found)
            print(f"{time.process_time() - start:6.1f} s CPU  {one['cell']}", file=sys.stderr)
    if "streams" in parts:
        from bench.drift.peers import measure

        found["streams"] = measure(given.seed, runs=max(10 // fewer, 1))
        _write(file, found)
    from bench.drift.page import page

    (given.out / "drift.md").write_text(page(found, given.seed))
    return 0


def _jobs(seed: int, fewer: int) -> dict[str, list[Callable[[], dict[str, object]]]]:
    def drift(cell: Cell) -> Callable[[], dict[str, object]]:
        return lambda: run(replace(cell, models=max(cell.models // fewer, 1)), seed)

    def decay(cell: Decay) -> Callable[[], dict[str, object]]:
        return lambda: run_decay(replace(cell, models=max(cell.models // fewer, 1)), seed)

    def canary(cell: Canary) -> Callable[[], dict[str, object]]:
        return lambda: run_canary(replace(cell, runs=max(cell.runs // fewer, 1)), seed)

    return {
        "canary": [canary(cell) for cell in canary_cells()],
        "decay": [decay(cell) for cell in decay_cells()],
        "shifted": [drift(cell) for cell in shifted_cells()],
        "stationary": [drift(cell) for cell in stationary_cells()],
    }


def _write(file: Path, found: Figures) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
