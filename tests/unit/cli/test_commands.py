"""The command line against an in-memory API server: what is printed, and the exit codes."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from sluice.cli import commands, main, rollouts, sandbox
from sluice.errors import UsageError
from sluice.loops.health import HealthServer
from sluice.resources import MODEL_ROLLOUTS
from sluice.sandbox import owner
from sluice.testing.kube import FakeKube

CANDIDATE = {"revision": "bbbb", "predictor": "vbbbb", "images": ["repo/iris:2"]}
STABLE = {"revision": "aaaa", "predictor": "vaaaa", "images": ["repo/iris:1"]}
CHECK = {
    "name": "errors",
    "verdict": "Undecided",
    "reason": "MoreRequestsNeeded",
    "message": "about 66 more candidate requests until Pass at these rates.",
    "candidate": 0.01,
    "stable": 0.005,
    "evidence": 0.4,
    "needed": 1.3,
    "harmEvidence": -0.2,
    "harmNeeded": 2.3,
    "candidateSamples": 120,
    "stableSamples": 480,
}
KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: u, user: {token: t}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
current-context: c
"""


@pytest.fixture
def kube(monkeypatch: pytest.MonkeyPatch) -> FakeKube:
    kube = FakeKube()

    def connect(*_: object) -> tuple[Any, str]:
        return kube.client(), "prod"

    monkeypatch.setattr(rollouts, "connect", connect)
    monkeypatch.setattr(commands, "connect", connect)
    return kube


def put(kube: FakeKube, **status: Any) -> None:
    body = {
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "ModelRollout",
        "metadata": {"name": "iris", "namespace": "prod", "generation": 1},
        "spec": {"template": {"spec": {"predictors": [{"graph": {"name": "m"}}]}}},
    }
    client = kube.client()
    created = client.create(MODEL_ROLLOUTS, body, "prod")
    created["status"] = {
        "phase": "Stepping",
        "observedGeneration": created["metadata"].get("generation", 1),
        "stable": STABLE,
        "candidate": CANDIDATE,
        "step": {"index": 1, "weight": 20, "total": 3, "progress": "2/3"},
        "traffic": {"desired": {"vaaaa": 80, "vbbbb": 20}, "observed": {"vaaaa": 80, "vbbbb": 20}},
        "verdict": "Undecided",
        "checks": [CHECK],
        **status,
    }
    client.replace(MODEL_ROLLOUTS, created, subresource="status")


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["sluice", *words])
    with pytest.raises(SystemExit) as ended:
        main.main()
    code = ended.value.code
    return code if isinstance(code, int) else 0


def test_list_shows_phase_step_weight_and_verdict(
    kube: FakeKube, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put(kube)
    assert run(monkeypatch, "list") == 0
    header, row = capsys.readouterr().out.splitlines()
    assert header.split() == [
        "NAME", "PHASE", "STEP", "WEIGHT", "VERDICT", "STABLE", "CANDIDATE", "AGE"
    ]  # fmt: skip
    assert row.split()[:7] == ["iris", "Stepping", "2/3", "20%", "Undecided", "aaaa", "bbbb"]


def test_status_shows_every_check_with_numbers_and_reason(
    kube: FakeKube, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put(kube)
    assert run(monkeypatch, "status", "iris") == 0
    shown = capsys.readouterr().out
    for part in ("prod/iris", "20% wanted, 20% observed", "0.40 of 1.30", "about 66 more"):
        assert part in shown


@pytest.mark.parametrize(("form", "load"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_json_and_yaml_are_the_object_itself(
    kube: FakeKube,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    form: str,
    load: Any,
) -> None:
    put(kube)
    assert run(monkeypatch, "status", "iris", "-o", form) == 0
    assert load(capsys.readouterr().out)["status"]["checks"] == [CHECK]


def test_a_rollout_that_is_not_there_is_an_error_that_names_it(
    kube: FakeKube, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "status", "tulip") == 1
    error = capsys.readouterr().err
    assert error.startswith("error: there is no ModelRollout prod/tulip")
    assert "sluice list -A" in error


def test_watching_a_rolled_back_rollout_exits_with_3(
    kube: FakeKube, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(kube, phase="RolledBack", candidate=None, rejected=CANDIDATE)
    assert run(monkeypatch, "status", "iris", "-w") == 3


def test_following_without_a_terminal_prints_a_line_a_change_and_the_whole_at_the_end(
    kube: FakeKube, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put(kube, phase="RolledBack", candidate=None, rejected=CANDIDATE, step=None)
    assert run(monkeypatch, "status", "iris", "-w") == 3
    first, *rest = capsys.readouterr().out.splitlines()
    assert first.split()[1:3] == ["prod/iris:", "RolledBack,"]
    assert any("bbbb" in line for line in rest)


STALLED = {
    "type": "Stalled",
    "status": "True",
    "reason": "PolicyNotFound",
    "message": "there is no ClusterCanaryPolicy 'mine'",
}


@pytest.mark.parametrize("words", [["list"], ["status", "iris"]])
def test_a_rollout_that_cannot_be_worked_on_is_not_shown_as_idle_alone(
    kube: FakeKube,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
) -> None:
    put(kube, phase="Idle", candidate=None, step=None, conditions=[STALLED])
    assert run(monkeypatch, *words) == 0
    assert "PolicyNotFound" in capsys.readouterr().out


def test_a_rollback_is_told_by_its_phase_alone(
    kube: FakeKube, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put(kube, phase="RolledBack", conditions=[{**STALLED, "reason": "RolledBack"}])
    assert run(monkeypatch, "list") == 0
    assert capsys.readouterr().out.splitlines()[1].split()[1:3] == ["RolledBack", "2/3"]


@pytest.mark.parametrize(
    ("phase", "words"),
    [
        ("Idle", ["promote", "iris"]),
        ("RollingBack", ["abort", "iris"]),
        ("RollingBack", ["retry", "iris"]),
        ("Stepping", ["retry", "iris"]),
        ("Stepping", ["resume", "iris"]),
        ("Preparing", ["promote", "iris", "--full"]),
    ],
)
def test_what_is_not_possible_now_exits_with_4_and_writes_nothing(
    kube: FakeKube,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    phase: str,
    words: list[str],
) -> None:
    put(kube, phase=phase)
    assert run(monkeypatch, *words) == 4
    assert capsys.readouterr().err.startswith("error: ")
    assert kube.count("patch") == 0


def test_an_api_server_that_does_not_tell_who_we_are_takes_commands_too(
    kube: FakeKube, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(kube)
    kube.fail_next("create", "selfsubjectreviews", status=404)
    assert run(monkeypatch, "pause", "iris", "--timeout", "0") == 5
    obj = kube.client().get(MODEL_ROLLOUTS, "iris", "prod")
    assert "by" not in json.loads(obj["metadata"]["annotations"]["sluice.dev/command"])


def test_a_new_template_that_waits_for_a_gate_is_shown_and_can_be_aborted_alone(
    kube: FakeKube, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gate = {"name": "windows", "state": "Closed", "message": "opens at nine", "since": "x"}
    put(kube, phase="Idle", candidate=None, step=None, gates=[gate])
    assert run(monkeypatch, "list") == 0
    assert "Idle (waiting)" in capsys.readouterr().out
    assert run(monkeypatch, "status", "iris") == 0
    assert "windows Closed: opens at nine" in capsys.readouterr().out
    assert run(monkeypatch, "promote", "iris") == 4
    assert "a gate is closed" in capsys.readouterr().err
    assert run(monkeypatch, "abort", "iris", "--timeout", "0") == 5


def test_a_command_without_an_answer_exits_with_5_and_stays(
    kube: FakeKube, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(kube)
    assert run(monkeypatch, "pause", "iris", "--timeout", "0") == 5
    obj = kube.client().get(MODEL_ROLLOUTS, "iris", "prod")
    command = json.loads(obj["metadata"]["annotations"]["sluice.dev/command"])
    assert (command["command"], command["revision"]) == ("pause", "bbbb")
    assert command["by"] == kube.user


def put_monitored(kube: FakeKube, **status: Any) -> None:
    put(kube, **status)
    monitoring = {"drift": {}, "onDrift": {"job": {"cronJob": "retrain"}}}
    kube.client().merge_patch(MODEL_ROLLOUTS, "iris", "prod", {"spec": {"monitoring": monitoring}})


def test_retrain_is_bound_to_the_stable_and_sends_the_reason_along(
    kube: FakeKube, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_monitored(kube)
    words = ["retrain", "iris", "--reason", "labels of May", "--timeout", "0"]
    assert run(monkeypatch, *words) == 5
    obj = kube.client().get(MODEL_ROLLOUTS, "iris", "prod")
    command = json.loads(obj["metadata"]["annotations"]["sluice.dev/command"])
    assert (command["command"], command["revision"]) == ("retrain", "aaaa")
    assert (command["by"], command["why"]) == (kube.user, "labels of May")


def test_retrain_is_refused_where_nothing_is_declared_or_one_is_running(
    kube: FakeKube, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put(kube)
    assert run(monkeypatch, "retrain", "iris") == 4
    assert "declares no retraining" in capsys.readouterr().err
    kube.client().delete(MODEL_ROLLOUTS, "iris", "prod")
    entry = {
        "number": 3,
        "id": "x",
        "trigger": "Drifted",
        "state": "Running",
        "job": "iris-retrain-x",
        "at": "2026-01-01T00:00:00.000Z",
        "revision": "aaaa",
    }
    known = {"predictor": "vaaaa", "revision": "aaaa", "retrainings": [entry]}
    put_monitored(kube, monitoring=known)
    patches = kube.count("patch")
    assert run(monkeypatch, "retrain", "iris") == 4
    assert (
        "retraining 3 is running (Job iris-retrain-x) since 2026-01-01" in capsys.readouterr().err
    )
    assert kube.count("patch") == patches


def test_a_reason_that_is_too_long_is_a_wrong_command_line(
    kube: FakeKube, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put_monitored(kube)
    assert run(monkeypatch, "retrain", "iris", "--reason", "x" * 301) == 2
    assert "at most 300" in capsys.readouterr().err


def test_an_unknown_option_exits_with_2(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, "list", "--nope") == 2


@pytest.mark.parametrize(
    "words",
    [
        ["controller", "--http-address", "here"],
        ["controller", "--http-address", "127.0.0.1:70000"],
        ["controller", "--log-format", "xml"],
        ["controller", "--prometheus-url", "prometheus:9090"],
        ["controller", "--lease-seconds", "0"],
        ["controller", "--status-interval", "0"],
        ["controller", "--pulse", "-1"],
        ["sandbox", "up", "--name", "a/../b"],
        ["sandbox", "down", "--name", ""],
        ["sandbox", "up", "--scrape-interval", "0"],
        ["demo", "--name", "two words"],
    ],
)
def test_a_wrong_value_is_named_with_what_is_expected(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    words: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(KUBECONFIG)
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    assert run(monkeypatch, *words) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {words[-2]} ")
    assert "expected" in error
    assert list(tmp_path.iterdir()) == [kubeconfig], "nothing was begun"


def test_a_port_in_use_is_an_error_that_names_it() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(UsageError, match=f"--http-address {address}: cannot listen there"):
            HealthServer(address, CollectorRegistry(), str, str)


def test_a_crashed_sandbox_is_an_error_that_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    part = {"name": "etcd", "pid": 7, "alive": False, "log": "etcd.log"}
    crashed = {"up": False, "crashed": True, "owner": 6, "access": {}, "processes": [part]}
    monkeypatch.setattr(owner, "describe", lambda layout: crashed)
    assert run(monkeypatch, "sandbox", "status", "--name", "mine") == 1
    shown = capsys.readouterr()
    assert "DEAD" in shown.out
    assert "sluice sandbox up --name mine" in shown.err


def test_the_kubeconfigs_line_can_be_pasted_into_a_shell(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox.shutil, "which", lambda name: f"/usr/bin/{name}")
    sandbox._announce({"kubeconfig": "/my models/.sandbox/default/kubeconfig"})
    assert capsys.readouterr().out == (
        "export KUBECONFIG='/my models/.sandbox/default/kubeconfig'\n"
    )
