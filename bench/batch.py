"""`python -m bench batch`: `sluice batch` and seldon-core's batch processor, on one server.

The server is seldon-core's own, with the iris model, in a process of its own. Both read the same
file and send the same number of rows in a request with the same number of requests at once. They
take turns, first the one and then the other (A B, B A, A B, ...), and what is compared is the ratio
within such a pair: both halves had the same machine. Only the time of the work itself is counted,
as each tells it; starting Python and importing is left out, and told beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.figures import Report
from sluice.errors import SluiceError
from sluice.sandbox import images, parts
from sluice.sandbox.containers import PODNET
from sluice.sandbox.executor.one_pod import MODEL_HTTP, MODEL_METRICS, free_address
from sluice.sandbox.load import flower

# seldon-core's own function, called as its command calls it, with the clock around the work alone.
_PEER = """
import json, sys, time
from seldon_core.batch_processor import start_multithreaded_batch_worker as work
host, rows, workers, source, target = sys.argv[1:]
began = time.monotonic()
work("iris", "seldon", "default", host, "rest", "data", "ndarray", int(workers), 3, int(rows),
     source, target, "predict", "warning", False, "bench", 0.0, "", False, True)
print(json.dumps({"seconds": time.monotonic() - began}))
"""


@dataclass(frozen=True)
class Cell:
    """`threads` of the server's one worker: 1, seldon-core's default, closes each connection."""

    name: str
    threads: int
    parallel: int
    rows: int
    lines: int


CELLS = (
    Cell("one_row_default_server", 1, 4, 1, 2000),
    Cell("one_row_threaded_server", 8, 4, 1, 2000),
    Cell("one_row_one_at_a_time", 8, 1, 1, 1000),
    Cell("50_rows_threaded_server", 8, 4, 50, 40_000),
)


def main(words: list[str]) -> int:
    """Returns the exit code: 0 measured, 1 failed."""
    parser = argparse.ArgumentParser(prog="python -m bench batch", description=__doc__)
    parser.add_argument("--pairs", type=int, default=5, help="runs of each, in each cell")
    parser.add_argument("--only", help="cells whose name contains this")
    given = parser.parse_args(words)
    report = Report(None)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder:
            for cell in CELLS:
                if given.only is None or given.only in cell.name:
                    measure(cell, given.pairs, Path(folder), report)
    except KeyboardInterrupt:
        report.note("stopped; nothing was left behind")
        return 130
    except SluiceError as error:
        report.note(f"failed: {error}")
        return 1
    return 0


def measure(cell: Cell, pairs: int, folder: Path, report: Report) -> None:
    """All pairs of one cell."""
    source = folder / f"{cell.name}.jsonl"
    rng = random.Random(1)
    source.write_text("".join(json.dumps([flower(rng)]) + "\n" for _ in range(cell.lines)))
    ours, theirs, whole = [], [], []
    with server(cell.threads) as host:
        for run in (sluice, peer):  # once without counting: caches, and the server's first requests
            run(cell, host, source, folder / "warm.jsonl")
        for number in range(pairs):
            found = {}
            for run in (sluice, peer) if number % 2 == 0 else (peer, sluice):
                began = time.monotonic()
                seconds = run(cell, host, source, folder / f"{run.__name__}.jsonl")
                found[run.__name__] = (seconds, time.monotonic() - began)
            ours.append(cell.lines / found["sluice"][0])
            theirs.append(cell.lines / found["peer"][0])
            whole.append(found["peer"][1] / found["sluice"][1])
            report.note(f"{cell.name}: {ours[-1]:,.0f} and {theirs[-1]:,.0f} rows/s")
    ratios = sorted(a / b for a, b in zip(ours, theirs, strict=True))
    add = report.add
    add(f"batch_{cell.name}_sluice", cell.lines, statistics.median(ours), "rows/s")
    add(f"batch_{cell.name}_seldon_core", cell.lines, statistics.median(theirs), "rows/s")
    add(f"batch_{cell.name}_ratio_median", cell.lines, statistics.median(ratios), "ratio")
    add(f"batch_{cell.name}_ratio_worst", cell.lines, ratios[0], "ratio")
    add(f"batch_{cell.name}_ratio_best", cell.lines, ratios[-1], "ratio")
    add(f"batch_{cell.name}_whole_command_ratio", cell.lines, statistics.median(whole), "ratio")


def sluice(cell: Cell, host: str, source: Path, target: Path) -> float:
    """Seconds of the work."""
    argv = [sys.executable, "-m", "sluice.cli.main", "batch", "--input", source, "--output", target,
            "--url", f"http://{host}", "--rows", cell.rows, "--parallel", cell.parallel,
            "--overwrite", "--quiet", "--summary", "json"]  # fmt: skip
    return _timed([str(word) for word in argv], cell, target)


def peer(cell: Cell, host: str, source: Path, target: Path) -> float:
    """Seconds of the work."""
    python = parts.seldon_env() / "bin" / "python"
    argv = [python, "-c", _PEER, host, cell.rows, cell.parallel, source, target]
    return _timed([str(word) for word in argv], cell, target)


def _timed(argv: list[str], cell: Cell, target: Path) -> float:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SluiceError(f"{argv[:4]} ended with {done.returncode}: {done.stderr[-500:]}")
    answered = sum('"setosa"' in line for line in target.open())
    if answered != cell.lines:
        raise SluiceError(f"{argv[:4]}: {answered} of {cell.lines} rows were answered")
    return float(json.loads(done.stdout)["seconds"])


@contextmanager
def server(threads: int) -> Iterator[str]:
    """HOST:PORT of a model server of its own."""
    image = images.resolve("sluice.dev/models/iris-stable:1.0")
    if image is None:
        raise SluiceError("no image iris-stable")
    address = free_address()
    env = {**os.environ, **image.env, "GUNICORN_THREADS": str(threads), "SLUICE_POD_IP": address}
    env |= {
        "PYTHONPATH": os.pathsep.join([str(PODNET), image.env["PYTHONPATH"]]),
        "PREDICTIVE_UNIT_HTTP_SERVICE_PORT": str(MODEL_HTTP),
        "PREDICTIVE_UNIT_METRICS_SERVICE_PORT": str(MODEL_METRICS),
        "OMP_NUM_THREADS": "1",
    }
    process = subprocess.Popen(
        list(image.argv), env=env, cwd=image.cwd, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    host = f"{address}:{MODEL_HTTP}"
    try:
        _await(f"http://{host}/health/ping", process)
        yield host
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _await(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                answer.read()
                return
        except OSError:
            time.sleep(0.05)
    raise SluiceError(f"the model server did not answer at {url}")
