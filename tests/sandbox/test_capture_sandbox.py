"""What users send to the stable is what its next version is asked, and costs them nothing."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from trial import NAMESPACE, Trial, poll

from sluice.api.preflight import PreflightState
from sluice.api.status import Phase
from sluice.compare.lines import content_of, requests_in
from sluice.errors import NotFoundError
from sluice.resources import CONFIG_MAPS
from sluice.sandbox.ports import free_port
from sluice.sandbox.up import Sandbox

Start = Callable[[str], Trial]
KEY = "requests.jsonl.gz"
NAME = "captured"
WANTED = 200
# Not 127.0.0.1: that is a pod's own address, as in a cluster.
HOST = "127.0.0.9"


@pytest.fixture
def config_map(cluster: Sandbox) -> Iterator[Callable[[], dict[str, Any]]]:
    """An empty ConfigMap, gone after the test; called, it is what is there now."""
    cluster.client.create(CONFIG_MAPS, {"metadata": {"name": NAME}}, NAMESPACE)
    yield lambda: cluster.client.get(CONFIG_MAPS, NAME, NAMESPACE)
    with contextlib.suppress(NotFoundError):
        cluster.client.delete(CONFIG_MAPS, NAME, NAMESPACE)


def logging(rollout: Trial, variant: str, port: int) -> dict[str, Any]:
    """The template of a variant whose node logs what it is asked."""
    template: dict[str, Any] = rollout.manifest(variant)["spec"]["template"]
    sink = {"mode": "request", "url": f"http://{HOST}:{port}"}
    template["spec"]["predictors"][0]["graph"]["logger"] = sink
    return template


@contextlib.contextmanager
def capturing(cluster: Sandbox, deployment: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """`sluice capture` in a process of its own, which ends by itself when it has enough."""
    words = ["capture", "-d", deployment, "-n", NAMESPACE, "--config-map", NAME]
    words += ["--listen", f"{HOST}:{port}", "--until", str(WANTED), "--every", "1s"]
    words += ["--kubeconfig", str(cluster.layout.kubeconfig)]
    process = subprocess.Popen([sys.executable, "-m", "sluice.cli.main", *words])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_the_stables_own_requests_take_a_wrong_candidate_out(
    cluster: Sandbox, start: Start, config_map: Callable[[], dict[str, Any]]
) -> None:
    port = free_port()
    rollout = start("capture")
    # Nobody listens there yet: requests are answered all the same.
    rollout.create(template=logging(rollout, "stable", port), rate=100)
    before = rollout.until_phase(Phase.IDLE)
    assert before.stable is not None
    poll(lambda: len(rollout.answered()) > 50, "requests are answered without a sink")

    with capturing(cluster, rollout.name, port) as process:
        assert process.wait(timeout=60) == 0, "it ends when it has seen enough"
    held = config_map()
    about = {
        name.removeprefix("sluice.dev/captured-"): text
        for name, text in held["metadata"]["annotations"].items()
    }
    assert about["deployment"] == rollout.name
    assert int(about["seen"]) >= WANTED
    kept = list(requests_in(content_of(held, KEY)))
    assert len(kept) == int(about["kept"]) >= WANTED
    answered = len(rollout.answered())
    poll(lambda: len(rollout.answered()) > answered + 50, "requests go on without the sink")

    asked = {"requests": {"configMap": {"name": NAME, "key": KEY}}}
    rollout.change("shuffled", template=logging(rollout, "shuffled", port), preflight=asked)
    candidate = rollout.until_candidate()
    status = rollout.until_ended("RolledBack")
    entry = status.history[0]
    assert (entry.reason, entry.revision) == ("PreflightFailed", candidate.revision)
    assert entry.preflight is not None
    assert entry.preflight.state is PreflightState.FAILED
    assert entry.preflight.requests == len(kept)
    assert rollout.failures() == []
    assert rollout.answered(candidate.predictor) == [], "no user met it"
