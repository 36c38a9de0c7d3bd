"""What the load generator saw, read as it is written."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Shot:
    """One request: when (Unix seconds), how long (ms), HTTP status (0: none), who answered."""

    at: float
    milliseconds: float
    code: int
    predictor: str

    @property
    def failed(self) -> bool:
        """Not answered with 200."""
        return self.code != 200


@dataclass
class Shots:
    """The load generator's file, followed."""

    path: Path
    all: list[Shot] = field(default_factory=list)
    _offset: int = 0

    def read(self) -> list[Shot]:
        """Take in what was written since the last call; returns just that."""
        if not self.path.exists():
            return []
        with self.path.open("rb") as lines:
            lines.seek(self._offset)
            data = lines.read()
        end = data.rfind(b"\n") + 1
        self._offset += end
        fresh = []
        for line in data[:end].splitlines():
            raw = json.loads(line)
            fresh.append(Shot(raw["t"], raw["ms"], raw["code"], raw["p"]))
        self.all += fresh
        return fresh

    def between(self, start: float, end: float) -> list[Shot]:
        """Requests that began in [start, end)."""
        return [shot for shot in self.all if start <= shot.at < end]
