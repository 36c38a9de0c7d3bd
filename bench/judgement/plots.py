"""The two pictures of the page, as SVG without dates, so the same figures give the same files."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np

from bench.judgement.cells import CELLS, HEALTHY
from bench.judgement.figures import Outcome

mpl.use("Agg")
mpl.rcParams.update({"svg.hashsalt": "sluice", "svg.fonttype": "none", "font.size": 9})

from matplotlib import pyplot as plt  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

MARKS = "ov^<>sPDX*h"
OURS = "Sluice"


def wrong_verdicts(outcomes: list[Outcome], path: Path) -> None:
    """A map: how often every rule is wrong in every cell where something is right or wrong."""
    cells = [cell for cell in CELLS if cell.truth != "between"]
    rules = list(dict.fromkeys(o.rule for o in outcomes))
    found = {(o.rule, o.cell): o for o in outcomes}
    wrong = np.array([[_wrong(found[rule, c.name], c.truth) for c in cells] for rule in rules])
    figure, axes = plt.subplots(figsize=(10, 4.2))
    axes.imshow(np.sqrt(wrong), cmap="Reds", vmin=0, vmax=1.2, aspect="auto")
    for (row, column), value in np.ndenumerate(wrong):
        axes.text(
            column,
            row,
            f"{value * 100:.1f}" if 0 < value < 0.0995 else f"{value * 100:.0f}",
            ha="center",
            va="center",
            fontsize=8,
        )
    axes.set_xticks(range(len(cells)), [c.name for c in cells], rotation=45, ha="right")
    axes.set_yticks(range(len(rules)), rules)
    split = sum(c.truth == "acceptable" for c in cells) - 0.5
    axes.axvline(split, color="black", linewidth=1)
    axes.set_title("Wrong verdicts, % of runs: rolled back (left), not rolled back (right)")
    _save(figure, path)


def _wrong(outcome: Outcome, truth: str) -> float:
    return outcome.rolled_back.value if truth == "acceptable" else 1 - outcome.rolled_back.value


def cost_of_harm(outcomes: list[Outcome], path: Path) -> None:
    """Failed requests served, against false rollbacks of a healthy candidate."""
    found = {(o.rule, o.cell): o for o in outcomes}
    rules = list(dict.fromkeys(o.rule for o in outcomes))
    names = ("errors x2", "errors x5", "errors x20")
    figure, panels = plt.subplots(1, len(names), figsize=(10, 3.6), sharex=True)
    for axes, name in zip(panels, names, strict=True):
        for mark, rule in zip(MARKS, rules, strict=False):
            x = max(found[rule, HEALTHY].rolled_back.value, 3e-4)
            size, colour = (150, "black") if rule == OURS else (45, None)
            bad = found[rule, name].bad_mean
            axes.scatter(x, bad, marker=mark, s=size, color=colour, label=rule, alpha=0.8)
        axes.set(xscale="log", yscale="log", title=name, xlabel="healthy rolled back")
        axes.axvline(0.01, color="grey", linestyle=":", linewidth=1)
    panels[0].set_ylabel("failed requests served (mean)")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    figure.subplots_adjust(bottom=0.38, wspace=0.3)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)
