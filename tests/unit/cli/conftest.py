"""The command line against an API server in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sluice.kube.client import Client

from . import stage


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> stage.ScriptedKube:
    """The API server that every command connects to, whatever kubeconfig it is given."""
    kube = stage.ScriptedKube()

    def connect(**_: Any) -> Client:
        return kube.client(namespace="prod")

    monkeypatch.setattr(Client, "connect", connect)
    return kube


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> stage.StageClock:
    """The time as every command sees it."""
    clock = stage.StageClock()
    for module in ("wait", "following", "live_status", "live_list", "rollouts", "history"):
        monkeypatch.setattr(f"sluice.cli.{module}.SystemClock", lambda: clock)
    return clock


@pytest.fixture
def play(scripted: stage.ScriptedKube, clock: stage.StageClock) -> stage.Play:
    """prod/iris with its first revision serving."""
    return stage.Play.begun(scripted)


@pytest.fixture
def sluice(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Runs the command; returns its exit code."""
    return lambda *words, **more: stage.run(monkeypatch, *words, **more)
