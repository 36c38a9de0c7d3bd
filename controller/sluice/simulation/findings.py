"""What lint says about one field."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True)
class Finding:
    """`where` is a field of the document, `what` what is wrong with it, `fix` what to do."""

    level: Level
    where: str
    what: str
    fix: str
