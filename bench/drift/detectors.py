"""Runs in an environment of its own (requirements/bench-drift.txt): river's and frouros' detectors.

`python detectors.py SEED RUNS OUT.npz`: makes the streams, a frozen linear model's errors on them,
and what every detector says. Prints one JSON object: per stream and detector the positions at
which each run's detector spoke. Settings are the libraries' defaults.
"""

from __future__ import annotations

import itertools
import json
import sys

import numpy as np
from frouros.detectors.concept_drift import CUSUM, RDDM, CUSUMConfig, RDDMConfig
from river import drift
from river.datasets import synth

TRAIN, LEVEL, BEFORE, AFTER = 2_000, 10_000, 43_200, 14_400
SLOW = {"KSWIN": 3}
"""Detectors that are too slow for all runs, and how many they get."""


def sea(seed):
    before = synth.SEA(variant=0, noise=0.1, seed=seed)
    after = synth.SEA(variant=3, noise=0.1, seed=seed + 1)
    return before, after


def hyperplane(seed):
    still = synth.Hyperplane(seed=seed, n_features=10, n_drift_features=5, mag_change=0.0)
    turning = synth.Hyperplane(seed=seed, n_features=10, n_drift_features=5, mag_change=0.001)
    return still, turning


STREAMS = {"SEA, abrupt (threshold 8 to 9.5)": sea, "rotating hyperplane, gradual": hyperplane}


def table(generator, size):
    rows = [(list(x.values()), y) for x, y in itertools.islice(generator, size)]
    return np.array([r[0] for r in rows], dtype=float), np.array([int(r[1]) for r in rows])


def errors(make, seed):
    first, second = make(seed)
    x, y = table(first, TRAIN + LEVEL + BEFORE)
    x2, y2 = table(second, AFTER)
    x, y = np.vstack([x, x2]), np.concatenate([y, y2])
    design = np.column_stack([np.ones(len(x)), x])
    weights, *_ = np.linalg.lstsq(design[:TRAIN], 2.0 * y[:TRAIN] - 1.0, rcond=None)
    return ((design @ weights > 0).astype(int) != y)[TRAIN:].astype(np.int8)


class Frouros:
    def __init__(self, detector):
        self._detector = detector
        self.drift_detected = False

    def update(self, value):
        self._detector.update(value=value)
        self.drift_detected = self._detector.drift
        if self.drift_detected:
            self._detector.reset()


DETECTORS = {
    "ADWIN": drift.ADWIN,
    "PageHinkley": drift.PageHinkley,
    "DDM": drift.binary.DDM,
    "HDDM_A": drift.binary.HDDM_A,
    "HDDM_W": drift.binary.HDDM_W,
    "KSWIN": lambda: drift.KSWIN(seed=1),
    "RDDM (frouros)": lambda: Frouros(RDDM(config=RDDMConfig())),
    "CUSUM (frouros)": lambda: Frouros(CUSUM(config=CUSUMConfig())),
}


def main():
    seed, runs, out = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    said, kept = {}, {}
    for name, make in STREAMS.items():
        streams = [errors(make, seed + 10 * run) for run in range(runs)]
        kept[name] = np.array(streams)
        said[name] = {}
        for label, new in DETECTORS.items():
            spoke = []
            for stream in streams[: SLOW.get(label, runs)]:
                detector, at = new(), []
                for i, error in enumerate(stream.tolist()):
                    detector.update(error)
                    if detector.drift_detected:
                        at.append(i)
                spoke.append(at)
            said[name][label] = spoke
            print(f"{name}: {label}", file=sys.stderr)
    np.savez_compressed(out, **kept)
    json.dump({"level": LEVEL, "before": BEFORE, "after": AFTER, "said": said}, sys.stdout)


if __name__ == "__main__":
    main()
