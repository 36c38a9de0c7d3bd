"""The control group that a node's processes and containers live below, for cgroup v1 and v2.

With v1 the kubelet and runc want the same path in every hierarchy.
"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
_DAEMONS = "daemons"
_WANTED = ("cpu", "memory", "pids", "cpuset", "io")
_CPUSET = ("cpuset.cpus", "cpuset.mems")


def unified() -> bool:
    """Whether this machine has cgroup v2 only."""
    return (ROOT / "cgroup.controllers").exists()


def hierarchies() -> list[Path]:
    """Where groups are made: the root of v2, or of each hierarchy of v1."""
    if unified():
        return [ROOT]
    return sorted(path for path in ROOT.iterdir() if (path / "cgroup.procs").exists())


def make(name: str) -> list[Path]:
    """Makes the group `name` and its `daemons`; returns the files a daemon writes its pid to."""
    joined = []
    for root in hierarchies():
        group = root / name
        if unified():
            _hand_down(root)
        group.mkdir(exist_ok=True)
        if unified():
            _hand_down(group)
        _take_cpuset(root, group)
        daemons = group / _DAEMONS
        daemons.mkdir(exist_ok=True)
        _take_cpuset(group, daemons)
        joined.append(daemons / "cgroup.procs")
    return joined


def _hand_down(group: Path) -> None:
    there = (group / "cgroup.controllers").read_text().split()
    wanted = " ".join(f"+{name}" for name in _WANTED if name in there)
    (group / "cgroup.subtree_control").write_text(wanted)


def _take_cpuset(parent: Path, group: Path) -> None:
    # v1: a new group has no processor until it is given some.
    for name in _CPUSET:
        if not unified() and (group / name).exists():
            (group / name).write_text((parent / name).read_text())


def remove(name: str, *, seconds: float = 10.0) -> list[Path]:
    """Removes the group and all below it, once its processes have ended; returns what is left."""
    deadline = time.monotonic() + seconds
    while True:
        for root in hierarchies():
            group = root / name
            if group.exists():
                below = sorted(group.rglob("*/"), key=lambda path: len(path.parts), reverse=True)
                for path in (*below, group):
                    with suppress(OSError):
                        path.rmdir()
        left = [root / name for root in hierarchies() if (root / name).exists()]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.05)
