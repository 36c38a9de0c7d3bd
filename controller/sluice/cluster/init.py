"""The first process of the node's namespaces: prepares them, then reaps what is orphaned.

Run as a plain script (standard library only) by `node.py`, with the path of a JSON file. When this
process ends, the kernel ends every process of the cluster with it, the containers included.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any


def run(*argv: str) -> None:
    """A command that must succeed."""
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)


def mount(told: dict[str, Any]) -> None:
    """A /run, /var/lib and /var/log of its own, and mounts that containers can pass on."""
    run("mount", "--make-rshared", "/")
    for directory in ("/run", "/var/lib"):
        run("mount", "-t", "tmpfs", "tmpfs", directory)
    for source, target in told["directories"].items():
        Path(source).mkdir(parents=True, exist_ok=True)
        Path(target).mkdir(parents=True, exist_ok=True)
        run("mount", "--bind", source, target)
    for target, text in told["files"].items():
        if Path(target).exists():
            own = Path(told["own_files"], target.strip("/").replace("/", "_"))
            own.parent.mkdir(parents=True, exist_ok=True)
            own.write_text(text)
            run("mount", "--bind", str(own), str(Path(target).resolve()))


def settings(told: dict[str, Any]) -> None:
    """The kernel settings of a node.

    The kubelet insists on writing some that hold for the whole machine. It gets files that look
    like them and have the values it wants, so that the machine's own stay as they are.
    """
    directory = Path(told["settings_directory"])
    directory.mkdir(parents=True, exist_ok=True)
    for name, value in told["look_alikes"].items():
        real = Path("/proc/sys") / name
        if real.exists():
            copy = directory / name.replace("/", "_")
            copy.write_text(f"{value}\n")
            run("mount", "--bind", str(copy), str(real))
    for name, value in told["own"].items():
        own = Path("/proc/sys") / name
        if own.exists():
            own.write_text(f"{value}\n")


def network(told: dict[str, Any]) -> None:
    """Names the node and brings its one interface up, once the other side has made it."""
    socket.sethostname(told["node_name"])
    run("ip", "link", "set", "lo", "up")
    for _ in range(200):
        if Path("/sys/class/net", told["link"]).exists() or _link(told["link"]):
            break
        time.sleep(0.05)
    run("ip", "address", "add", f"{told['address']}/30", "dev", told["link"])
    run("ip", "link", "set", told["link"], "up")
    run("ip", "route", "add", "default", "via", told["gateway"])


def _link(name: str) -> bool:
    # /sys still shows the machine's interfaces: it was mounted in another network namespace.
    shown = subprocess.run(["ip", "link", "show", name], capture_output=True, check=False)
    return shown.returncode == 0


def reap() -> None:
    """Wait for children until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    while True:
        try:
            os.wait()
        except ChildProcessError:
            time.sleep(0.2)


def main() -> None:
    """Prepare, say so by writing the file `ready`, reap."""
    told = json.loads(Path(sys.argv[1]).read_text())
    mount(told)
    settings(told)
    network(told)
    Path(told["ready"]).write_text(str(os.getpid()))
    reap()


if __name__ == "__main__":
    main()
