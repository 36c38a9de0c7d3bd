"""A preflight of 10,000 requests takes little memory beside the controller's own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
# In a process of its own, with all that the controller imports and nothing else in the memory. The
# ConfigMap is nearly as large as one can be, and half of the answers differ.
SCRIPT = """
import json, sys, threading
import sluice.loops.controller
from sluice.clock import SystemClock
from sluice.loops.preflights import Preflights
from tests.unit.loops.pretend_models import PretendWays, by_number, wish

def peak():
    text = open("/proc/self/status").read()
    return int(next(line.split()[1] for line in text.splitlines() if line.startswith("VmHWM")))

class Forgetful(PretendWays):
    def side(self, wish, predictor, *, parallel):
        made = super().side(wish, predictor, parallel=parallel)
        made.asked = Nothing()
        return made

class Nothing(list):
    def append(self, body):
        pass

n, wide = int(sys.argv[1]), "x" * 50
lines = "".join(
    json.dumps({"data": {"names": [wide], "ndarray": [[i]]}}) + "\\n" for i in range(n)
)
assert n < 10_000 or 900_000 < len(lines) < 2**20
before, over = peak(), threading.Event()
preflights = Preflights(
    ways=Forgetful(lines, candidate=by_number(2)), clock=SystemClock(), wake=lambda _: over.set()
)
preflights.start(2)
preflights.ask("prod/iris", wish(examples=10))
assert over.wait(300)
found = preflights.facts("prod/iris").answer.found
preflights.stop()
print(json.dumps({"requests": found["requests"], "before": before, "peak": peak()}))
"""


def run(requests: int) -> dict[str, int]:
    """KiB at the highest, before and with it."""
    argv = [sys.executable, "-c", SCRIPT, str(requests)]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    assert found["requests"] == requests
    return found


@pytest.mark.slow
def test_ten_thousand_requests_take_what_one_thousand_take_and_the_whole_stays_small() -> None:
    small, large = run(1_000), run(10_000)
    print(small, large)
    assert large["peak"] < 200 * 1024
    more, most = small["peak"] - small["before"], large["peak"] - large["before"]
    # The ConfigMap itself, thrice while it is read, and 16 bytes a request.
    assert most < more + 8 * 1024, f"{more} KiB, then {most} KiB"
