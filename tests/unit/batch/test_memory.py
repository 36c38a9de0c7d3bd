"""Memory does not grow with the file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

# The whole run in a process of its own, its target a function: nothing else is in the memory.
SCRIPT = """
import json, sys, threading
from pathlib import Path
from sluice.batch import payloads, reading, writing
from sluice.batch.journal import Progress
from sluice.batch.pace import Pace, Weather
from sluice.batch.run import Limits, Run
from sluice.batch.sending import Sender
from sluice.batch.wire import Reply
from sluice.clock import SystemClock

def answer(body, request_id):
    rows = json.loads(body)["data"]["ndarray"]
    return Reply(200, json.dumps({"data": {"ndarray": rows}}).encode())

path, clock, stop = Path(sys.argv[1]), SystemClock(), threading.Event()
source = reading.open_source(path, reading.format_of(path))
shape = payloads.Shape(payloads.Payload.NDARRAY, form=payloads.Form.PREDICTION)
files = writing.begin(path.with_suffix(".out"), Progress({}, "b", 0.0), overwrite=False)
sender = Sender(answer, shape, Pace(clock, None, stop), Weather(clock, 9), 3)
Run(source.rows(), sender, files, Limits(2, 100), clock, stop=stop).run()
# Of this program alone: getrusage would tell of the process that started it as well.
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps({"rows": files.progress.ok, "peak": int(peak)}))
"""


def peak(path: Path, rows: int) -> int:
    """KiB at the highest, of a run over so many rows."""
    with path.open("w") as file:
        file.writelines(f"[{n},5.1,3.5]\n" for n in range(rows))
    argv = [sys.executable, "-c", SCRIPT, str(path)]
    found = json.loads(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)
    assert found["rows"] == rows
    return int(found["peak"])


@pytest.mark.slow
def test_a_million_rows_take_the_memory_of_twenty_thousand(tmp_path: Path) -> None:
    # The window between the first and the last row under way is full with both.
    small, large = peak(tmp_path / "a.jsonl", 20_000), peak(tmp_path / "b.jsonl", 1_000_000)
    print(small, large)
    assert large < 1.15 * small, f"{small} KiB, then {large} KiB"
