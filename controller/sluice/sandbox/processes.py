"""The real processes of a sandbox: started in groups of their own, watched, and never left behind.

Each process leads its own session, so Ctrl-C in the terminal reaches only the owner, and a stop
takes the whole group (a model server has seven processes and ignores SIGTERM). If the owner dies
in any way, its guardian (guardian.py) ends every process. Linux only.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from sluice.errors import SandboxError
from sluice.sandbox import guardian
from sluice.sandbox.guardian import IDENTITY, group_lives, start_time, sweep

POLL_SECONDS = 0.05
# A killed process lets go of its memory, and then of its ports. Seconds.
_GROUP_SECONDS, _GROUP_LOOK = 10.0, 0.01
Probe = Callable[[], bool]


@dataclass
class Process:
    """One started process: the leader of its own process group."""

    name: str
    log: Path
    popen: subprocess.Popen[bytes]
    started: int
    grace: float = 5.0

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def alive(self) -> bool:
        return self.popen.poll() is None

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative: the signal that ended it."""
        return self.popen.poll()

    def log_tail(self, lines: int = 8) -> str:
        """The end of its log, for an error message."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(f"  | {line[:300]}" for line in text.strip().splitlines()[-lines:])


class Supervisor:
    """Starts and stops the processes of one sandbox. Safe to use from several threads.

    `directory` gets `state.json` (who runs: for a `down` from another shell) and `logs/`.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.identity = secrets.token_hex(16)
        self._processes: dict[str, Process] = {}
        self._lock = threading.RLock()
        self._pause = threading.Event()
        (directory / "logs").mkdir(parents=True, exist_ok=True)
        self._guardian = self._start_guardian()
        self._write_state()

    def _start_guardian(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", guardian.__file__, self.identity],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )

    def start(
        self,
        name: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        clean_env: bool = False,
        cwd: Path | None = None,
        ready: Probe | None = None,
        deadline: float = 120.0,
        grace: float = 5.0,
    ) -> Process:
        """Start a process; with `ready`, return when that is true (a probe must not block long).

        `env` is added to this process's environment, or is all of it with `clean_env`. `grace` is
        how many seconds a stop waits between SIGTERM and SIGKILL.
        Raises SandboxError, with the end of its log, if it cannot be started, exits, or is not
        ready within `deadline` seconds (it is stopped then).
        """
        process = self._spawn(name, argv, env=env, clean_env=clean_env, cwd=cwd)
        process.grace = grace
        if ready is not None:
            self._await_ready(process, ready, deadline)
        return process

    def _spawn(
        self,
        name: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None,
        clean_env: bool,
        cwd: Path | None,
    ) -> Process:
        log = self.directory / "logs" / f"{name}.log"
        environment = {} if clean_env else dict(os.environ)
        environment.update(env or {})
        environment[IDENTITY] = self.identity
        with self._lock:
            if (before := self._processes.get(name)) and before.alive:
                raise SandboxError(f"{name} is running already (pid {before.pid})")
            with log.open("ab") as sink:
                popen = _popen(argv, environment, cwd or self.directory, sink, name)
            process = Process(name, log, popen, start_time(popen.pid))
            self._processes.pop(name, None)  # a restarted one goes to the end of the stop order
            self._processes[name] = process
            self._tell_guardian(f"+ {popen.pid} {process.started}")
            self._write_state()
        return process

    def _await_ready(self, process: Process, ready: Probe, deadline: float) -> None:
        for _ in range(max(1, int(deadline / POLL_SECONDS))):
            if not process.alive:
                code = process.exit_code
                self.forget(process.name)
                raise SandboxError(
                    f"{process.name} ended with exit code {code} before it was ready\n"
                    f"{process.log_tail()}\n  the whole log: {process.log}"
                )
            if ready():
                return
            self._pause.wait(POLL_SECONDS)
        self.stop(process.name, grace=1.0)
        raise SandboxError(
            f"{process.name} was not ready within {deadline:.0f} s\n"
            f"{process.log_tail()}\n  the whole log: {process.log}"
        )

    def get(self, name: str) -> Process | None:
        """The process of that name, dead or alive, unless it was stopped."""
        with self._lock:
            return self._processes.get(name)

    def all(self) -> list[Process]:
        """All processes, in the order in which they were started."""
        with self._lock:
            return list(self._processes.values())

    def stop(self, name: str, *, grace: float | None = None) -> int | None:
        """SIGTERM to the group, SIGKILL to what is left of it after `grace` s; the exit code."""
        with self._lock:
            process = self._processes.get(name)
        if process is None:
            return None
        grace = process.grace if grace is None else grace
        self._signal(process, signal.SIGTERM if grace > 0 else signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            process.popen.wait(max(grace, 0.01))
        self._signal(process, signal.SIGKILL)
        code = process.popen.wait()
        self._await_group(process)
        self.forget(name)
        return code

    def kill(self, name: str) -> None:
        """SIGKILL to the group at once: a crash, as far as the process can tell."""
        self.stop(name, grace=0.0)

    def forget(self, name: str) -> None:
        """Drop a process that has ended (its group's remains are ended too)."""
        with self._lock:
            process = self._processes.pop(name, None)
            if process is None:
                return
            self._signal(process, signal.SIGKILL)
            self._tell_guardian(f"- {process.pid}")
            self._write_state()

    def close(self) -> int:
        """Stop everything, last started first, then the guardian; returns what is left (0)."""
        for process in reversed(self.all()):
            self.stop(process.name)
        left = sweep(self.identity, [])
        if self._guardian.stdin:
            with suppress(BrokenPipeError):
                self._guardian.stdin.close()
        self._guardian.wait()
        (self.directory / "state.json").unlink(missing_ok=True)
        return left

    @staticmethod
    def _signal(process: Process, number: int) -> None:
        # A leader that was reaped leaves its group's number free: only members keep it ours.
        now = start_time(process.pid)
        if now in (0, process.started):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)

    @staticmethod
    def _await_group(process: Process) -> None:
        """Until the rest of the group is gone too: with it go its ports."""
        pause = threading.Event()
        for _ in range(int(_GROUP_SECONDS / _GROUP_LOOK)):
            if start_time(process.pid) not in (0, process.started):
                return
            if not group_lives(process.pid):
                return
            pause.wait(_GROUP_LOOK)

    def _tell_guardian(self, line: str) -> None:
        if self._guardian.stdin is None or self._guardian.poll() is not None:
            raise SandboxError("the sandbox's guardian process has gone: stopping is the safe way")
        self._guardian.stdin.write(f"{line}\n".encode())
        self._guardian.stdin.flush()

    def _write_state(self) -> None:
        state = {
            "identity": self.identity,
            "owner": {"pid": os.getpid(), "start": start_time(os.getpid())},
            "processes": {
                process.name: {"pid": process.pid, "start": process.started}
                for process in self._processes.values()
            },
        }
        write_atomically(self.directory / "state.json", json.dumps(state, indent=1))


def _popen(
    argv: Sequence[str], env: Mapping[str, str], cwd: Path, sink: IO[bytes], name: str
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            [str(word) for word in argv],
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise SandboxError(f"{name} could not be started: {error}") from error


def write_atomically(path: Path, text: str, *, mode: int = 0o600) -> None:
    """Readers see the old text or the new one, never a part of it."""
    temporary = path.with_name(f".{path.name}.{threading.get_ident()}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as sink:
        sink.write(text)
    temporary.replace(path)


def read_state(directory: Path) -> dict[str, Any] | None:
    """What `state.json` says: identity, owner, processes. None: no sandbox was left there."""
    try:
        state: dict[str, Any] = json.loads((directory / "state.json").read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return state


def owner_alive(state: Mapping[str, Any]) -> bool:
    """Whether the process that owns the sandbox still runs."""
    owner = state["owner"]
    return bool(owner["start"]) and start_time(owner["pid"]) == owner["start"]


def clean_up(directory: Path) -> int:
    """End what a dead owner left, by its state file; returns how many processes are still there."""
    state = read_state(directory)
    if state is None:
        return 0
    groups = [(entry["pid"], entry["start"]) for entry in state["processes"].values()]
    left = sweep(state["identity"], groups)
    (directory / "state.json").unlink(missing_ok=True)
    return left
