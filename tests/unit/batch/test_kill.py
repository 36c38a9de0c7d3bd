"""Killed at any moment, or ended by Ctrl-C: every row once, in order, by the same command."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from .conftest import lines
from .small_server import Answer, Model, broken, sums

ROWS = 4000
ARGV = [sys.executable, "-m", "sluice.cli.main", "batch"]


def start(model: Model, tmp_path: Path, *words: str) -> subprocess.Popen[str]:
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    given = ["-i", tmp_path / "in.jsonl", "-o", tmp_path / "out.jsonl", "--url", model.url, *words]
    return subprocess.Popen(
        [*ARGV, *map(str, given)], env=env, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def moody(body: Any) -> Answer:
    """Every hundredth row fails."""
    values = [row[0] for row in body["data"]["ndarray"]]
    return broken(400, "a hundredth") if any(v % 100 == 99 for v in values) else sums(body)


@pytest.mark.parametrize(("seed", "rows"), [(1, 1), (2, 7)])
def test_after_any_number_of_kills_every_row_is_there_once_and_in_order(
    seed: int, rows: int, model: Model, tmp_path: Path
) -> None:
    rng = random.Random(seed)
    model.answer = moody
    (tmp_path / "in.jsonl").write_text("".join(f"[{n}, 1]\n" for n in range(ROWS)))
    words = ("--rows", str(rows), "--parallel", "3", "--checkpoint", "0.01", "--form", "prediction")
    words += ("--rate", str(2500 / rows))  # so that there is something to kill
    kills = 0
    for _ in range(40):
        process = start(model, tmp_path, *words)
        seen = len(model.asked)
        # By what it has done, not by time: also while it starts, and in its first requests.
        after = rng.choice([0, 1, 2, rng.randrange(2, 700)]) // rows
        while process.poll() is None and len(model.asked) - seen < after:
            time.sleep(0.001)
        if kills < 9 and process.poll() is None:
            time.sleep(rng.random() * 0.02)
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=60)
        if process.returncode == 1:
            break
        assert process.returncode == -signal.SIGKILL
        kills += 1
    assert kills == 9
    done, failed = lines(tmp_path / "out.jsonl"), lines(tmp_path / "out.failed.jsonl")
    hundredths = [n for n in range(ROWS) if n % 100 == 99]
    assert [one["row"] for one in failed] == hundredths
    assert [(one["row"], one["prediction"]) for one in done] == [
        (n, [n + 1]) for n in range(ROWS) if n % 100 != 99
    ]
    journal = json.loads((tmp_path / "out.jsonl.journal").read_text())
    assert (journal["rows"], journal["done"]) == (ROWS, True)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["ctrl-c", "sigterm"]
)
def test_an_end_in_order_keeps_what_is_under_way(
    number: signal.Signals, code: int, model: Model, tmp_path: Path
) -> None:
    first, go = threading.Event(), threading.Event()

    def held(body: Any) -> Answer:
        if body["data"]["ndarray"][0][0] >= 100:
            first.set()
            go.wait(20)
        return sums(body)

    model.answer = held
    (tmp_path / "in.jsonl").write_text("".join(f"[{n}]\n" for n in range(1000)))
    process = start(model, tmp_path, "--parallel", "1", "--form", "prediction")
    assert first.wait(20)
    process.send_signal(number)
    go.set()
    _, told = process.communicate(timeout=20)
    assert process.returncode == code
    assert "interrupted; the same command goes on from there" in told
    there = [one["row"] for one in lines(tmp_path / "out.jsonl")]
    assert there == list(range(len(there)))
    assert len(there) >= 101, "the request under way was finished"
    assert len(there) == len(model.asked), "and nothing was sent in vain"
    process = start(model, tmp_path, "--form", "prediction")
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert [one["row"] for one in lines(tmp_path / "out.jsonl")] == list(range(1000))


def test_a_second_ctrl_c_does_not_wait(model: Model, tmp_path: Path) -> None:
    first, go = threading.Event(), threading.Event()

    def stuck(body: Any) -> Answer:
        first.set()
        go.wait(60)
        return sums(body)

    model.answer = stuck
    (tmp_path / "in.jsonl").write_text("[1]\n" * 10)
    process = start(model, tmp_path)
    try:
        assert first.wait(20)
        process.send_signal(signal.SIGINT)
        # Two that come together are one to the kernel.
        while len(told := process.stderr.readline()) < 2:
            pass
        assert told == "finishing what is under way; Ctrl-C again ends at once\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=9) == 130, "sooner than what is under way is waited for"
        assert lines(tmp_path / "out.jsonl") == []
    finally:
        go.set()
        process.communicate(timeout=20)
