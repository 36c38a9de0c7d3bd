"""The process that outlives a sandbox's owner, to clean up after it.

Started by `processes.Supervisor` as a plain script (standard library only, so it costs 10 MB and
20 ms). It reads the process groups to remember from its standard input; end of input means that the
owner has gone, in whatever way, SIGKILL included. It then ends every process of this sandbox, and
itself. Nothing is found by name: a process belongs to the sandbox if its group was announced, or if
it carries the sandbox's random identity in its environment (which children inherit).
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

IDENTITY = "SLUICE_SANDBOX_ID"


def start_time(pid: int) -> int:
    """When a process started, in clock ticks since boot; 0 if there is none (or a zombie).

    Together with the pid it names a process for good: pids are used again.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] in "ZX" else int(fields[19])


def group_lives(group: int) -> bool:
    """Whether a process of the group is left that is more than a zombie.

    Its first thread may be one while others still hold its files and ports.
    """
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[2]) == group and (fields[0] not in "ZX" or int(fields[17]) > 1):
                return True
    return False


def tagged(identity: str) -> set[int]:
    """The live processes that carry this sandbox's identity."""
    needle = f"{IDENTITY}={identity}".encode()
    found = set()
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with suppress(OSError):
            environment = Path(f"/proc/{entry.name}/environ").read_bytes()
            if needle in environment.split(b"\0") and start_time(int(entry.name)):
                found.add(int(entry.name))
    return found


def kill_group(group: int, started: int) -> None:
    """SIGKILL a process group, unless its number has been given to somebody else since."""
    now = start_time(group)
    if now == 0 or now == started:  # no leader left, but members: they are still ours
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


def sweep(identity: str, groups: Iterable[tuple[int, int]], *, seconds: float = 5.0) -> int:
    """End everything that belongs to the sandbox; returns how many processes are still there.

    `groups` are (process group, start time of its leader). Looks again until three looks in a row
    find nothing: a process that is just being started shows its environment a moment later.
    """
    for group, started in groups:
        kill_group(group, started)
    deadline = time.monotonic() + seconds
    quiet = 0
    left = tagged(identity)
    while quiet < 3 and time.monotonic() < deadline:
        for pid in left:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.03)
        left = tagged(identity)
        quiet = 0 if left else quiet + 1
    return len(left)


def main() -> int:
    """Watch standard input. Lines: `+ GROUP START` to remember, `- GROUP` to forget."""
    identity = sys.argv[1]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: dict[int, int] = {}
    for line in sys.stdin:
        words = line.split()
        if len(words) == 3 and words[0] == "+":
            groups[int(words[1])] = int(words[2])
        elif len(words) == 2 and words[0] == "-":
            groups.pop(int(words[1]), None)
    return 1 if sweep(identity, groups.items()) else 0


if __name__ == "__main__":
    sys.exit(main())
