"""`spec.preflight` on real parts: both revisions are asked, and users only meet what has passed."""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
from collections.abc import Callable, Iterator

import pytest
from trial import NAMESPACE, Trial, poll, sluice

from sluice.api.preflight import PreflightState
from sluice.api.status import Phase, RolloutStatus, Verdict
from sluice.errors import NotFoundError
from sluice.resources import CONFIG_MAPS
from sluice.sandbox.up import Sandbox

Start = Callable[[str], Trial]
FLOWERS = [[5.0, 3.4, 1.5, 0.2], [5.9, 2.8, 4.3, 1.3], [6.6, 3.0, 5.6, 2.0], [6.1, 2.9, 4.7, 1.4]]


class Held:
    """A ConfigMap with requests, which is gone after the test."""

    def __init__(self, cluster: Sandbox, name: str) -> None:
        self._client, self.name = cluster.client, name

    def make(self, rows: int, *, packed: bool = False, rare: int = 0) -> None:
        """All flowers in turn; with `rare` setosas, and a virginica in every `rare`-th row."""
        few = [FLOWERS[2], *[FLOWERS[0]] * (rare - 1)] if rare else FLOWERS
        lines = (json.dumps({"data": {"ndarray": [few[n % len(few)]]}}) for n in range(rows))
        text = "\n".join(lines) + "\n"
        content = {"data": {"requests.jsonl": text}}
        if packed:
            told = base64.b64encode(gzip.compress(text.encode())).decode()
            content = {"binaryData": {"requests.jsonl": told}}
        body = {"metadata": {"name": self.name}, **content}
        self._client.create(CONFIG_MAPS, body, NAMESPACE)

    def remove(self) -> None:
        with contextlib.suppress(NotFoundError):
            self._client.delete(CONFIG_MAPS, self.name, NAMESPACE)

    def asked(self, **more: object) -> dict[str, object]:
        return {"requests": {"configMap": {"name": self.name}}, **more}


@pytest.fixture
def held(cluster: Sandbox, request: pytest.FixtureRequest) -> Iterator[Held]:
    found = Held(cluster, f"requests-{abs(hash(request.node.name)) % 10**6}")
    yield found
    found.remove()


def restarted(rollout: Trial, **spec: object) -> None:
    """As `sluice restart`: another revision that answers as the stable does."""
    template = rollout.manifest("stable")["spec"]["template"]
    template["spec"]["predictors"][0]["annotations"] = {"sluice.dev/restartedAt": "now"}
    rollout.change("stable", template=template, **spec)


def is_in(*states: PreflightState) -> Callable[[RolloutStatus], bool]:
    return lambda s: s.preflight is not None and s.preflight.state in states


def test_a_wrong_but_fast_candidate_is_taken_out_before_any_user_met_it(
    start: Start, held: Held
) -> None:
    held.make(800)
    rollout = start("preflight-wrong")
    rollout.create()
    before = rollout.until_phase(Phase.IDLE)
    assert before.stable is not None
    rollout.change("shuffled", preflight=held.asked(examples=2))
    candidate = rollout.until_candidate()
    status = rollout.until_ended("RolledBack")
    entry = status.history[0]
    assert (entry.reason, entry.revision) == ("PreflightFailed", candidate.revision)
    assert entry.preflight is not None
    assert (entry.preflight.state, entry.preflight.verdict) == (PreflightState.FAILED, Verdict.HARM)
    became = {(one.stable, one.candidate): one.rows for one in entry.preflight.moved}
    assert became["virginica", "versicolor"] == 200
    assert len(entry.preflight.examples) == 2
    assert entry.checks == [], "no metric had a word in it"
    assert rollout.weights is not None
    assert rollout.weights.of(candidate.predictor) == [0]
    assert rollout.failures() == []
    assert rollout.answered(candidate.predictor) == []
    assert rollout.predictors() == {before.stable.predictor: 100}

    shown = sluice(rollout.cluster, "status", rollout.name)
    assert "PreflightFailed" in shown.stdout
    assert "Failed" in shown.stdout


def test_a_candidate_that_is_wrong_in_a_rare_class_alone_is_taken_out_by_that_class(
    start: Start, held: Held
) -> None:
    held.make(1000, rare=20)
    rollout = start("preflight-class")
    rollout.create(rate=0)
    asked = held.asked(agreement=0.9, perClass={"agreement": 0.9})
    rollout.change("shuffled", preflight=asked)
    status = rollout.until_ended("RolledBack")
    found = status.history[0].preflight
    assert found is not None
    assert {one.name: (one.verdict, one.counted) for one in found.checks} == {
        "schema": (Verdict.PASS, 1000),
        "agreement": (Verdict.PASS, 1000),
        "class setosa": (Verdict.PASS, 950),
        "class virginica": (Verdict.HARM, 50),
    }
    assert status.history[0].reason == "PreflightFailed"
    assert "class virginica: 0 of 50 rows agree" in status.history[0].message
    shown = sluice(rollout.cluster, "status", rollout.name)
    assert "class virginica" in shown.stdout


def test_a_better_candidate_passes_a_fitting_agreement_and_is_promoted(
    start: Start, held: Held
) -> None:
    held.make(800, packed=True)
    rollout = start("preflight-better")
    rollout.create()
    rollout.change("better", preflight=held.asked(agreement=0.5))
    status = rollout.until_ended("Promoted")
    entry = status.history[0]
    assert entry.reason == "AllChecksPassed"
    assert entry.preflight is not None
    assert entry.preflight.state is PreflightState.PASSED
    assert (entry.preflight.requests, entry.preflight.rows) == (800, 800)
    reasons = [trace.reason for trace in entry.decisions]
    assert reasons.index("PreflightPassed") < reasons.index("StepStarted")
    assert rollout.failures() == []


def test_a_missing_configmap_holds_the_rollout_and_it_goes_on_when_it_appears(
    start: Start, held: Held, cluster: Sandbox
) -> None:
    rollout = start("preflight-waits")
    rollout.create(rate=0)
    restarted(rollout, preflight=held.asked())
    status = rollout.until(is_in(PreflightState.BLOCKED), "it cannot be run")
    assert status.preflight is not None
    assert status.preflight.reason == "RequestsNotFound"
    assert held.name in status.message
    candidate = status.candidate
    assert candidate is not None
    assert (status.phase, rollout.routes().get(candidate.predictor, 0)) == (Phase.PREPARING, 0)

    # It survives the controller, and a pause: then nobody is asked, whatever appears.
    cluster.stop_controller()
    cluster.start_controller()
    assert sluice(cluster, "pause", rollout.name).returncode == 0
    held.make(400)
    rollout.until(lambda s: s.pause is not None, "it is paused")
    assert sluice(cluster, "resume", rollout.name).returncode == 0
    after = rollout.until(is_in(PreflightState.PASSED), "it was run")
    assert after.preflight is not None
    assert after.preflight.rows == 400
    rollout.until_phase(Phase.STEPPING)


def test_promote_passes_it_over_and_too_few_requests_wait_for_a_person(
    start: Start, held: Held, cluster: Sandbox
) -> None:
    held.make(40)
    rollout = start("preflight-few")
    rollout.create(rate=0)
    restarted(rollout, preflight=held.asked())
    status = rollout.until(lambda s: s.pause is not None, "a person is asked")
    assert status.pause is not None
    assert "it takes at least 368 rows" in status.pause.message
    assert sluice(cluster, "promote", rollout.name).returncode == 0
    stepping = rollout.until_phase(Phase.STEPPING)
    assert stepping.preflight is not None
    assert stepping.preflight.state is PreflightState.SKIPPED
    assert sluice(cluster, "abort", rollout.name).returncode == 0
    poll(lambda: not rollout.status().phase.active, "it is aborted")
    entry = rollout.status().history[0]
    assert entry.preflight is not None
    assert entry.preflight.state is PreflightState.SKIPPED
