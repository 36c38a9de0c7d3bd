"""A dump is the recording, and nothing else is taken for one."""

from __future__ import annotations

import dataclasses
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sluice.errors import UsageError
from sluice.replay.dump import load, save
from sluice.replay.recording import Family, Recording, Series

from .test_recording import same


@pytest.mark.parametrize("name", ["canary.jsonl", "canary.jsonl.gz"])
def test_what_is_written_is_read_again(recording: Recording, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    save(recording, path)
    again = load(path)
    assert same(again, recording)
    assert (again.start, again.step, again.labels) == (
        recording.start,
        recording.step,
        recording.labels,
    )
    assert again.targets == recording.targets
    assert (path.read_bytes()[:2] == b"\x1f\x8b") == name.endswith(".gz")
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_the_same_recording_is_the_same_file(recording: Recording, tmp_path: Path) -> None:
    save(recording, tmp_path / "a.gz")
    save(recording, tmp_path / "b.gz")
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()


def test_odd_numbers_and_gaps_survive(recording: Recording, tmp_path: Path) -> None:
    odd = Series.empty({"pod": "a"}, recording.moments)
    numbers = [0.5, np.nan, np.inf, -np.inf, 1e300, 12345678901.0]
    odd.values[4:10], odd.there[4:10] = numbers, True
    odd.values[20], odd.there[20] = 3.0, True
    strange = dataclasses.replace(recording, families={Family.COUNTS: [odd]})
    save(strange, tmp_path / "odd.jsonl")
    (found,) = load(tmp_path / "odd.jsonl").series(Family.COUNTS)
    np.testing.assert_array_equal(found.values, odd.values)
    np.testing.assert_array_equal(found.there, odd.there)


def head_with(**changes: object) -> Callable[[list[dict[str, Any]]], None]:
    return lambda lines: lines[0].update(changes)


def series_with(**changes: object) -> Callable[[list[dict[str, Any]]], None]:
    return lambda lines: lines[1].update(changes)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (head_with(format="else"), "expected a recording written by `sluice replay --dump`"),
        (head_with(version=9), "version 9, this sluice .* reads versions 1 and 2"),
        (head_with(dialect="linkerd"), "line 1: dialect"),
        (head_with(step=0), "line 1: step"),
        (head_with(moments=10**9), "line 1: moments"),
        (head_with(moments=10), "line 2: values up to moment .*, but the head says there are 10"),
        (head_with(secret="x"), "line 1: secret"),
        (series_with(family="gauges"), "line 2: expected a series of a recording: family"),
        (series_with(values=["many"]), "line 2: expected a series of a recording: values.0"),
        (series_with(first=-1), "line 2: expected a series of a recording: first"),
        (lambda lines: lines.pop(), "ends before its last line"),
        (lambda lines: lines.pop(3), "says it has .* series, but .* were found"),
        (lambda lines: lines.clear(), "expected a recording .* found b''"),
    ],
)
def test_a_file_that_is_none_is_refused_with_what_is_wrong(
    recording: Recording, tmp_path: Path, change: Callable[[list[dict[str, Any]]], None], said: str
) -> None:
    path = tmp_path / "bad.jsonl"
    save(recording, path)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    change(lines)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(UsageError, match=said):
        load(path)


@pytest.mark.parametrize("cut", [0.3, 0.9])
@pytest.mark.parametrize("name", ["cut.jsonl", "cut.jsonl.gz"])
def test_a_file_that_was_cut_is_noticed(
    recording: Recording, tmp_path: Path, name: str, cut: float
) -> None:
    path = tmp_path / name
    save(recording, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(cut * len(whole))])
    with pytest.raises(UsageError, match="ends before its last line"):
        load(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"apiVersion: v1\nkind: Pod\n", "found b'apiVersion"),
        (b"\x89PNG\r\n\x1a\n\xff\xfe", "expected a recording"),
        (b"[1, 2]\n", "expected a recording"),
        (gzip.compress(b"hello", mtime=0), "found b'hello'"),
        (b"\x1f\x8bnot gzip at all", "ends before|damaged"),
    ],
)
def test_a_foreign_file_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "foreign"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=said):
        load(path)


def test_a_file_that_is_not_there_and_a_folder_that_is_not(
    recording: Recording, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"cannot be read \(No such file"):
        load(tmp_path / "none.gz")
    with pytest.raises(UsageError, match="cannot be read"):
        load(tmp_path)
    with pytest.raises(UsageError, match=r"cannot be written \(No such file"):
        save(recording, tmp_path / "no" / "folder.gz")
