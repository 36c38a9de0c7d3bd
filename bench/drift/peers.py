"""Other tools' detectors and ours over the same errors of a frozen model."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sluice.evidence.decay import DecayFleet, DecayPlan

LOCK = Path(__file__).parents[2] / "requirements" / "bench-drift.txt"
WEEK = 604_800
PULSE = 60
OURS = "Sluice"


def environment() -> Path:
    """The Python of the detectors' own environment, made on first use and keyed by its lock."""
    cache = Path(os.environ.get("SLUICE_CACHE") or Path.home() / ".cache" / "sluice")
    digest = hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]
    place = cache / "bench" / f"drift-{digest}"
    python = place / "bin" / "python"
    if not (place / ".installed").exists():
        venv.create(place, with_pip=True, clear=True)
        install = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*install, "--require-hashes", "-r", LOCK], check=True)
        (place / ".installed").touch()
    return python


def measure(seed: int, runs: int) -> dict[str, dict[str, object]]:
    """By "stream, detector": false alarms before the change, delays after it."""
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "errors.npz"
        script = Path(__file__).with_name("detectors.py")
        told = subprocess.run(
            [environment(), script, str(seed), str(runs), out],
            check=True,
            stdout=subprocess.PIPE,
            stderr=sys.stderr,
        )
        found = json.loads(told.stdout)
        with np.load(out) as streams:
            errors = {name: streams[name] for name in streams.files}
    level, before, after = found["level"], found["before"], found["after"]
    rows: dict[str, dict[str, object]] = {}
    for name, said in found["said"].items():
        said[OURS] = _ours(errors[name], level)
        drop = errors[name][:, level + before :].mean() - errors[name][:, : level + before].mean()
        for detector, spoke in said.items():
            change = level + before
            false = sum(sum(level <= at < change for at in run) for run in spoke)
            delays = [next((at - change for at in run if at >= change), np.inf) for run in spoke]
            seen = int(np.isfinite(delays).sum())
            middle = float(np.quantile(np.where(np.isfinite(delays), delays, 1e12), 0.5))
            rows[f"{name}: {detector}"] = {
                "cell": f"{name}: {detector}",
                "stream": name,
                "detector": detector,
                "runs": len(spoke),
                "falseAlarms": false,
                "modelWeeks": round(len(spoke) * before / WEEK, 3),
                "seen": seen,
                "medianAnswers": round(middle) if middle < 1e11 else None,
                "meanDrop": round(float(drop), 3),
                "after": after,
            }
    return rows


def _ours(errors: NDArray[np.int8], level: int) -> list[list[int]]:
    """One answer a second, in increments of a minute; the first `level` are the promotion's."""
    runs, length = errors.shape
    fleet = DecayFleet(runs)
    for run in range(runs):
        good = float(level - errors[run, :level].sum())
        fleet.open(str(run), DecayPlan(level, good, learning=6 * 3600.0))
    rows = fleet.slots.rows([str(run) for run in range(runs)])
    spoke: list[list[int]] = [[] for _ in range(runs)]
    was = np.zeros(runs, np.bool_)
    for start in range(level, length - PULSE + 1, PULSE):
        good = PULSE - errors[:, start : start + PULSE].sum(axis=1).astype(np.float64)
        full = np.full(runs, float(PULSE))
        now = fleet.update(rows, full, good, full)
        for run in np.flatnonzero(now & ~was):
            spoke[run].append(start + PULSE - 1)
        was = now
    return spoke
