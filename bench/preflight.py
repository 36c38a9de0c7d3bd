"""`python -m bench preflight`: a preflight of 10,000 requests, and what it takes.

The server is seldon-core's own with the iris model, in a process of its own; it stands for both
revisions, so each request is answered twice. The preflight runs in a process with everything that
the controller imports. `sluice compare` sends the same file to the same server in turns with it:
what is compared is the ratio within such a pair.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.batch import server
from bench.figures import Report
from sluice.errors import SluiceError
from sluice.sandbox.load import flower

MIB_TARGET = 200.0

_PREFLIGHT = """
import json, sys, threading, time
import sluice.loops.controller
from sluice.api.preflight import Preflight
from sluice.clock import SystemClock
from sluice.compare.url import Url
from sluice.engine.preflight_facts import PreflightWish
from sluice.loops.preflights import Preflights

class Ways:
    def config_map(self, namespace, name):
        return {"metadata": {"name": name}, "data": {"requests.jsonl": open(sys.argv[2]).read()}}
    def side(self, wish, predictor, *, parallel):
        return Url(sys.argv[1], timeout=10, parallel=parallel)

def peak():
    text = open("/proc/self/status").read()
    return int(next(line.split()[1] for line in text.splitlines() if line.startswith("VmHWM")))

spec = Preflight.model_validate(
    {"requests": {"configMap": {"name": "r"}}, "timeout": "1h", "examples": 10}
)
before, over = peak(), threading.Event()
preflights = Preflights(ways=Ways(), clock=SystemClock(), wake=lambda _: over.set())
preflights.start(2)
began = time.monotonic()
preflights.ask("a/b", PreflightWish("q", 1, spec, "a", "b", {"name": "s"}, {"name": "c"}))
over.wait()
seconds = time.monotonic() - began
found = preflights.facts("a/b").answer.found
print(json.dumps({"state": found["state"], "requests": found["requests"], "seconds": seconds,
                  "mib": peak() / 1024, "more": (peak() - before) / 1024}))
"""


def main(words: list[str]) -> int:
    """Returns the exit code: 0 measured, 1 failed."""
    parser = argparse.ArgumentParser(prog="python -m bench preflight", description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--pairs", type=int, default=3, help="runs of each")
    given = parser.parse_args(words)
    report = Report(None)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder:
            measure(given.requests, given.pairs, Path(folder) / "requests.jsonl", report)
    except KeyboardInterrupt:
        report.note("stopped; nothing was left behind")
        return 130
    except SluiceError as error:
        report.note(f"failed: {error}")
        return 1
    return 0


def measure(requests: int, pairs: int, file: Path, report: Report) -> None:
    """All pairs."""
    rng = random.Random(1)
    body = ({"data": {"ndarray": [flower(rng)]}} for _ in range(requests))
    file.write_text("".join(json.dumps(one) + "\n" for one in body))
    found, ratios = [], []
    with server(8) as host:
        url = f"http://{host}/predict"
        for number in range(pairs):
            took = {}
            for which in ("ours", "peer") if number % 2 == 0 else ("peer", "ours"):
                if which == "ours":
                    found.append(_run([sys.executable, "-c", _PREFLIGHT, url, str(file)]))
                    took[which] = found[-1]["seconds"]
                else:
                    took[which] = _compared(url, file)
            ratios.append(took["ours"] / took["peer"])
            report.note(f"{took['ours']:.1f} s and {took['peer']:.1f} s")
    for one in found:
        if (one["state"], one["requests"]) != ("Passed", requests):
            raise SluiceError(f"expected all requests to agree, found {one}")
    add = report.add
    add("preflight_mib", requests, max(one["mib"] for one in found), "MiB", MIB_TARGET)
    add("preflight_mib_beside_the_controller", requests, max(one["more"] for one in found), "MiB")
    add("preflight_seconds", requests, statistics.median(one["seconds"] for one in found), "s")
    add("preflight_to_compare_ratio", requests, statistics.median(ratios), "ratio")


def _run(argv: list[str]) -> dict[str, float]:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SluiceError(f"{argv[:3]} ended with {done.returncode}: {done.stderr[-500:]}")
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def _compared(url: str, file: Path) -> float:
    """Seconds of `sluice compare`, the start of Python included."""
    argv = [sys.executable, "-m", "sluice.cli.main", "compare", "--stable", url, "--candidate", url,
            "--requests", str(file), "-o", "json"]  # fmt: skip
    began = time.monotonic()
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SluiceError(f"sluice compare ended with {done.returncode}: {done.stderr[-500:]}")
    return time.monotonic() - began
