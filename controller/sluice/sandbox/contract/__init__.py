"""Replays recordings of the real Seldon Core against the stand-ins and lists what differs.

`python -m sluice.sandbox.contract --recordings DIR` is the judge of both stand-ins (the operator's
in `sluice.sandbox.operator`, the executor's in `sluice.sandbox.executor`). The recordings stay
outside the repository. A part that judges something else than the operator offers

    def run(recordings: Path) -> list[Difference]

and one that also wants to be counted when it agrees returns `Outcome` rows from `outcomes`.

May import sluice.kube, sluice.sandbox and below.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Difference:
    """One place where a stand-in did not behave as recorded.

    `recording` is the file's name without `.json` or `.txt`, `step` the index of the step in it
    (-1: the whole file), `what` the path of the value that differs (as `after.status.state`),
    `expected` the recorded value and `found` the stand-in's, both short enough for one line.
    """

    recording: str
    step: int
    what: str
    expected: str
    found: str

    def __str__(self) -> str:
        where = self.recording if self.step < 0 else f"{self.recording} step {self.step}"
        return f"{where}: {self.what}: recorded {self.expected}, found {self.found}"


@dataclass(frozen=True)
class Outcome:
    """What replaying one recording gave: how many steps were compared, and what differed."""

    recording: str
    steps: int
    seconds: float
    differences: list[Difference] = field(default_factory=list)


__all__ = ["Difference", "Outcome"]
