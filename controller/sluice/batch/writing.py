"""The output and the failed rows: appended in order, cut back to the journal after a kill."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from sluice.batch import journal
from sluice.batch.journal import Progress, failed_path, journal_path
from sluice.batch.rows import Outcome
from sluice.errors import SluiceError, UsageError

_FLUSH_BYTES = 2**18
Opener = Callable[[Path], IO[bytes]]


class WritingError(SluiceError):
    """The output could not be written; what the journal has is safe."""


def open_unbuffered(path: Path) -> IO[bytes]:
    """For reading and writing, made if it is not there."""
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666), "r+b", 0)


class Output:
    """Both files and their journal. One writer at a time, which a lock on the output holds to."""

    def __init__(
        self, output: Path, progress: Progress, *, opener: Opener = open_unbuffered
    ) -> None:
        self.progress = progress
        self._paths = (output, failed_path(output))
        self._journal = journal_path(output)
        self._files: list[IO[bytes]] = []
        self._pending: tuple[list[bytes], list[bytes]] = ([], [])
        self._waiting = 0
        self._broken = False
        sizes = (progress.output_bytes, progress.failed_bytes)
        try:
            for path in self._paths:
                self._files.append(opener(path))
                if len(self._files) == 1:
                    _lock(self._files[0], output)
            for path, file, size in zip(self._paths, self._files, sizes, strict=True):
                _cut(path, file, size)
        except OSError as error:
            self.close()
            raise WritingError(f"{output} cannot be written: {error.strerror or error}") from error
        except BaseException:
            self.close()
            raise

    def add(self, outcomes: Sequence[Outcome]) -> None:
        """Append the next rows' lines. Raises WritingError."""
        progress = self.progress
        for one in outcomes:
            self._pending[0 if one.ok else 1].append(one.line)
            self._waiting += len(one.line)
            progress.rows += 1
            progress.ok += one.ok
            progress.failed += not one.ok
        if self._waiting >= _FLUSH_BYTES:
            self._flush()

    def checkpoint(self) -> None:
        """All that was added is safe when this returns. Raises WritingError.

        Once something could not be written, nothing more is: the last journal stays the truth.
        """
        if self._broken:
            return
        self._flush()
        progress = self.progress
        ends = [progress.output_bytes, progress.failed_bytes]
        try:
            for index, file in enumerate(self._files):
                os.fsync(file.fileno())
                ends[index] = file.tell()
            progress.output_bytes, progress.failed_bytes = ends
            journal.save(self._journal, progress)
        except OSError as error:
            raise self._trouble(error) from error

    def close(self) -> None:
        """Let go of the files, and of the lock."""
        for file in self._files:
            file.close()

    def _flush(self) -> None:
        for lines, file in zip(self._pending, self._files, strict=True):
            whole = memoryview(b"".join(lines))
            lines.clear()
            try:
                while whole:
                    whole = whole[file.write(whole) :]
            except OSError as error:
                raise self._trouble(error) from error
        self._waiting = 0

    def _trouble(self, error: OSError) -> WritingError:
        self._broken = True
        return WritingError(
            f"{self._paths[0]} cannot be written: {error.strerror or error}. What its journal has "
            "is safe: make room, and give the same command again"
        )


def begin(
    output: Path, fresh: Progress, *, overwrite: bool, opener: Opener = open_unbuffered
) -> Output:
    """The output, ready to go on where an earlier run of the same work ended, else from the start.

    Raises UsageError if something else is there.
    """
    if output.suffix in (".gz", ".csv", ".parquet"):
        raise UsageError(f"--output {output}: the output is JSON Lines; name it .jsonl")
    if not output.parent.is_dir():
        raise UsageError(f"--output {output}: there is no directory {output.parent}")
    path = journal_path(output)
    found = None if overwrite else journal.load(path)
    if found is None:
        if not overwrite and (there := [p for p in (output, failed_path(output)) if _full(p)]):
            raise UsageError(
                f"{there[0]} is there, and no journal of it: choose another --output, or replace "
                "it with --overwrite"
            )
        opened = Output(output, fresh, opener=opener)
        opened.checkpoint()  # an old journal must not speak of files that were emptied
        return opened
    if other := journal.differences(found.work, fresh.work):
        raise UsageError(
            f"{path} is of other work: {'; '.join(other)}. Choose another --output, or begin anew "
            "with --overwrite"
        )
    return Output(output, found, opener=opener)


def _full(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _cut(path: Path, file: IO[bytes], size: int) -> None:
    there = file.seek(0, os.SEEK_END)
    if there < size:
        raise UsageError(
            f"{path} has {there:,} bytes, its journal says {size:,}: it was changed or replaced. "
            "Bring it back, or begin anew with --overwrite"
        )
    if there > size:
        file.truncate(size)
    file.seek(size)


def _lock(file: IO[bytes], path: Path) -> None:
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UsageError(f"another `sluice batch` is writing {path}") from error
    except OSError:
        return  # a file system without locks
