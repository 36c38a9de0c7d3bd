"""How far a run is, in a file beside the output: what makes it go on after a SIGKILL.

The journal is replaced as a whole, and only after what it speaks of is on the disk (fsync). So
whenever the process or the machine dies, what stands in it is true; what the output has beyond it
is cut off and done again.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from sluice.errors import UsageError

VERSION = 1


@dataclass
class Progress:
    """`rows` of the input are done: `ok` in the output, `failed` beside it. `work` is what is being
    done: a run with other work must not go on here. `seconds` over all runs, `runs` their number.
    """

    work: dict[str, Any]
    batch_id: str
    started: float
    rows: int = 0
    ok: int = 0
    failed: int = 0
    output_bytes: int = 0
    failed_bytes: int = 0
    done: bool = False
    runs: int = 0
    seconds: float = 0.0
    version: int = field(default=VERSION)


def journal_path(output: Path) -> Path:
    """Beside the output."""
    return output.with_name(output.name + ".journal")


def failed_path(output: Path) -> Path:
    """Where failed rows go: `scores.jsonl` -> `scores.failed.jsonl`, beside it."""
    stem = output.name.removesuffix(".jsonl")
    return output.with_name(f"{stem}.failed.jsonl")


def load(path: Path) -> Progress | None:
    """None if there is no journal. Raises UsageError for one that cannot be read."""
    try:
        raw = json.loads(path.read_bytes())
        if raw["version"] != VERSION:
            raise ValueError(f"version {raw['version']}, this sluice writes {VERSION}")
        return Progress(**{one.name: raw[one.name] for one in fields(Progress)})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path} is no journal of `sluice batch` ({type(error).__name__}: {error}): move it "
            "away, or begin anew with --overwrite"
        ) from error


def save(path: Path, progress: Progress) -> None:
    """Durable when it returns, and never half there. Raises OSError."""
    fresh = path.with_name(path.name + ".new")
    with fresh.open("wb") as file:
        file.write(json.dumps(asdict(progress), indent=1).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make names in a directory durable, where the file system knows of that."""
    directory = os.open(path, os.O_RDONLY)
    try:
        os.fsync(directory)
    except OSError:
        pass  # some network file systems refuse it; they keep names in their own way
    finally:
        os.close(directory)


def differences(theirs: dict[str, Any], ours: dict[str, Any]) -> list[str]:
    """What is not the same work, one sentence each."""
    return [
        f"{key} was {theirs.get(key)!r}, now it is {ours.get(key)!r}"
        for key in sorted({*theirs, *ours})
        if theirs.get(key) != ours.get(key)
    ]
