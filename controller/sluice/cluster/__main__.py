"""`python -m sluice.cluster up|down|status|install|images`: a cluster to look around in."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from rich.console import Console

from sluice import packaging
from sluice.cluster import platform, scratch
from sluice.cluster.up import Cluster, Options
from sluice.errors import SandboxError, SluiceError
from sluice.sandbox import parts, processes
from sluice.sandbox.guardian import start_time
from sluice.sandbox.progress import PlainProgress, screen

DEFAULT = Path(".sandbox/cluster")
_UP_SECONDS = 3600.0
_DOWN_SECONDS = 180.0


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code."""
    given = _parser().parse_args(arguments)
    try:
        return int(given.run(given))
    except SluiceError as error:
        Console(stderr=True).print(str(error), style="red", markup=False, highlight=False)
        return error.exit_code
    except KeyboardInterrupt:
        return 130


def up(given: argparse.Namespace) -> int:
    """Stay in the foreground until a signal, or leave an owner in the background."""
    root = given.directory.absolute()
    if not given.foreground:
        print(json.dumps(start_background(root, given.scrape_seconds), indent=1))  # noqa: T201
        return 0
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    with Cluster(root, Options(scrape_seconds=given.scrape_seconds), PlainProgress()) as cluster:
        print(json.dumps(cluster.access(), indent=1), flush=True)  # noqa: T201
        stop.wait()
    return 1 if cluster.left else 0


def start_background(root: Path, scrape_seconds: float = 1.0) -> dict[str, object]:
    """Starts a process that owns the cluster; returns its access data once it is up.

    Raises SandboxError with what the owner said if it fails.
    """
    root.mkdir(parents=True, exist_ok=True)
    access, log = root / "access.json", root.with_name(f"{root.name}.log")
    if state := processes.read_state(root):
        if processes.owner_alive(state):
            raise SandboxError(f"a cluster is up in {root}: take it down first")
        processes.clean_up(root)
    access.unlink(missing_ok=True)
    argv = [sys.executable, "-m", "sluice.cluster", "up", "--foreground"]
    argv += [f"--directory={root}", f"--scrape-seconds={scrape_seconds}"]
    with log.open("wb") as sink:
        owner = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, start_new_session=True
        )
    progress, shown, pause = screen(), 0, threading.Event()
    try:
        for _ in range(int(_UP_SECONDS / 0.1)):
            text = log.read_text(errors="replace")
            for line in text[shown:].splitlines(keepends=True):
                if line.endswith("\n") and not access.exists():
                    progress.note(line.rstrip())
                    shown += len(line)
            if access.exists():
                found: dict[str, object] = json.loads(access.read_text())
                return found
            if owner.poll() is not None:
                raise SandboxError(f"the cluster did not come up: {text.strip()[-2000:]}")
            pause.wait(0.1)
    except BaseException:
        if owner.poll() is None:
            owner.terminate()
            owner.wait(_DOWN_SECONDS)
        raise
    raise SandboxError(f"the cluster was not up within {_UP_SECONDS:.0f} s: see {log}")


def down(given: argparse.Namespace) -> int:
    """End the owner, and with it the cluster."""
    stop(given.directory.absolute())
    return 0


def stop(root: Path) -> None:
    """Takes down the cluster in `root`. Raises SandboxError if there is none."""
    state = processes.read_state(root)
    if state is None:
        raise SandboxError(f"no cluster is up in {root}")
    owner = state["owner"]
    if processes.owner_alive(state):
        os.kill(owner["pid"], signal.SIGTERM)
        pause = threading.Event()
        for _ in range(int(_DOWN_SECONDS / 0.1)):
            if start_time(owner["pid"]) != owner["start"]:
                return
            pause.wait(0.1)
        raise SandboxError(f"process {owner['pid']} has not taken the cluster down: see {root}")
    processes.clean_up(root)


def status(given: argparse.Namespace) -> int:
    """Print the access data of a cluster that is up."""
    root = given.directory.absolute()
    state = processes.read_state(root)
    if state is None or not processes.owner_alive(state):
        raise SandboxError(f"no cluster is up in {root}")
    print((root / "access.json").read_text())  # noqa: T201
    return 0


def images(given: argparse.Namespace) -> int:
    """Print the archives that hold all images, for `kind load` and the like."""
    del given
    progress = screen()
    parts.ensure_all(progress, ("sandbox", "cluster"))
    for path in (scratch.archive(platform.images()), packaging.build(progress=progress).archive):
        print(path)  # noqa: T201
    return 0


def install(given: argparse.Namespace) -> int:
    """Install mesh, Prometheus and Seldon's stand-in into a cluster of the user's."""
    built = packaging.build(progress=screen())
    text = platform.manifests(
        "", built.digests, scrape_seconds=given.scrape_seconds, whole_node=False
    )
    platform.install(given.kubeconfig, text)
    platform.await_available(given.kubeconfig, whole_node=False)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sluice.cluster", description=__doc__)
    commands = parser.add_subparsers(required=True)
    for run in (up, down, status, images, install):
        command = commands.add_parser(run.__name__, help=(run.__doc__ or "").splitlines()[0])
        command.set_defaults(run=run)
        if run in (up, down, status):
            command.add_argument("--directory", type=Path, default=DEFAULT)
        if run is up:
            command.add_argument("--foreground", action="store_true")
        if run in (up, install):
            command.add_argument("--scrape-seconds", type=float, default=1.0)
        if run is install:
            command.add_argument("--kubeconfig", type=Path, required=True)
    return parser


if __name__ == "__main__":
    sys.exit(main())
