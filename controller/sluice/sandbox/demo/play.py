"""Plays the scenarios one after the other on one sandbox."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sluice.api.status import Phase, RolloutStatus
from sluice.errors import ApiUnavailableError, ConflictError, SandboxError
from sluice.resources import EVENTS, MODEL_ROLLOUTS
from sluice.sandbox import objects
from sluice.sandbox.demo.requests import Shots
from sluice.sandbox.demo.scenarios import NAME, NAMESPACE, Scenario, rollout
from sluice.sandbox.demo.screen import Screen
from sluice.sandbox.demo.timeline import Run
from sluice.sandbox.up import Sandbox, shipped_manifests

RATE = 60.0
CONTROLLER_ARGS = ("--pulse=1", "--status-interval=1", "--settle=1")
_LOOK_SECONDS = 0.25
_OUTAGE_SECONDS = 15.0
_DEADLINE_SECONDS = 120.0
_STABLE_SECONDS = 90.0


@dataclass
class Stage:
    """What a play needs at hand."""

    sandbox: Sandbox
    screen: Screen
    shots: Shots
    stop: threading.Event
    rate: float = RATE


def prepare(stage: Stage) -> None:
    """Policy, the stable model, and the load. Raises SandboxError if the stable does not serve."""
    client = stage.sandbox.client
    policies = shipped_manifests().parent / "canary_policies"
    for policy in objects.read_manifests(policies):
        objects.apply(client, policy)
    stage.screen.say("creating ModelRollout prod/iris with the stable model")
    client.create(MODEL_ROLLOUTS, rollout("stable"), NAMESPACE)
    deadline = time.monotonic() + _STABLE_SECONDS
    while not _condition(_get(stage), "Ready"):
        _pause(stage)
        if time.monotonic() > deadline:
            raise SandboxError(
                f"the stable model did not become ready within {_STABLE_SECONDS:.0f}s; look at "
                f"{stage.sandbox.layout.logs}"
            )
        stage.screen.show(None, _get(stage), stage.shots.all)
    stage.screen.say(f"stable serves; {stage.rate:.0f} requests/s through Envoy from now on")
    start_load(stage)
    while len(stage.shots.all) < stage.rate:  # connections are warm before the first rollout
        _pause(stage)
        stage.shots.read()


def start_load(stage: Stage) -> None:
    """Steady requests to the rollout's path, as a process of the sandbox."""
    stage.shots.path.unlink(missing_ok=True)
    start_load_to(stage.sandbox, stage.shots, stage.rate)


def start_load_to(sandbox: Sandbox, shots: Shots, rate: float, *more: str) -> None:
    """The same, going on with the file; `more` are arguments of `sluice.sandbox.load`."""
    url = f"{sandbox.envoy.url}/seldon/{NAMESPACE}/{NAME}/api/v1.0/predictions"
    shots.path.parent.mkdir(parents=True, exist_ok=True)
    sandbox.supervisor.start(
        "load",
        [
            sys.executable,
            "-m",
            "sluice.sandbox.load",
            f"--url={url}",
            f"--rate={rate}",
            f"--out={shots.path}",
            *more,
        ],
    )


def play(stage: Stage, scenario: Scenario) -> Run:
    """One rollout from the change of the image to its end."""
    before = RolloutStatus.model_validate(_get(stage)["status"])
    run = Run(scenario, time.time(), before.stable.predictor if before.stable else "")
    stage.screen.say(f"--- {scenario.name}: {scenario.story}")
    _set_image(stage, scenario)
    generation = _get(stage)["metadata"]["generation"]
    seen: set[str] = {e["metadata"]["uid"] for e in _events(stage)}
    outage = _Outage(stage, run) if scenario.outage else None
    deadline = time.monotonic() + _DEADLINE_SECONDS
    try:
        while time.monotonic() < deadline and not stage.stop.is_set():
            obj = _get(stage)
            status = RolloutStatus.model_validate(obj.get("status") or {})
            now = time.time()
            if status.observed_generation == generation:
                run.look(now, status)
                _mark_phase(run, now, status)
            if outage:
                outage.step(now, status)
            _tell_events(stage, seen)
            stage.shots.read()
            stage.screen.show(run, obj, stage.shots.all)
            if status.observed_generation == generation and _ended(status, run):
                break
            _pause(stage)
    finally:
        if outage:
            outage.end()
    _finish(stage, run)
    return run


def _ended(status: RolloutStatus, run: Run) -> bool:
    started = any(s.phase == Phase.PREPARING.value for s in run.samples)
    return started and not status.phase.active


def _finish(stage: Stage, run: Run) -> None:
    run.ended = time.time()
    obj = _get(stage)
    status = RolloutStatus.model_validate(obj.get("status") or {})
    if status.history and not status.phase.active:
        last = status.history[0]
        run.outcome, run.reason, run.message = last.outcome, last.reason, last.message
    else:
        run.outcome, run.reason = "Unfinished", status.phase.value
        run.message = status.message
    time.sleep(0.5)  # answers under way at the end belong to this run
    stage.shots.read()
    right = "as expected" if run.right else "NOT AS EXPECTED"
    stage.screen.say(f"{run.scenario.name}: {run.outcome} ({run.reason}), {right}")
    stage.screen.show(run, obj, stage.shots.all)


class _Outage:
    """Stops Prometheus once the candidate is being judged, and starts it again after a while."""

    def __init__(self, stage: Stage, run: Run) -> None:
        self._stage = stage
        self._run = run
        self._began: float | None = None
        self._over = False

    def step(self, now: float, status: RolloutStatus) -> None:
        """Look whether it is time to stop or start Prometheus; note whether it held."""
        if self._began is None:
            if status.phase is Phase.STEPPING and status.checks:
                self._began = now
                self._run.marks.append((now, "Prometheus stopped"))
                self._stage.screen.say("stopping Prometheus: no metrics from now on")
                self._stage.sandbox.prometheus.stop()
        elif not self._over:
            condition = status.condition("MetricsAvailable")
            if status.phase is Phase.STEPPING and condition and condition.status == "False":
                self._run.held = True
            if now - self._began >= _OUTAGE_SECONDS:
                self.end()

    def end(self) -> None:
        """Prometheus back, whatever happened."""
        if self._began is not None and not self._over:
            self._over = True
            self._run.marks.append((time.time(), "Prometheus back"))
            self._stage.screen.say("starting Prometheus again")
            self._stage.sandbox.prometheus.start()


def _set_image(stage: Stage, scenario: Scenario) -> None:
    """As `kubectl apply` of a new image would."""
    wanted = rollout(scenario.variant, deadline_seconds=scenario.deadline_seconds)
    for _ in range(10):
        obj = _get(stage)
        obj["spec"] = wanted["spec"]
        try:
            stage.sandbox.client.replace(MODEL_ROLLOUTS, obj)
        except ConflictError:
            continue
        return
    raise SandboxError("could not change the ModelRollout: it was changed each time by another")


def _mark_phase(run: Run, now: float, status: RolloutStatus) -> None:
    phase = status.phase.value
    if phase == Phase.STEPPING.value and status.step:
        phase = f"{status.step.weight}%"
    if not run.marks or all(text != phase for _, text in run.marks):
        run.marks.append((now, phase))


def _tell_events(stage: Stage, seen: set[str]) -> None:
    for event in _events(stage):
        if event["metadata"]["uid"] not in seen:
            seen.add(event["metadata"]["uid"])
            stage.screen.say(f"{event['reason']}: {event['message']}")


def _events(stage: Stage) -> Sequence[dict[str, Any]]:
    with contextlib.suppress(ApiUnavailableError):
        found = stage.sandbox.client.list(
            EVENTS, NAMESPACE, field_selector="involvedObject.kind=ModelRollout"
        ).items
        return sorted(found, key=lambda e: int(e["metadata"]["resourceVersion"]))
    return []


def _condition(obj: dict[str, Any], kind: str) -> bool:
    condition = RolloutStatus.model_validate(obj.get("status") or {}).condition(kind)
    return condition is not None and condition.status == "True"


def _get(stage: Stage) -> dict[str, Any]:
    return stage.sandbox.client.get(MODEL_ROLLOUTS, NAME, NAMESPACE)


def _pause(stage: Stage) -> None:
    if stage.stop.wait(_LOOK_SECONDS):
        raise KeyboardInterrupt
