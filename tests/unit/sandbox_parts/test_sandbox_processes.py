"""Real processes: started in groups, stopped whole, and not left behind by a killed owner."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sluice.errors import SandboxError
from sluice.sandbox import processes
from sluice.sandbox.containers import PODNET
from sluice.sandbox.guardian import start_time, tagged
from sluice.sandbox.ports import PodNetwork, listening
from sluice.sandbox.processes import Supervisor

# A leader that ignores SIGTERM, with a child in its group and one that left the group.
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
subprocess.Popen(sleep)
subprocess.Popen(sleep, start_new_session=True)
open("started", "w").close()
time.sleep(600)
"""


def until(true: Callable[[], bool], seconds: float = 300.0) -> None:
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        pause.wait(0.02)


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    instance = Supervisor(tmp_path)
    yield instance
    assert instance.close() == 0


def start_stubborn(supervisor: Supervisor) -> processes.Process:
    marker = supervisor.directory / "started"
    return supervisor.start("stubborn", [sys.executable, "-c", STUBBORN], ready=marker.exists)


def test_a_stop_ends_the_whole_group_although_sigterm_is_ignored(supervisor: Supervisor) -> None:
    process = start_stubborn(supervisor)
    assert len(tagged(supervisor.identity)) == 3
    assert supervisor.stop("stubborn", grace=0.1) == -signal.SIGKILL
    [left] = tagged(supervisor.identity)  # the one that left the group, and that at once
    assert os.getpgid(left) != process.pid


def test_close_also_ends_what_left_its_group(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path)
    start_stubborn(supervisor).grace = 0.1
    assert len(tagged(supervisor.identity)) == 3
    assert supervisor.close() == 0
    assert tagged(supervisor.identity) == set()
    assert not (tmp_path / "state.json").exists()


def test_a_killed_owner_leaves_nothing_behind(tmp_path: Path) -> None:
    program = f"""
import sys, time
from pathlib import Path
from sluice.sandbox.processes import Supervisor
directory = Path({str(tmp_path)!r})
supervisor = Supervisor(directory)
supervisor.start(
    "stubborn", [sys.executable, "-c", {STUBBORN!r}], ready=(directory / "started").exists
)
(directory / "up").touch()
time.sleep(600)
"""
    owner = subprocess.Popen([sys.executable, "-c", program])
    until((tmp_path / "up").exists)
    state = json.loads((tmp_path / "state.json").read_text())
    assert processes.owner_alive(state)
    assert len(tagged(state["identity"])) == 3
    owner.kill()
    owner.wait()
    until(lambda: not tagged(state["identity"]))
    assert not processes.owner_alive(state)
    assert processes.clean_up(tmp_path) == 0


def test_a_process_that_dies_early_is_reported_with_the_end_of_its_log(
    supervisor: Supervisor,
) -> None:
    program = "print('no such flag: --fast'); raise SystemExit(3)"
    with pytest.raises(SandboxError, match=r"exit code 3 before(.|\n)*no such flag: --fast"):
        supervisor.start("bad", [sys.executable, "-c", program], ready=lambda: False)
    assert supervisor.get("bad") is None


def test_a_process_that_is_never_ready_is_stopped(supervisor: Supervisor) -> None:
    program = "import time; time.sleep(600)"
    with pytest.raises(SandboxError, match="not ready within"):
        supervisor.start("slow", [sys.executable, "-c", program], ready=lambda: False, deadline=0.2)
    assert supervisor.all() == []


def test_a_number_used_again_is_not_taken_for_the_process_it_was(supervisor: Supervisor) -> None:
    innocent = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True
    )
    try:
        processes.sweep("0" * 32, [(innocent.pid, start_time(innocent.pid) - 1)], seconds=0.2)
        assert innocent.poll() is None
    finally:
        innocent.kill()
        innocent.wait()


def test_two_pods_listen_on_the_same_port_at_their_own_addresses(supervisor: Supervisor) -> None:
    network = PodNetwork()
    other = PodNetwork()
    assert network.prefix != other.prefix
    first, second = network.take(), network.take()
    program = (
        "import http.server as h; h.test(h.SimpleHTTPRequestHandler, port=8000, bind='0.0.0.0')"
    )
    try:
        for address in (first, second):
            supervisor.start(
                f"pod-{address}",
                [sys.executable, "-c", program],
                env={"SLUICE_POD_IP": address, "PYTHONPATH": str(PODNET)},
                ready=lambda address=address: listening(address, 8000),  # type: ignore[misc]
            )
        assert not listening(network.take(), 8000)
    finally:
        network.close()
        other.close()


def test_a_pod_reaches_itself_as_localhost(supervisor: Supervisor) -> None:
    network = PodNetwork()
    address = network.take()
    program = (
        "import socket; s = socket.create_server(('127.0.0.1', 8000));"
        "c = socket.create_connection(('localhost', 8000)); print(c.getpeername()[0])"
    )
    try:
        process = supervisor.start(
            "itself",
            [sys.executable, "-c", program],
            env={"SLUICE_POD_IP": address, "PYTHONPATH": str(PODNET)},
        )
        assert process.popen.wait(300) == 0, process.log_tail()
        assert process.log.read_text().strip() == address
    finally:
        network.close()
