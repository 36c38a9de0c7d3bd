"""The output and its journal: what is said to be done is on the disk, and only that."""

from __future__ import annotations

import errno
import json
import os
from io import FileIO
from pathlib import Path
from typing import IO, Any

import pytest

from sluice.batch import journal, writing
from sluice.batch.journal import Progress, journal_path
from sluice.batch.rows import Outcome
from sluice.batch.writing import Output, WritingError, begin
from sluice.errors import UsageError

GOOD, BAD = Outcome(True, b"good\n"), Outcome(False, b"bad\n")


def fresh(**work: Any) -> Progress:
    return Progress({"input": "1-a", **work}, "b", 0.0)


def test_it_goes_on_where_the_journal_says_and_cuts_the_rest_off(tmp_path: Path) -> None:
    out = tmp_path / "o.jsonl"
    first = begin(out, fresh(), overwrite=False)
    first.add([GOOD, BAD])
    first.checkpoint()
    first.add([GOOD] * 100_000)  # more than is kept back: it reaches the file, not the journal
    first.close()
    assert out.stat().st_size > 5
    second = begin(out, fresh(), overwrite=False)
    assert (second.progress.rows, second.progress.ok, second.progress.failed) == (2, 1, 1)
    second.add([GOOD])
    second.checkpoint()
    second.close()
    assert out.read_text() == "good\ngood\n"
    assert (tmp_path / "o.failed.jsonl").read_text() == "bad\n"


def test_what_the_journal_speaks_of_is_synced_before_the_journal_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    sync, replace = os.fsync, Path.replace

    def fsync(number: int) -> None:
        order.append(Path(f"/proc/self/fd/{number}").readlink().name)
        sync(number)

    def rename(path: Path, target: Path) -> Path:
        order.append(f"rename to {target.name}")
        return replace(path, target)

    opened = begin(tmp_path / "o.jsonl", fresh(), overwrite=False)
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", rename)
    opened.add([GOOD])
    opened.checkpoint()
    opened.close()
    assert order == [
        "o.jsonl",
        "o.failed.jsonl",
        "o.jsonl.journal.new",
        "rename to o.jsonl.journal",
        tmp_path.name,
    ]


class SmallDisk(FileIO):
    """A file on a disk with room for so many bytes."""

    room = 12

    def write(self, data: Any, /) -> int:
        if self.room <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = super().write(bytes(data)[: self.room])
        self.room -= written
        return written


def small_disk(path: Path) -> IO[bytes]:
    path.touch()
    return SmallDisk(path, "r+b")  # type: ignore[return-value]


def test_a_full_disk_leaves_what_was_safe_before(tmp_path: Path) -> None:
    out = tmp_path / "o.jsonl"
    full = begin(out, fresh(), overwrite=False, opener=small_disk)
    full.add([GOOD, GOOD])
    full.checkpoint()
    full.add([GOOD, GOOD])
    with pytest.raises(WritingError, match=r"No space left on device.*give the same command again"):
        full.checkpoint()
    full.checkpoint()  # as the end of a run does: it must not pretend
    full.close()
    assert out.read_text() == "good\ngood\ngo"
    room = begin(out, fresh(), overwrite=False)
    assert room.progress.rows == 2
    room.add([GOOD])
    room.checkpoint()
    room.close()
    assert out.read_text() == "good\n" * 3


def test_a_journal_that_cannot_be_written_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "o.jsonl"
    opened = begin(out, fresh(), overwrite=False)
    opened.add([GOOD])
    opened.checkpoint()

    def no_room(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    opened.add([GOOD])
    monkeypatch.setattr(journal.os, "fsync", no_room)
    with pytest.raises(WritingError):
        opened.checkpoint()
    opened.close()
    found = journal.load(journal_path(out))
    assert found is not None
    assert (found.rows, found.output_bytes) == (1, 5)


def test_an_output_without_a_journal_is_not_overwritten_unasked(tmp_path: Path) -> None:
    out = tmp_path / "o.jsonl"
    out.write_text("precious\n")
    with pytest.raises(UsageError, match="--overwrite"):
        begin(out, fresh(), overwrite=False)
    assert out.read_text() == "precious\n"
    begin(out, fresh(), overwrite=True).close()
    assert out.read_text() == ""


def test_other_work_does_not_go_on_in_this_output(tmp_path: Path) -> None:
    out = tmp_path / "o.jsonl"
    begin(out, fresh(target="prod/iris"), overwrite=False).close()
    with pytest.raises(UsageError, match="target was 'prod/iris', now it is 'prod/tulip'"):
        begin(out, fresh(target="prod/tulip"), overwrite=False)


def test_an_output_that_was_cut_or_removed_is_not_taken_for_done(tmp_path: Path) -> None:
    out = tmp_path / "o.jsonl"
    opened = begin(out, fresh(), overwrite=False)
    opened.add([GOOD])
    opened.checkpoint()
    opened.close()
    out.unlink()
    with pytest.raises(UsageError, match="has 0 bytes, its journal says 5"):
        begin(out, fresh(), overwrite=False)


def test_two_runs_do_not_write_one_output(tmp_path: Path) -> None:
    out = tmp_path / "o.jsonl"
    first = begin(out, fresh(), overwrite=False)
    with pytest.raises(UsageError, match="another `sluice batch` is writing"):
        begin(out, fresh(), overwrite=False)
    first.close()
    begin(out, fresh(), overwrite=False).close()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 1}', '{"version": 99}'])
def test_a_strange_journal_is_told(tmp_path: Path, text: str) -> None:
    out = tmp_path / "o.jsonl"
    journal_path(out).write_text(text)
    with pytest.raises(UsageError, match="no journal of `sluice batch`"):
        begin(out, fresh(), overwrite=False)


@pytest.mark.parametrize("name", ["o.csv", "o.parquet", "o.jsonl.gz"])
def test_the_output_is_json_lines_and_says_so(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"name it \.jsonl"):
        begin(tmp_path / name, fresh(), overwrite=False)


def test_a_missing_directory_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no directory"):
        begin(tmp_path / "no" / "o.jsonl", fresh(), overwrite=False)


def test_short_writes_are_continued(tmp_path: Path) -> None:
    class Slow(FileIO):
        def write(self, data: Any, /) -> int:
            return super().write(bytes(data)[:3])

    def opener(path: Path) -> IO[bytes]:
        path.touch()
        return Slow(path, "r+b")  # type: ignore[return-value]

    opened: Output = begin(tmp_path / "o.jsonl", fresh(), overwrite=False, opener=opener)
    opened.add([GOOD, GOOD])
    opened.checkpoint()
    opened.close()
    assert (tmp_path / "o.jsonl").read_text() == "good\ngood\n"
    assert json.loads((tmp_path / "o.jsonl.journal").read_text())["output_bytes"] == 10


def test_the_default_opener_makes_files_and_keeps_what_is_in_them(tmp_path: Path) -> None:
    writing.open_unbuffered(tmp_path / "x").close()
    (tmp_path / "x").write_text("kept")
    writing.open_unbuffered(tmp_path / "x").close()
    assert (tmp_path / "x").read_text() == "kept"
