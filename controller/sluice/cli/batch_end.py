"""How `sluice batch` ends: signals, the summary, the exit code."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from sluice.batch.journal import failed_path
from sluice.batch.run import Run
from sluice.batch.writing import Output as OutputFiles
from sluice.cli.batch_target import Target
from sluice.cli.documents import BatchDocument
from sluice.cli.options import Output
from sluice.cli.output import print_data
from sluice.cli.signals import handled_by
from sluice.errors import SluiceError

_ROWS_FAILED, _INTERRUPTED, _TERMINATED = 1, 130, 143
_AGAIN = "the same command goes on from there"


@dataclass(frozen=True)
class Job:
    """What the summary is about."""

    input: Path
    output: Path
    target: Target
    files: OutputFiles

    def end(self, message: str, summary: Output, signalled: int | None = None) -> None:
        """Print the summary, and exit as it says."""
        self.files.close()
        document = self._document(message)
        if summary is Output.TABLE:
            sys.stdout.write(_told(document))
        else:
            print_data(document.model_dump(mode="json", by_alias=True), summary)
        if message:
            raise SluiceError(f"{message}. {document.rows:,} rows are done; {_AGAIN}")
        if signalled is not None and not self.files.progress.done:
            sys.stderr.write(f"interrupted; {_AGAIN}\n")
            raise typer.Exit(_TERMINATED if signalled == signal.SIGTERM else _INTERRUPTED)
        if document.failed:
            raise typer.Exit(_ROWS_FAILED)

    def _document(self, message: str) -> BatchDocument:
        progress = self.files.progress
        outcome = "Stopped" if message else "Interrupted"
        if progress.done and not message:
            outcome = "RowsFailed" if progress.failed else "Done"
        raw: dict[str, Any] = {
            "input": str(self.input),
            "output": str(self.output),
            "failed_output": str(failed_path(self.output)),
            "target": self.target.name,
            "batch_id": progress.batch_id,
            "outcome": outcome,
            "message": message,
            "rows": progress.rows,
            "ok": progress.ok,
            "failed": progress.failed,
            "runs": progress.runs,
            "seconds": round(progress.seconds, 3),
            "rows_per_second": round(progress.rows / max(progress.seconds, 1e-3), 1),
        }
        return BatchDocument(**raw)


def _told(document: BatchDocument) -> str:
    lines = [
        f"{document.rows:,} rows: {document.ok:,} ok, {document.failed:,} failed; "
        f"{document.seconds:,.1f}s, {document.rows_per_second:,.0f} a second",
        f"answers: {document.output}",
    ]
    if document.failed:
        lines.append(f"failed rows: {document.failed_output} (with --input, they are tried again)")
    return "\n".join(lines) + "\n"


@contextmanager
def signals(run: Run) -> Iterator[list[int]]:
    """Ctrl-C and SIGTERM end the run in order; what came is in the list."""
    caught: list[int] = []

    def catch(number: int, frame: object) -> None:
        del frame
        if not caught:
            # By the number alone: the stream may be in the middle of a line of its own.
            os.write(2, b"finishing what is under way; Ctrl-C again ends at once\n")
        caught.append(number)
        run.interrupt()

    with handled_by(catch):
        yield caught
