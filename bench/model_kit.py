"""What the model kit adds to a prediction's latency: `python -m bench.model_kit [--pairs 4000]`.

Three real model servers with the same model: plain, with the kit, and with the same series given to
Seldon by its `metrics()` hook. Each round sends one request to each in an order drawn at random,
over connections that stay open, to the model's own port, so nothing else hides the difference. The
figure is the median of the paired differences over the plain median, with a 95% bootstrap interval.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import random
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from sluice.sandbox import images
from sluice.sandbox.executor.one_pod import MODEL_HTTP, OnePod

PLAIN = """
from pathlib import Path
from linear_iris import LinearIris
class Plain(LinearIris):
    def __init__(self):
        super().__init__(Path({artefact!r}))
"""
HOOK = """
from pathlib import Path
from linear_iris import LinearIris
class Plain(LinearIris):
    def __init__(self):
        super().__init__(Path({artefact!r}))
        self.asked = 0
    def metrics(self):
        self.asked += 1
        keys = range({series}) if self.asked == 1 else range(9)
        return [
            {{"type": "COUNTER", "key": "sluice_model_observations", "value": 1,
              "tags": {{"kind": "feature", "name": "petal length (cm)", "bin": str(i)}}}}
            for i in keys
        ]
"""
FLOWERS = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.1, 4.7, 1.5], [6.3, 2.9, 5.6, 1.8], [5.8, 2.7, 5.1, 1.9]]
NAMES = ["sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"]


def main() -> int:
    """One JSON line for each size of batch and each way of exporting."""
    parser = argparse.ArgumentParser(prog="python -m bench.model_kit", description=__doc__)
    parser.add_argument("--pairs", type=int, default=4000)
    parser.add_argument("--series", type=int, default=170, help="of the metrics() hook")
    given = parser.parse_args()
    artefact = str(images.directory() / "better" / "model.json")
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as ends:
        addresses = {}
        for name, text in {"plain": PLAIN, "hook": HOOK}.items():
            home = Path(folder, name)
            home.mkdir()
            source = text.format(artefact=artefact, series=given.series)
            (home / "Plain.py").write_text(source)
            pod = ends.enter_context(OnePod(images.serve(home, "Plain")))
            addresses[name] = pod.address
        kit = images.resolve("iris-better")
        assert kit is not None
        addresses["kit"] = ends.enter_context(OnePod(kit)).address
        for rows in (1, 100):
            body = json.dumps({"data": {"names": NAMES, "ndarray": (FLOWERS * rows)[:rows]}})
            times = _times(addresses, body.encode(), given.pairs)
            for name in ("kit", "hook"):
                line = _figures(times["plain"], times[name])
                sys.stdout.write(json.dumps({"way": name, "rows": rows, **line}) + "\n")
                sys.stdout.flush()
    return 0


def _times(addresses: dict[str, str], body: bytes, pairs: int) -> dict[str, np.ndarray]:
    """Microseconds of each request, by server; shape (pairs,)."""
    chance = random.Random(1)
    open_to = {
        name: http.client.HTTPConnection(address, MODEL_HTTP, timeout=20)
        for name, address in addresses.items()
    }
    found: dict[str, list[float]] = {name: [] for name in addresses}
    for i in range(pairs + 200):
        order = list(addresses)
        chance.shuffle(order)
        for name in order:
            begun = time.perf_counter()
            open_to[name].request("POST", "/predict", body, {"Content-Type": "application/json"})
            answer = open_to[name].getresponse()
            answer.read()
            took = time.perf_counter() - begun
            assert answer.status == 200, answer.status
            if i >= 200:
                found[name].append(1e6 * took)
    return {name: np.array(values) for name, values in found.items()}


def _figures(plain: np.ndarray, other: np.ndarray) -> dict[str, object]:
    added = other - plain
    chance = np.random.default_rng(1)
    again = []
    for _ in range(1000):
        chosen = chance.integers(0, len(added), len(added))
        again.append(np.median(added[chosen]) / np.median(plain[chosen]))
    low, high = np.percentile(again, [2.5, 97.5])
    return {
        "plain_us": round(float(np.median(plain))),
        "added_us": round(float(np.median(added)), 1),
        "added_percent": round(100 * float(np.median(added) / np.median(plain)), 2),
        "interval_percent": [round(100 * float(low), 2), round(100 * float(high), 2)],
        "p99_us": [round(float(np.percentile(one, 99))) for one in (plain, other)],
        "pairs": len(added),
    }


if __name__ == "__main__":
    sys.exit(main())
