"""The shipped monitors over simulated traffic: false alarms per model-week, and delays."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from bench.drift.traffic import (
    BINS,
    DAY,
    RPS,
    SPECIAL,
    World,
    drawn,
    profile,
    pulses,
)
from sluice.evidence.decay import DecayFleet, DecayPlan
from sluice.evidence.distances import Distance
from sluice.evidence.drift import DriftFleet
from sluice.evidence.features import DriftPlan, Feature
from sluice.evidence.seasons import Seasons

WEEK = 7 * DAY
FEATURES = 10
STILL = World("iid", "independent requests, 10/s")


@dataclass(frozen=True)
class Cell:
    """One situation of the drift monitor.

    `shift` (sd) of the first `features` features, coming within `ramp` seconds; 0: stationary.
    `models` and `weeks` are simulated. `hours`: after the shift, what is not seen by then is not.
    """

    world: World
    distance: Distance = Distance.KS
    threshold: float = 0.1
    seasonal: bool = False
    shift: float = 0.0
    features: int = 1
    ramp: float = 0.0
    hours: float = 12.0
    models: int = 100
    weeks: float = 0.0
    pulse: float = 30.0

    @property
    def name(self) -> str:
        """What tells it from the others."""
        what = f"{self.world.name}, {self.distance} {self.threshold:g}"
        if self.seasonal:
            what += ", same hours"
        if self.shift:
            many = "1 feature" if self.features == 1 else f"{self.features} features"
            what += f", {self.shift:g} sd in {many}"
            what += f" over {self.ramp / 60:g} min" if self.ramp else ""
        return what


def opened(cell: Cell, rng: np.random.Generator, learning: float) -> DriftFleet:
    """A fleet of models with profiles of their own."""
    bins = BINS + SPECIAL
    training = profile(cell.world, rng, cell.models, FEATURES)
    fleet = DriftFleet(FEATURES, bins, cell.models)
    for model in range(cell.models):
        features = tuple(
            Feature(f"x{f}", tuple(training[model, f]), cell.distance, cell.threshold)
            for f in range(FEATURES)
        )
        fleet.open(str(model), DriftPlan(features, learning=learning))
    return fleet


def run(cell: Cell, seed: int) -> dict[str, object]:
    """The cell's false alarms (stationary) or delays (shifted), for the page."""
    rng = np.random.default_rng([seed, sum(map(ord, cell.name))])
    fleet = opened(cell, rng, DAY)
    learning = (4 if cell.seasonal else 1) * DAY  # the hours have to be filled first
    rows = fleet.slots.rows([str(model) for model in range(cell.models)])
    dt = np.full(cell.models, cell.pulse)
    before = round(learning / cell.pulse)
    after = round((cell.weeks * WEEK if not cell.shift else cell.hours * 3600.0) / cell.pulse)
    seasons = Seasons(cell.models, FEATURES, BINS + SPECIAL, days=3) if cell.seasonal else None
    moved = np.zeros((before + after, FEATURES))
    if cell.shift:
        step = np.arange(1, after + 1) * cell.pulse
        part = np.clip(step / cell.ramp, 0.0, 1.0) if cell.ramp else np.ones(after)
        moved[before:, : cell.features] = cell.shift * part[:, None]
    was = np.zeros((cell.models, FEATURES), np.bool_)
    false = 0
    seen = np.full(cell.models, np.inf)
    largest = np.full(cell.models, -np.inf)
    stream = pulses(cell.world, rng, cell.models, FEATURES, cell.pulse, before + after, moved)
    for i, counts in enumerate(stream):
        reference = None
        if seasons is not None:
            time = np.full(cell.models, i * cell.pulse)
            reference = seasons.reference(rows, time)
            seasons.learn(rows, counts, time, dt)
        now = fleet.update(rows, counts, dt, reference)
        if cell.shift and i >= before:
            hit = now[:, : cell.features].any(axis=1) & np.isinf(seen)
            seen[hit] = (i - before + 1) * cell.pulse
            false += int((now & ~was)[:, cell.features :].sum())
        else:
            # Every feature that becomes Drifted is an alarm, also of a model that had one before.
            false += int((now & ~was).sum())
        was = now
        largest = np.maximum(largest, fleet.slots.fields["log_m"][rows].max(axis=(1, 2)))
    return _summary(cell.name, cell.models, cell.weeks, false, seen, shifted=bool(cell.shift)) | {
        "largestEvidence": round(float(largest.max() / math.log(10)), 2),
        "designEffect": round(float(np.median(fleet.wander.told(rows))), 2),
    }


def _summary(
    name: str, models: int, weeks: float, false: int, seen: np.ndarray, *, shifted: bool
) -> dict[str, object]:
    out: dict[str, object] = {"cell": name, "models": models, "falseAlarms": false}
    if not shifted:
        return out | {"modelWeeks": models * weeks}
    found = np.isfinite(seen)
    quantiles = {}
    for label, q in (("median", 0.5), ("p95", 0.95)):
        value = float(np.quantile(np.where(found, seen, 1e12), q, method="higher"))
        quantiles[label] = round(value / 60, 2) if value < 1e11 else None
    return out | {"seen": int(found.sum()), **quantiles}


@dataclass(frozen=True)
class Decay:
    """One situation of the decay monitor: `level` at promotion (10,000 answers), later `drop` less.

    `per_second`: feedback. `every`: seconds between the batches in which it arrives. `fano`:
    bunches of like rewards. `wander`: sd of an AR(1) of the level with a memory of an hour.
    """

    name: str
    level: float = 0.9
    drop: float = 0.0
    per_second: float = 1.0
    every: float = 60.0
    fano: float = 1.0
    wander: float = 0.0
    models: int = 2000
    weeks: float = 1.0
    hours: float = 24.0
    learn_hours: float = 24.0


def run_decay(cell: Decay, seed: int) -> dict[str, object]:
    """As `run`."""
    rng = np.random.default_rng([seed, sum(map(ord, cell.name))])
    models, pulse, before = cell.models, 60.0, 10_000
    fleet = DecayFleet(models)
    for model in range(models):
        good = float(rng.binomial(before, cell.level))
        fleet.open(str(model), DecayPlan(before, good))
    rows = fleet.slots.rows([str(model) for model in range(models)])
    learn = round(cell.learn_hours * 3600 / pulse)
    after = round((cell.hours * 3600 if cell.drop else cell.weeks * WEEK) / pulse)
    latent, keep = rng.normal(0, 1, models), math.exp(-pulse / 3600.0)
    seen, was, false = np.full(models, np.inf), np.zeros(models, np.bool_), 0
    step = max(round(cell.every / pulse), 1)
    for i in range(learn + after):
        latent = keep * latent + math.sqrt(1 - keep**2) * rng.normal(0, 1, models)
        level = cell.level - (cell.drop if i >= learn else 0.0) + cell.wander * latent
        bad = np.clip(1 - level, 0.0, 1.0)
        n = np.zeros(models)
        k = np.zeros(models)
        if i % step == step - 1:
            mean = np.full(models, cell.per_second * pulse * step)
            k = drawn(rng, mean * bad, cell.fano)
            n = k + rng.poisson(mean * (1 - bad))
        now = fleet.update(rows, n, n - k, np.full(models, pulse))
        if cell.drop and i >= learn:
            seen[now & np.isinf(seen)] = (i - learn + 1) * pulse
        else:
            false += int((now & ~was).sum())
        was = now
    return _summary(cell.name, models, cell.weeks, false, seen, shifted=bool(cell.drop))


def stationary_cells() -> list[Cell]:
    """Nothing changes in these."""
    bursty = World("bursty", "bunches of like requests, variance 8 times the mean", fano=8.0)
    diurnal = World(
        "diurnal", "means up and down by .2 sd, traffic by 80%, once a day", swing=0.2, busy=0.8
    )
    strong = World("strongly diurnal", "means by .5 sd, traffic by 80%", swing=0.5, busy=0.8)
    wander = World("autocorrelated", "means an AR(1), sd .2, memory 1 h", wander=0.2)
    few = World("0.1 requests/s", "independent requests, .1/s", rps=0.1)
    long: dict[str, float] = {"pulse": 60.0}
    return [
        Cell(STILL, models=2000, weeks=1, **long),
        Cell(bursty, models=400, weeks=1, **long),
        Cell(diurnal, models=400, weeks=1, **long),
        Cell(wander, models=400, weeks=1, **long),
        Cell(strong, seasonal=True, models=200, weeks=1, **long),
        Cell(few, models=400, weeks=1, **long),
        Cell(STILL, Distance.PSI, 0.1, models=200, weeks=1, **long),
    ]


def shifted_cells() -> list[Cell]:
    """Something changes after a day."""
    worlds = {cell.world.name: cell.world for cell in stationary_cells()}
    return [
        Cell(STILL, shift=0.25),
        Cell(STILL, shift=0.5),
        Cell(STILL, shift=1.0),
        Cell(STILL, shift=0.5, features=FEATURES),
        Cell(STILL, shift=0.5, ramp=3600.0),
        Cell(STILL, threshold=0.05, shift=0.25),
        Cell(STILL, Distance.PSI, 0.1, shift=0.5),
        Cell(STILL, Distance.PSI, 0.2, shift=1.0),
        Cell(worlds["bursty"], shift=0.5),
        Cell(worlds["diurnal"], shift=0.5, hours=48.0),
        Cell(worlds["diurnal"], seasonal=True, shift=0.5),
        Cell(worlds["autocorrelated"], shift=1.0, hours=48.0),
        Cell(worlds["0.1 requests/s"], shift=0.5, hours=48.0),
    ]


def decay_cells() -> list[Decay]:
    """Stationary first, then drops."""
    return [
        Decay("iid, level .9"),
        Decay("iid, level .7", level=0.7),
        Decay("bunches (variance 8 x)", fano=8.0),
        Decay("hourly batches", every=3600.0),
        Decay("sparse, .01/s", per_second=0.01, weeks=2, models=1000, learn_hours=24.0),
        Decay("level wanders by .02", wander=0.02),
        Decay("-5 points, level .9", drop=0.05, models=1000),
        Decay("-5 points, level .8", level=0.8, drop=0.05, models=1000),
        Decay("-5 points, level .7", level=0.7, drop=0.05, models=1000),
        Decay("-2 points, level .9", drop=0.02, models=1000),
        Decay("-5 points, bunches", drop=0.05, fano=8.0, models=1000, hours=72.0),
        Decay("-5 points, hourly batches", drop=0.05, every=3600.0, models=1000),
        Decay("-5 points, level wanders", drop=0.05, wander=0.02, models=1000, hours=168.0),
    ]


__all__ = [
    "RPS",
    "Cell",
    "Decay",
    "decay_cells",
    "run",
    "run_decay",
    "shifted_cells",
    "stationary_cells",
]
