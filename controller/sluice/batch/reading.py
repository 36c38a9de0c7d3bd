"""Rows out of a file, one after the other: JSONL, CSV, Parquet, the first two also as .gz.

A row that cannot be read becomes a row with its reason and does not end the run. Nothing but the
row at hand is kept, however long the file is.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol

from sluice.batch import csv_rows, parquet
from sluice.batch.rows import Row, parse, unwrapped
from sluice.errors import UsageError

LONGEST_LINE = 64 * 2**20
"""Bytes. A longer line is a failed row: some files have no line ends at all."""
_RAW_KEPT = 4096
_SAMPLE = 2**20


@dataclass(frozen=True)
class Format:
    """How the file is to be understood. `types` are a CSV's columns that are not to be guessed."""

    kind: str  # jsonl, csv or parquet
    packed: bool = False
    header: bool = True
    delimiter: str = ","
    types: dict[str, str] = field(default_factory=dict)


class Source(Protocol):
    """An open file. `done` is the share that has been read, from 0 to 1."""

    def rows(self) -> Iterator[Row]: ...

    @property
    def done(self) -> float: ...

    def close(self) -> None: ...


def format_of(
    path: Path,
    *,
    named: str | None = None,
    header: bool = True,
    delimiter: str | None = None,
    types: dict[str, str] | None = None,
) -> Format:
    """The file's format by its name, or as it was `named`. Raises UsageError."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = suffixes[-1:] == [".gz"]
    last = (suffixes[:-1] if packed else suffixes)[-1:]
    known = {".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".txt": "jsonl",
             ".csv": "csv", ".tsv": "csv", ".parquet": "parquet", ".pq": "parquet"}  # fmt: skip
    kind = named or known.get("".join(last))
    if kind is None:
        raise UsageError(
            f"{path}: the name does not say what is inside: expected .jsonl, .csv or .parquet (the "
            "first two also with .gz); give --format"
        )
    if kind == "parquet" and packed:
        raise UsageError(f"{path}: Parquet compresses by itself; a .gz of it cannot be read")
    if kind != "csv" and (types or delimiter or not header):
        raise UsageError("--type, --delimiter and --no-header are for CSV alone")
    separator = delimiter or ("\t" if last == [".tsv"] else ",")
    return Format(kind, packed, header, separator, dict(types or {}))


def open_source(path: Path, form: Format) -> Source:
    """Open the file. Raises UsageError if it is no file, or pyarrow is missing for Parquet."""
    if not path.is_file():
        what = "is no regular file" if path.exists() else "is not there"
        raise UsageError(f"--input {path} {what}: expected a file that can be read twice")
    if form.kind == "parquet":
        return parquet.ParquetSource(path)
    return LineSource(path, form)


def fingerprint(path: Path) -> str:
    """Size and a hash of the first and last MiB: enough to know the same file under any name.

    Neither name nor time is in it: a pod that starts again may have fetched its input again.
    """
    size = path.stat().st_size
    digest = hashlib.sha256()
    with path.open("rb") as file:
        digest.update(file.read(_SAMPLE))
        file.seek(max(0, size - _SAMPLE))
        digest.update(file.read(_SAMPLE))
    return f"{size}-{digest.hexdigest()[:32]}"


class LineSource:
    """JSONL and CSV."""

    def __init__(self, path: Path, form: Format) -> None:
        self._path = path
        self._form = form
        self._size = path.stat().st_size
        try:
            self._file: IO[bytes] = path.open("rb")
        except OSError as error:
            raise UsageError(f"--input {path} cannot be opened: {error.strerror}") from error

    @property
    def done(self) -> float:
        """Of the file as it lies on the disk, compressed or not."""
        return min(1.0, os.lseek(self._file.fileno(), 0, os.SEEK_CUR) / max(self._size, 1))

    def close(self) -> None:
        self._file.close()

    def rows(self) -> Iterator[Row]:
        """From the first row. Raises UsageError where the file itself is broken."""
        self._file.seek(0)
        lines = self._lines(self._file)
        if self._form.packed:
            lines = self._lines(gzip.GzipFile(fileobj=self._file))
        try:
            if self._form.kind == "csv":
                form = self._form
                yield from csv_rows.rows(lines, form.header, form.delimiter, form.types)
            else:
                yield from _json_rows(lines)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise UsageError(f"{self._path} is no whole gzip file: {error}") from error

    def _lines(self, file: IO[bytes] | gzip.GzipFile) -> Iterator[bytes]:
        while line := file.readline(LONGEST_LINE + 1):
            if len(line) > LONGEST_LINE:
                while (rest := file.readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
                    pass
            yield line


def _json_rows(lines: Iterator[bytes]) -> Iterator[Row]:
    number = 0
    for line in lines:
        if number == 0:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line.strip():
            continue
        yield _json_row(number, line)
        number += 1


def _json_row(number: int, line: bytes) -> Row:
    if len(line) > LONGEST_LINE:
        return Row(number, bad=f"longer than {LONGEST_LINE:,} bytes", raw=_shown(line[:_RAW_KEPT]))
    try:
        return unwrapped(number, parse(line.decode().strip()))
    except UnicodeDecodeError as error:
        return Row(number, bad=f"not UTF-8 at byte {error.start}", raw=_shown(line))
    except ValueError as error:
        return Row(number, bad=f"not JSON: {error}", raw=_shown(line))


def _shown(line: bytes) -> str:
    return line.decode("utf-8", "backslashreplace").rstrip("\r\n")
