"""Completion scripts, what answers them, and `sluice version`."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from sluice._version import __version__
from sluice.resources import DEPLOYMENTS, MODEL_ROLLOUTS
from sluice.testing.kube import FakeResponse

from .stage import ScriptedKube, rollout

Sluice = Callable[..., int]
Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_calls_us_back_in_its_shells_way(
    shell: str, sluice: Sluice, capsys: Capture
) -> None:
    assert sluice("completion", shell) == 0
    assert f"_SLUICE_COMPLETE=complete_{shell}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("shell", "asked"),
    [
        ("bash", {"COMP_WORDS": "sluice status ir", "COMP_CWORD": "2"}),
        ("zsh", {"_TYPER_COMPLETE_ARGS": "sluice status ir"}),
        (
            "fish",
            {
                "_TYPER_COMPLETE_ARGS": "sluice status ir",
                "_TYPER_COMPLETE_FISH_ACTION": "get-args",
            },
        ),
    ],
)
def test_names_of_rollouts_answer_the_shell(
    shell: str,
    asked: dict[str, str],
    scripted: ScriptedKube,
    sluice: Sluice,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("iris", "tulip"):
        scripted.client().create(MODEL_ROLLOUTS, rollout(name), "prod")
    for key, value in {"_SLUICE_COMPLETE": f"complete_{shell}", **asked}.items():
        monkeypatch.setenv(key, value)
    sluice()
    said = capsys.readouterr().out
    assert "iris" in said
    assert "tulip" not in said


def test_version_shows_client_server_and_controller(
    scripted: ScriptedKube, sluice: Sluice, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = {
        "/version": {"gitVersion": "v1.35.0"},
        "/apis/sluice.dev/v1alpha1": {"resources": [{"name": "modelrollouts"}]},
    }
    plain = scripted.send

    def send(call):  # type: ignore[no-untyped-def]
        if call.path in answers:
            return FakeResponse(200, answers[call.path])
        return plain(call)

    monkeypatch.setattr(scripted, "send", send)
    body = {
        "metadata": {"name": "sluice", "labels": {"app.kubernetes.io/name": "sluice"}},
        "spec": {
            "template": {"spec": {"containers": [{"image": "reg:5000/sluice:0.3.0@sha256:1"}]}}
        },
        "status": {"readyReplicas": 2},
    }
    scripted.client().create(DEPLOYMENTS, body, "sluice-system")
    assert sluice("version", "-o", "json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["client"]["version"] == __version__
    assert found["server"] == {
        "url": "fake://kube",
        "version": "v1.35.0",
        "servesModelRollouts": True,
    }
    [controller] = found["controllers"]
    assert (controller["version"], controller["ready"]) == ("0.3.0", 2)
    assert sluice("version") == 0
    assert "controller 0.3.0 (sluice-system/sluice, 2 ready)" in capsys.readouterr().out


def test_an_unreachable_server_does_not_hide_the_clients_version(
    scripted: ScriptedKube, sluice: Sluice, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sluice("version", "--client") == 0
    assert capsys.readouterr().out == f"sluice {__version__}\n"
    assert scripted.calls == []
