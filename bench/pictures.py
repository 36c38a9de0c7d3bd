"""`python -m bench.pictures`: the pictures of docs/decisions.md, by the shipped evidence."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from sluice.evidence import CheckPlan, EvidenceBank, Increment, Kind, limits

OUT = Path(__file__).parents[1] / "docs" / "pictures"
PLAN = CheckPlan("errors", Kind.COMPARE_RATE, alpha=0.01, beta=0.05)
NONE = np.zeros(0)
STABLE_RATE, RPS, SCRAPE = 0.005, 20.0, 15.0
GOOD, BAD, CALM = "#2a7f4f", "#b3312c", "#4a6fa5"


@dataclass
class Track:
    """One candidate's evidence over time: minutes, log10 for Pass and for Harm."""

    minutes: list[float]
    passing: list[float]
    harm: list[float]


def follow(ratio: float, *, seed: int, minutes: int = 30, share: float = 0.2) -> Track:
    """A candidate that fails `ratio` times as often as the stable."""
    rng = np.random.default_rng(seed)
    bank = EvidenceBank()
    bank.open("r", (PLAN,), ())
    track = Track([0.0], [0.0], [0.0])
    for scrape in range(1, int(minutes * 60 / SCRAPE) + 1):
        n_c, n_s = rng.poisson(RPS * SCRAPE * share), rng.poisson(RPS * SCRAPE * (1 - share))
        k_c, k_s = rng.binomial(n_c, STABLE_RATE * ratio), rng.binomial(n_s, STABLE_RATE)
        bank.update({"r": Increment(n_c, k_c, n_s, k_s, NONE, NONE)})
        found = bank.results("r")[0]
        track.minutes.append(scrape * SCRAPE / 60)
        track.passing.append(found.log10_pass)
        track.harm.append(found.log10_harm)
    return track


def zone(axes: Axes) -> None:
    """What a policy asks: acceptable, unacceptable, and the zone between."""
    for left, right, color, text in (
        (0.0, 1.0, GOOD, "acceptable:\nrolled back at most\n1% of times"),
        (1.0, 2.0, "#888888", "either end\nis right"),
        (2.0, 3.4, BAD, "unacceptable:\npromoted at most\n5% of times"),
    ):
        axes.axvspan(left, right, color=color, alpha=0.18)
        axes.text((left + right) / 2, 0.5, text, ha="center", va="center", fontsize=11)
    for at, name in ((1.0, "acceptableRatio 1.0"), (2.0, "unacceptableRatio 2.0")):
        axes.axvline(at, color="#333333", linewidth=1)
        axes.text(at, 1.02, name, ha="center", va="bottom", fontsize=10)
    axes.set(xlim=(0, 3.4), ylim=(0, 1), yticks=[])
    axes.set_xlabel("the candidate's true error rate, as a multiple of the stable's")


def evidence(left: Axes, right: Axes) -> None:
    """Evidence of a few candidates next to what is needed."""
    for ratio, color, name in ((1, GOOD, "like the stable"), (2, "#d98c21", "x2"), (5, BAD, "x5")):
        for seed in range(3):
            track = follow(ratio, seed=40 + seed)
            label = name if not seed else None
            left.plot(track.minutes, track.harm, color=color, linewidth=1.3, label=label)
            right.plot(track.minutes, track.passing, color=color, linewidth=1.3, label=label)
    for axes, needed, title in (
        (left, -math.log10(PLAN.alpha), "evidence for Harm"),
        (right, -math.log10(PLAN.beta), "evidence for Pass"),
    ):
        axes.axhline(needed, color="#333333", linestyle="--", linewidth=1)
        axes.text(29.8, needed + 0.12, "needed", ha="right", fontsize=9)
        axes.axhline(0, color="#cccccc", linewidth=0.8, zorder=0)
        axes.set(xlim=(0, 30), ylim=(-4, 7), title=title, xlabel="minutes at 20% of 20 requests/s")
    left.set_ylabel("log10 of the e-value")
    left.legend(title="error rate", loc="lower left", fontsize=9, title_fontsize=9)


def cost(axes: Axes) -> None:
    """The least minutes until harm of a size can be shown, by the candidate's share."""
    ratios = np.geomspace(1.2, 20, 60)
    for share, color in ((0.05, "#9db7d8"), (0.2, CALM), (0.5, "#1d3557")):
        took = []
        for ratio in ratios:
            events = limits.events_to_harm(ratio, share, acceptable=1.0, alpha=0.01)
            seconds = limits.seconds_of(
                events, ratio=ratio, share=share, stable_rate=STABLE_RATE, rps=RPS
            )
            took.append(seconds / 60)
        axes.plot(ratios, took, color=color, label=f"{share:.0%} to the candidate")
    axes.set(xscale="log", yscale="log", ylabel="minutes, the least any test takes on average")
    axes.set_xticks([1.2, 1.5, 2, 3, 5, 10, 20], ["1.2", "1.5", "2", "3", "5", "10", "20"])
    axes.set_yticks([0.1, 1, 10, 60, 600], ["6 s", "1", "10", "60", "600"])
    axes.minorticks_off()
    axes.set_xlabel("true error rate, as a multiple of the stable's .5%")
    axes.grid(alpha=0.25)
    axes.legend(fontsize=9)


def main(out: Path = OUT) -> None:
    """Write the three pictures."""
    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "sluice", "svg.fonttype": "none", "font.size": 10})
    out.mkdir(parents=True, exist_ok=True)
    for name, size, columns in (
        ("zone", (8, 2.4), 1), ("evidence", (10, 4), 2), ("cost", (7, 4), 1),
    ):  # fmt: skip
        figure, axes = plt.subplots(1, columns, figsize=size, sharey=columns > 1)
        {"zone": zone, "evidence": evidence, "cost": cost}[name](*np.atleast_1d(axes))
        figure.tight_layout()
        figure.savefig(out / f"{name}.svg", metadata={"Date": None})
        plt.close(figure)


if __name__ == "__main__":
    main()
