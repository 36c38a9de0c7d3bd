"""The command against a server of the tests' own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ..cli import stage
from .small_server import Model, serving


@pytest.fixture
def model() -> Iterator[Model]:
    """A running server that sums rows up."""
    model = Model()
    with serving(model):
        yield model


@pytest.fixture
def batch(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Runs `sluice batch` from `in.jsonl` (written first, if rows are given) to `out.jsonl`."""

    def run(*words: str, rows: Any = None, file: str = "in.jsonl") -> int:
        path = tmp_path / file
        if isinstance(rows, list):
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        elif rows is not None:
            path.write_bytes(rows if isinstance(rows, bytes) else rows.encode())
        where = [] if "--url" in words or "-d" in words else ["--url", model.url]
        given = ["-i", str(path), "-o", str(tmp_path / "out.jsonl"), *where, *words]
        return stage.run(monkeypatch, "batch", *given)

    return run


@pytest.fixture
def answers(tmp_path: Path) -> Callable[[], list[Any]]:
    """The output's lines."""
    return lambda: lines(tmp_path / "out.jsonl")


@pytest.fixture
def failures(tmp_path: Path) -> Callable[[], list[Any]]:
    """The failed rows."""
    return lambda: lines(tmp_path / "out.failed.jsonl")


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]
