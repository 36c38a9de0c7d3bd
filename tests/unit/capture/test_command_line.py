"""The whole command: what a person gives, and what is in the ConfigMap or the file after."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sluice.cli import capture as cli
from sluice.compare.lines import content_of, requests_in
from sluice.kube.client import Client
from sluice.loops import logs
from sluice.resources import CONFIG_MAPS
from sluice.sandbox.ports import free_port
from sluice.testing.clock import ManualClock
from sluice.testing.kube import FakeKube

from ..cli import stage
from .conftest import HEADERS, body

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def kube(monkeypatch: pytest.MonkeyPatch) -> FakeKube:
    kube = FakeKube()
    monkeypatch.setattr(Client, "connect", lambda **_: kube.client(namespace="prod"))
    return kube


@pytest.fixture
def sluice(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    # It is for a whole process, and would hold on to this test's standard error.
    monkeypatch.setattr(logs, "configure", lambda **_: None)
    return lambda *words: stage.run(monkeypatch, "capture", "-d", "iris", *words)


def send(port: int, count: int) -> None:
    """As an executor does, once somebody listens."""
    for number in range(count):
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            try:
                connection.request("POST", "/", body(number), HEADERS)
                assert connection.getresponse().status == 202
                break
            except ConnectionError:
                continue
            finally:
                connection.close()


def sending(port: int, count: int) -> threading.Thread:
    thread = threading.Thread(target=send, args=(port, count))
    thread.start()
    return thread


def test_a_configmap_has_what_a_preflight_reads(
    sluice: Callable[..., int], kube: FakeKube, capsys: Capture
) -> None:
    kube.client().create(CONFIG_MAPS, {"metadata": {"name": "r"}}, "prod")
    port = free_port()
    sender = sending(port, 20)
    listen = f"127.0.0.1:{port}"
    code = sluice("--config-map", "r", "--listen", listen, "--keep", "15", "--until", "20")
    sender.join()
    assert code == 0
    assert "20 requests seen; 15 of them in ConfigMap prod/r" in capsys.readouterr().out
    found = kube.client().get(CONFIG_MAPS, "r", "prod")
    lines = list(requests_in(content_of(found, "requests.jsonl.gz")))
    assert len(lines) == 15
    assert all(json.loads(line.body)["data"]["ndarray"][0][0] in range(20) for line in lines)


def test_sigterm_writes_the_last_sample(tmp_path: Path) -> None:
    path, port = tmp_path / "r.jsonl.gz", free_port()
    words = ["-o", str(path), "--listen", f"127.0.0.1:{port}", "--every", "1h", "--set", "who=0"]
    process = subprocess.Popen(
        [sys.executable, "-m", "sluice.cli.main", "capture", "-d", "iris", *words],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "KUBECONFIG": str(tmp_path / "none")},
    )
    try:
        send(port, 3)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("POST", "/", b'{"jsonData": {"who": "me", "b": 1}}', HEADERS)
        assert connection.getresponse().status == 202
        connection.close()
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
    # Three have no names: whether they have the column cannot be told.
    assert "1 request seen, 3 not_redacted" in out
    assert gzip.decompress(path.read_bytes()) == b'{"jsonData":{"who":0,"b":1}}\n'


def test_no_request_in_time_is_not_success(
    sluice: Callable[..., int], tmp_path: Path, capsys: Capture
) -> None:
    path = tmp_path / "r.jsonl"
    listen = f"127.0.0.1:{free_port()}"
    assert sluice("-o", str(path), "--listen", listen, "--for", "0.05") == 5
    said = capsys.readouterr()
    assert "0 requests seen" in said.out
    assert "graph.logger" in said.err
    assert not path.exists()


def test_too_few_in_time_leave_the_sample_that_is_there(
    sluice: Callable[..., int],
    tmp_path: Path,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path, port, clock = tmp_path / "r.jsonl", free_port(), ManualClock()
    path.write_text("mine\n")
    monkeypatch.setattr(cli, "SystemClock", lambda: clock)

    def users() -> None:
        send(port, 5)
        clock.advance(600)

    sender = threading.Thread(target=users)
    sender.start()
    words = ("-o", str(path), "--listen", f"127.0.0.1:{port}", "--for", "10m", "--at-least", "6")
    assert sluice(*words) == 5
    sender.join()
    said = capsys.readouterr()
    assert "5 requests seen; 5 kept, nothing written" in said.out
    assert "fewer than --at-least 6" in said.err
    assert path.read_text() == "mine\n"


def test_as_many_as_were_asked_for_are_enough(sluice: Callable[..., int], tmp_path: Path) -> None:
    path, port = tmp_path / "r.jsonl", free_port()
    path.write_text("mine\n")
    sender = sending(port, 5)
    assert sluice("-o", str(path), "--listen", f"127.0.0.1:{port}", "--until", "5") == 0
    sender.join()
    assert path.read_bytes().count(b"ndarray") == 5


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "--config-map NAME, or --output FILE"),
        (["--config-map", "r", "-o", "x.jsonl"], "either --config-map"),
        (["-o", "x.jsonl", "--every", "0"], "--every"),
        (["-o", "x.jsonl", "--every", "soon"], "soon"),
        (["-o", "x.jsonl", "--drop", ".a..b"], "column's name or a path"),
        (["-o", "x.jsonl", "--set", "age"], "--set age: expected FIELD=JSON"),
        (["-o", "x.jsonl", "--set", "name=x"], "--set name: expected FIELD=JSON"),
        (["-o", "x.jsonl", "--keep", "0"], "--keep"),
        (["-o", "x.jsonl", "--keep", "1000000"], "--keep"),
        (["-o", "x.jsonl", "--listen", "here"], "--listen here: expected HOST:PORT"),
        (["-o", "/no/such/folder/x.jsonl", "--listen", "127.0.0.1:0"], "folder"),
    ],
    ids=str,
)
def test_wrong_usage_ends_before_anything_is_taken(
    sluice: Callable[..., int], words: list[str], said: str, capsys: Capture
) -> None:
    assert sluice(*words) == 2
    assert said in capsys.readouterr().err


def test_a_value_that_is_wrong_is_not_shown(sluice: Callable[..., Any], capsys: Capture) -> None:
    assert sluice("-o", "x.jsonl", "--set", "name=secret") == 2
    assert "secret" not in capsys.readouterr().err


def test_a_right_that_is_missing_is_named(
    sluice: Callable[..., int], kube: FakeKube, capsys: Capture
) -> None:
    kube.client().create(CONFIG_MAPS, {"metadata": {"name": "r"}}, "prod")
    kube.fail_next("patch", "configmaps", status=403, reason="Forbidden")
    assert sluice("--config-map", "r", "--listen", "127.0.0.1:0") == 1
    assert "the verb patch on configmaps is missing" in capsys.readouterr().err
