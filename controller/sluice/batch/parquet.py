"""Parquet into rows, by pyarrow where that is installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sluice.batch.rows import Row
from sluice.errors import UsageError

_CHUNK = 512


class ParquetSource:
    """Reads page by page: a row group may be larger than the memory."""

    def __init__(self, path: Path) -> None:
        try:
            from pyarrow import ArrowException, parquet
        except ImportError as error:
            raise UsageError(
                f"{path}: Parquet needs pyarrow: pip install 'sluice-rollouts[batch]'"
            ) from error
        self._error = (ArrowException, OSError)
        self._path = path
        try:
            self._file = parquet.ParquetFile(path, buffer_size=2**20, pre_buffer=False)
        except self._error as error:
            raise UsageError(f"{path} cannot be read as Parquet: {error}") from error
        self._rows = self._file.metadata.num_rows
        self._read = 0

    @property
    def done(self) -> float:
        return float(self._read / max(self._rows, 1))

    def close(self) -> None:
        self._file.close()

    def rows(self) -> Iterator[Row]:
        """From the first row. Raises UsageError where the file is damaged."""
        self._read = 0
        try:
            for chunk in self._file.iter_batches(batch_size=_CHUNK):
                for value in chunk.to_pylist():
                    self._read += 1
                    yield Row(self._read - 1, value)
        except self._error as error:
            raise UsageError(
                f"{self._path} cannot be read after row {self._read}: {error}"
            ) from error
