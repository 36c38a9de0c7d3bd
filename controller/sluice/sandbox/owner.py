"""Sandboxes from the outside: in the foreground, in the background, their state, their end."""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from sluice.errors import SandboxError, SluiceError
from sluice.sandbox import processes
from sluice.sandbox.guardian import start_time
from sluice.sandbox.layout import Layout
from sluice.sandbox.progress import PlainProgress, Progress
from sluice.sandbox.up import Options, Sandbox, take_over

DOWN_SECONDS = 40.0
UP_SECONDS = 1800.0


def stop_on_signals() -> threading.Event:
    """An event that SIGINT, SIGTERM and SIGHUP set. A second one interrupts at once."""
    stop = threading.Event()

    def handle(number: int, frame: object) -> None:
        del frame
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        if not running.is_set():  # still coming up: leave at the next step
            raise KeyboardInterrupt(number)

    running = threading.Event()
    stop.running = running  # type: ignore[attr-defined]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, handle)
    return stop


def run_foreground(
    layout: Layout,
    options: Options,
    progress: Progress,
    *,
    announce: Callable[[Sandbox], None] | None = None,
) -> int:
    """Bring a sandbox up, stay until a signal, take it down. Returns the exit code.

    `announce` is called once it is up. Raises SandboxError or ToolError.
    """
    stop = stop_on_signals()
    sandbox = Sandbox(layout, options, progress)
    try:
        with sandbox:
            stop.running.set()  # type: ignore[attr-defined]
            if announce:
                announce(sandbox)
            sandbox.wait(stop)
            progress.note("taking the sandbox down")
    except KeyboardInterrupt:
        progress.note("stopped: nothing is left running")
        return 130
    return 0


def start_background(layout: Layout, options: Options, progress: Progress) -> dict[str, Any]:
    """Start a process that owns the sandbox and wait until it is up; returns its access data.

    Raises SandboxError with what the owner said if it fails. Ctrl-C while waiting stops it.
    """
    take_over(layout)
    layout.root.mkdir(parents=True, exist_ok=True)
    log = layout.root / "owner.log"
    argv = [sys.executable, "-m", "sluice.sandbox.owner", "--directory", str(layout.root)]
    argv += [f"--scrape-seconds={options.scrape_seconds}"]
    argv += [f"--namespace={namespace}" for namespace in options.namespaces]
    argv += [] if options.controller else ["--no-controller"]
    argv += [] if options.operator else ["--no-operator"]
    argv += [f"--controller-arg={word}" for word in options.controller_args]
    with log.open("wb") as sink:
        owner = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        return _await_access(owner, layout, log, progress)
    except BaseException:
        if owner.poll() is None:
            owner.terminate()
            with suppress(subprocess.TimeoutExpired):
                owner.wait(DOWN_SECONDS)
        raise


def _await_access(
    owner: subprocess.Popen[bytes], layout: Layout, log: Path, progress: Progress
) -> dict[str, Any]:
    shown = 0
    pause = threading.Event()
    for _ in range(int(UP_SECONDS / 0.1)):
        text = log.read_text(errors="replace")
        for line in text[shown:].splitlines(keepends=True):
            if line.endswith("\n"):
                progress.note(line.rstrip())
                shown += len(line)
        if layout.access.exists():
            access: dict[str, Any] = json.loads(layout.access.read_text())
            return access
        if owner.poll() is not None:
            raise SandboxError(f"the sandbox did not come up: {text.strip()[-2000:]}\n  log: {log}")
        pause.wait(0.1)
    raise SandboxError(f"the sandbox was not up within {UP_SECONDS:.0f} s: see {log}")


def owner_of(layout: Layout) -> int:
    """The pid of the process that owns the directory now, coming up included; 0: nobody."""
    if not layout.lock.exists():
        return 0
    with layout.lock.open("r+") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid, _, started = handle.read().partition(" ")
            return int(pid) if pid and start_time(int(pid)) == int(started) else 0
    return 0


def bring_down(layout: Layout) -> int:
    """Take a sandbox down from another process; returns how many processes have been stopped.

    Raises SandboxError if there is none, or if something could not be stopped.
    """
    owner = owner_of(layout)
    running = [entry for entry in describe(layout)["processes"] if entry["alive"]]
    if not owner and processes.read_state(layout.root) is None:
        raise SandboxError(f"no sandbox is up in {layout.root}")
    if owner:
        _end(owner)
    layout.access.unlink(missing_ok=True)
    if left := processes.clean_up(layout.root):
        raise SandboxError(f"{left} processes of the sandbox in {layout.root} could not be stopped")
    return len(running)


def _end(owner: int) -> None:
    started = start_time(owner)
    pause = threading.Event()
    for number, seconds in ((signal.SIGTERM, DOWN_SECONDS), (signal.SIGKILL, 5.0)):
        with suppress(ProcessLookupError):
            os.kill(owner, number)
        for _ in range(int(seconds / 0.1)):
            if start_time(owner) != started:
                return
            pause.wait(0.1)


def describe(layout: Layout) -> dict[str, Any]:
    """The state of a sandbox, for `status`: up, access data, processes with whether they live.

    `up` is False, and the rest empty, when none is there; `crashed` says that its owner has died.
    """
    state = processes.read_state(layout.root)
    if state is None:
        return {"up": False, "crashed": False, "access": {}, "processes": []}
    alive = processes.owner_alive(state)
    access = json.loads(layout.access.read_text()) if layout.access.exists() else {}
    return {
        "up": alive and bool(access),
        "crashed": not alive,
        "owner": state["owner"]["pid"],
        "access": access if alive else {},
        "processes": [
            {
                "name": name,
                "pid": entry["pid"],
                "alive": start_time(entry["pid"]) == entry["start"],
                "log": str(layout.logs / f"{name}.log"),
            }
            for name, entry in state["processes"].items()
        ],
    }


def main(arguments: list[str] | None = None) -> int:
    """The owner process of a background sandbox."""
    parser = argparse.ArgumentParser(prog="python -m sluice.sandbox.owner", description=__doc__)
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--scrape-seconds", type=float, default=5.0)
    parser.add_argument("--namespace", action="append", dest="namespaces")
    parser.add_argument("--no-controller", action="store_true")
    parser.add_argument("--no-operator", action="store_true")
    parser.add_argument("--controller-arg", action="append", default=[])
    given = parser.parse_args(arguments)
    options = Options(
        scrape_seconds=given.scrape_seconds,
        namespaces=tuple(given.namespaces or ("prod",)),
        operator=not given.no_operator,
        controller=not given.no_controller,
        controller_args=tuple(given.controller_arg),
    )
    progress = PlainProgress()
    try:
        return run_foreground(Layout(given.directory.absolute()), options, progress)
    except SluiceError as error:
        progress.note(str(error))
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
