"""The `sluice` command against a live rollout, and how `sluice demo` ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from trial import Trial, poll, sluice

from sluice.api.status import Phase
from sluice.sandbox import processes
from sluice.sandbox.guardian import tagged
from sluice.sandbox.layout import Layout

Start = Callable[[str], Trial]
LONG = {"steps": [{"weight": 20, "hold": "10m"}, {"weight": 50, "hold": "10m"}]}


def test_a_person_pauses_resumes_and_promotes_from_the_command_line(start: Start) -> None:
    rollout = start("person")
    cluster, name = rollout.cluster, rollout.name
    rollout.create()
    refused = sluice(cluster, "promote", name)
    assert refused.returncode == 4, "there is nothing to promote"
    assert "no rollout is in progress" in refused.stderr

    rollout.change("better", canary=LONG)
    rollout.until_phase(Phase.STEPPING)
    table = sluice(cluster, "list")
    assert table.returncode == 0
    [line] = [ln for ln in table.stdout.splitlines() if ln.startswith(name)]
    assert line.split()[1:4] == ["Stepping", "1/2", "20%"]
    shown = json.loads(sluice(cluster, "status", name, "-o", "json").stdout)
    assert shown["status"]["phase"] == "Stepping"
    assert "20%" in sluice(cluster, "status", name).stdout

    assert sluice(cluster, "pause", name).returncode == 0
    assert rollout.status().pause is not None
    assert sluice(cluster, "resume", name).returncode == 0
    assert rollout.status().pause is None
    assert sluice(cluster, "resume", name).returncode == 4, "it is not paused"
    assert sluice(cluster, "status", name, "-w", "--timeout=1").returncode == 5

    assert sluice(cluster, "promote", name).returncode == 0
    rollout.until(lambda s: s.step is not None and s.step.index == 1, "the next step")
    assert sluice(cluster, "promote", name, "--full").returncode == 0
    watched = sluice(cluster, "status", name, "-w", "--timeout=480")
    assert watched.returncode == 0, watched.stderr
    rollout.until_ended("Promoted")
    assert rollout.failures() == []


def test_a_person_aborts_and_tries_again_from_the_command_line(start: Start) -> None:
    rollout = start("again")
    cluster, name = rollout.cluster, rollout.name
    rollout.create()
    rollout.change("better", canary=LONG)
    rollout.until_phase(Phase.STEPPING)
    assert sluice(cluster, "abort", name).returncode == 0
    watched = sluice(cluster, "status", name, "-w", "--timeout=480")
    assert watched.returncode == 3, "rolled back"
    status = rollout.until_ended("Aborted")
    assert status.phase is Phase.ROLLED_BACK
    assert sluice(cluster, "abort", name).returncode == 4
    assert sluice(cluster, "status", "nobody").returncode == 1
    assert sluice(cluster, "status", name, "-o", "poem").returncode == 2

    assert sluice(cluster, "retry", name).returncode == 0
    again = rollout.until_phase(Phase.PREPARING, Phase.STEPPING)
    assert again.candidate is not None
    assert again.candidate.revision == status.history[0].revision
    assert rollout.failures() == []


def test_ctrl_c_in_mid_demo_leaves_nothing_running(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "sluice.cli.main", "demo", "--only=better", "--name=short"]
    log = tmp_path / "demo.log"
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with log.open("wb") as sink:
        demo = subprocess.Popen(
            argv, cwd=tmp_path, stdout=sink, stderr=subprocess.STDOUT, env=environment
        )
    layout = Layout.named("short", base=tmp_path / ".sandbox")
    try:
        poll(lambda: "Stepping" in log.read_text() or demo.poll() is not None, "it is on its way")
        state = processes.read_state(layout.root)
        assert state is not None, log.read_text()
        assert len(tagged(state["identity"])) > 10
        demo.send_signal(signal.SIGINT)
        code = demo.wait(600)
    finally:
        demo.kill()
        demo.wait()
    assert code == 130, log.read_text()
    assert "Traceback" not in log.read_text()
    assert tagged(state["identity"]) == set()
    assert processes.read_state(layout.root) is None
