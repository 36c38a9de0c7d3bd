"""`sluice batch` against real seldon-core model servers, behind the executor's stand-in."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

from sluice.sandbox import images
from sluice.sandbox.executor.one_pod import OnePod
from sluice.sandbox.load import flower

ROWS = 600


def pod(variant: str) -> OnePod:
    name = f"sluice.dev/models/iris-{variant}:1.0"
    image = images.resolve(name)
    assert image is not None
    return OnePod(image, image_name=name)


def start(folder: Path, url: str, *words: str) -> subprocess.Popen[str]:
    given = ["-i", folder / "in.csv", "-o", folder / "out.jsonl", "--url", url, *words]
    return subprocess.Popen(
        [sys.executable, "-m", "sluice.cli.main", "batch", *map(str, given)],
        text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def flowers(folder: Path) -> None:
    rng = random.Random(7)
    rows = [f"f{n}," + ",".join(map(str, flower(rng))) for n in range(ROWS)]
    (folder / "in.csv").write_text("id,sl,sw,pl,pw\n" + "\n".join(rows) + "\n")


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_model_that_fails_on_some_flowers_costs_these_flowers_alone(tmp_path: Path) -> None:
    flowers(tmp_path)
    with pod("faulty") as running:
        words = ("--rows", "25", "--id-column", "id", "--form", "prediction", "--summary", "json")
        process = start(tmp_path, running.url, *words, "--attempts", "1")
        out, told = process.communicate(timeout=600)
    assert process.returncode == 1, told
    done, failed = lines(tmp_path / "out.jsonl"), lines(tmp_path / "out.failed.jsonl")
    assert sorted([one["row"] for one in [*done, *failed]]) == list(range(ROWS))
    assert 0 < len(failed) < ROWS / 2
    assert {(one["status"], "MICROSERVICE_INTERNAL_ERROR" in one["reason"]) for one in failed} == {
        (500, True)
    }
    assert all(one["id"] == f"f{one['row']}" and len(one["prediction"]) == 3 for one in done)
    assert all(abs(sum(one["prediction"]) - 1) < 1e-6 for one in done)
    assert json.loads(out)["outcome"] == "RowsFailed"


def test_a_model_that_dies_and_comes_back_costs_nothing(tmp_path: Path) -> None:
    flowers(tmp_path)
    with pod("stable") as running:
        # So slow that it is not over before the model is killed, however late that is done.
        process = start(tmp_path, running.url, "--rate", "40", "--id-column", "id")
        assert process.stderr is not None
        while (tmp_path / "out.jsonl.journal").exists() is False or not (
            json.loads((tmp_path / "out.jsonl.journal").read_text())["rows"]
        ):
            assert process.poll() is None
        running.kill_model()
        assert "waiting: HTTP 500" in process.stderr.readline()
        running.start_model()
        _, told = process.communicate(timeout=600)
    assert process.returncode == 0, told
    assert [one["meta"]["tags"]["batch_row_id"] for one in lines(tmp_path / "out.jsonl")] == [
        f"f{n}" for n in range(ROWS)
    ]
    assert lines(tmp_path / "out.failed.jsonl") == []
