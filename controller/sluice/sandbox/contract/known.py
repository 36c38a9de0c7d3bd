"""Differences that are known and accepted, each with its reason, read from a file beside this."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import yaml

from . import Difference

FILE = Path(__file__).with_name("known_differences.yaml")


@dataclass(frozen=True)
class Known:
    """`recording` and `what` are shell patterns; `step` None means any."""

    recording: str
    step: int | None
    what: str
    reason: str

    def covers(self, difference: Difference) -> bool:
        return (
            fnmatchcase(difference.recording, self.recording)
            and self.step in (None, difference.step)
            and fnmatchcase(difference.what, self.what)
        )


def known_differences(file: Path = FILE) -> list[Known]:
    """The accepted differences; every entry must say why."""
    return [
        Known(entry["recording"], entry.get("step"), entry["what"], entry["reason"].strip())
        for entry in yaml.safe_load(file.read_text()) or []
    ]


def reason_for(difference: Difference, known: list[Known]) -> str:
    """Why a difference is accepted, or the empty text."""
    return next((entry.reason for entry in known if entry.covers(difference)), "")
