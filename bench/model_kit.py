"""What the model kit adds to a prediction's latency: `python -m bench.model_kit`.

Three real model servers with the same model: plain, with the kit, and with the same series given to
Seldon by its `metrics()` hook. Each round sends one request to each in an order drawn at random,
over connections that stay open, to the model's own port, so nothing else hides the difference. The
figure is the median of the paired differences over the plain median, with a 95% bootstrap interval.
Two processes of the same program are never alike fast: so every series of rounds has servers of its
own, and `by_start` says what each gave. `cpu_percent` is what the server's processes took in CPU
beyond the plain one's: the steadier figure where other programs share the machine.
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
from collections.abc import Iterator
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
    parser.add_argument("--pairs", type=int, default=2000)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--series", type=int, default=170, help="of the metrics() hook")
    given = parser.parse_args()
    found: dict[int, list[dict[str, np.ndarray]]] = {1: [], 100: []}
    cpu = {(rows, name): 0 for rows in found for name in ("plain", "kit", "hook")}
    for _ in range(given.starts):
        with _servers(given.series) as pods:
            addresses = {name: pod.address for name, pod in pods.items()}
            for rows, times in found.items():
                body = json.dumps({"data": {"names": NAMES, "ndarray": (FLOWERS * rows)[:rows]}})
                before = {name: _ticks(pod) for name, pod in pods.items()}
                times.append(_times(addresses, body.encode(), given.pairs))
                for name, pod in pods.items():
                    cpu[rows, name] += _ticks(pod) - before[name]
    for rows, times in found.items():
        for name in ("kit", "hook"):
            share = cpu[rows, name] / cpu[rows, "plain"] - 1
            figures = {"cpu_percent": round(100 * share, 1)}
            figures |= _figures([one["plain"] for one in times], [one[name] for one in times])
            sys.stdout.write(json.dumps({"way": name, "rows": rows, **figures}) + "\n")
    return 0


@contextlib.contextmanager
def _servers(series: int) -> Iterator[dict[str, OnePod]]:
    """The three."""
    artefact = str(images.directory() / "better" / "model.json")
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as ends:
        pods = {}
        for name, text in {"plain": PLAIN, "hook": HOOK}.items():
            home = Path(folder, name)
            home.mkdir()
            (home / "Plain.py").write_text(text.format(artefact=artefact, series=series))
            pods[name] = ends.enter_context(OnePod(images.serve(home, "Plain")))
        kit = images.resolve("iris-better")
        assert kit is not None
        pods["kit"] = ends.enter_context(OnePod(kit))
        yield pods


def _ticks(pod: OnePod) -> int:
    """CPU of all processes of the model server so far, in clock ticks."""
    assert pod.model is not None
    total = 0
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            words = file.read_text().rpartition(")")[2].split()
            if int(words[2]) == pod.model.pid:  # its process group
                total += int(words[11]) + int(words[12])
    return total


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


def _figures(plains: list[np.ndarray], others: list[np.ndarray]) -> dict[str, object]:
    plain, other = np.concatenate(plains), np.concatenate(others)
    added = other - plain
    chance = np.random.default_rng(1)
    again = []
    for _ in range(1000):
        # Servers first, then their requests: the interval holds for servers not yet started.
        parts = []
        for start in chance.integers(0, len(plains), len(plains)):
            chosen = chance.integers(0, len(plains[start]), len(plains[start]))
            parts.append((plains[start][chosen], others[start][chosen]))
        one, two = (np.concatenate([part[side] for part in parts]) for side in (0, 1))
        again.append(np.median(two - one) / np.median(one))
    low, high = np.percentile(again, [2.5, 97.5])
    return {
        "plain_us": round(float(np.median(plain))),
        "added_us": round(float(np.median(added)), 1),
        "added_percent": round(100 * float(np.median(added) / np.median(plain)), 2),
        "interval_percent": [round(100 * float(low), 2), round(100 * float(high), 2)],
        "by_start": [
            round(100 * float(np.median(two - one) / np.median(one)), 2)
            for one, two in zip(plains, others, strict=True)
        ],
        "p99_us": [round(float(np.percentile(one, 99))) for one in (plain, other)],
        "pairs": len(added),
    }


if __name__ == "__main__":
    sys.exit(main())
