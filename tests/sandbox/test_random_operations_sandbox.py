"""Anything people and machines do, in any order: it ends well, and nothing is forgotten.

A life is a seed: so many operations with random pauses, then peace. `make test-random LIVES=20`
plays more of them than `make test` does; a failure names its seed.
"""

from __future__ import annotations

import contextlib
import os
import random
import threading
from collections.abc import Callable
from typing import Any

import pytest
from trial import CANARY, NAMESPACE, Trial, poll, sluice

from sluice.api.rollout import parse_rollout
from sluice.api.status import Phase, RolloutStatus
from sluice.clock import SystemClock
from sluice.errors import SandboxError
from sluice.kube.reflector import Reflector
from sluice.loops.reconcile import desired_of
from sluice.resources import MODEL_ROLLOUTS

Start = Callable[[str], Trial]
LIVES = int(os.environ.get("SLUICE_RANDOM_LIVES", "1"))
FIRST_SEED = int(os.environ.get("SLUICE_RANDOM_SEED", "1"))
OPERATIONS = 12
BAD = "faulty"
VARIANTS = ("stable", "better", "better-two", BAD, "slow", "crashing")
COMMANDS = (
    ["promote"], ["promote", "--full"], ["pause"], ["resume"], ["abort"], ["retry"], ["undo"],
    ["restart"],
)  # fmt: skip
SHADOW = {"percent": 100, "hold": "1s"}
OWN = {key: CANARY[key] for key in ("warmup", "risk", "onUndecided", "checks")}
STRATEGIES: tuple[dict[str, Any], ...] = (
    {"canary": CANARY},
    {"canary": {**CANARY, "bakeHoldback": 0}},
    {"canary": {**CANARY, "shadow": SHADOW}},
    {"blueGreen": {**OWN, "bake": "3s", "shadow": SHADOW}},
)


def is_bad(images: list[str]) -> bool:
    return any(BAD in image for image in images)


class Chronicle:
    """Every rollout that was ever in progress, by when it started, and whose predictors are bad."""

    def __init__(self, rollout: Trial) -> None:
        self.started: dict[str, str] = {}
        self.bad: set[str] = set()
        self._stop = threading.Event()
        reflector = Reflector(
            rollout.client,
            MODEL_ROLLOUTS,
            self._note,
            clock=SystemClock(),
            rng=random.Random(1),
            namespace=NAMESPACE,
            field_selector=f"metadata.name={rollout.name}",
        )
        self._thread = reflector.start(self._stop)

    def _note(self, event: str, new: dict[str, Any] | None, old: dict[str, Any] | None) -> None:
        status = RolloutStatus.model_validate((new or {}).get("status") or {})
        candidate = status.candidate
        if candidate is not None and status.started_at is not None:
            self.started[status.started_at] = candidate.revision
            if is_bad(candidate.images):
                self.bad.add(candidate.predictor)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


class Life:
    """One rollout in the hands of chance."""

    def __init__(self, rollout: Trial, seed: int) -> None:
        self.rollout, self.cluster = rollout, rollout.cluster
        self.rng = random.Random(seed)
        self.done: list[str] = []
        self._pause = threading.Event()

    def operate(self) -> None:
        """One operation, and a while."""
        name, act = self.rng.choices(
            (
                ("push", self.push), ("command", self.command), ("kill", self.kill_controller),
                ("unready", self.unready), ("blind", self.blind), ("api", self.restart_api_server),
            ),
            weights=(8, 8, 2, 2, 2, 1),
        )[0]  # fmt: skip
        self.done.append(name)
        act()
        self._pause.wait(self.rng.uniform(0.2, 6.0))

    def push(self) -> None:
        variant, strategy = self.rng.choice(VARIANTS), self.rng.choice(STRATEGIES)
        self.done[-1] += f" {variant} {next(iter(strategy))}"
        self.rollout.change(
            variant, replicas=2, strategy=strategy, progressDeadlineSeconds=12,
            revisionHistoryLimit=50,
        )  # fmt: skip

    def command(self) -> None:
        words = self.rng.choice(COMMANDS)
        self.done[-1] = " ".join(words)
        said = sluice(self.cluster, words[0], self.rollout.name, *words[1:])
        assert said.returncode in (0, 4), (words, said.stdout, said.stderr)

    def kill_controller(self) -> None:
        self.cluster.stop_controller(crash=True)
        self._pause.wait(self.rng.uniform(0.0, 2.0))
        self.cluster.start_controller()

    def unready(self) -> None:
        stable = self.rollout.status().stable
        pods = self.rollout.pods(stable.predictor) if stable else []
        if len(pods) < 2:
            return
        name = str(pods[0]["metadata"]["name"])
        with contextlib.suppress(SandboxError):  # it may go meanwhile
            self.cluster.node.hold_unready(NAMESPACE, name)
            self._pause.wait(self.rng.uniform(0.5, 4.0))
            self.cluster.node.hold_unready(NAMESPACE, name, held=False)

    def blind(self) -> None:
        self.cluster.prometheus.stop()
        self._pause.wait(self.rng.uniform(0.5, 4.0))
        self.cluster.prometheus.start()

    def restart_api_server(self) -> None:
        self.cluster.control_plane.restart_api_server(crash=True)

    def settle(self) -> RolloutStatus:
        """Nobody does anything any more, but for ending a pause."""

        def peace(status: RolloutStatus) -> bool:
            if status.pause is not None:
                sluice(self.cluster, "resume", self.rollout.name)
            ready = status.condition("Ready")
            settled = status.phase is Phase.ROLLED_BACK or (
                status.phase is Phase.IDLE and ready is not None and ready.status == "True"
            )
            seen = status.observed_generation == self.rollout.object()["metadata"]["generation"]
            return settled and seen and status.freeze is None

        return self.rollout.until(peace, f"peace after {self.done}")


@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + LIVES))
def test_whatever_is_done_it_ends_well_and_is_written_down(start: Start, seed: int) -> None:
    rollout = start("life")
    rollout.create(replicas=2, revisionHistoryLimit=50)
    chronicle, life = Chronicle(rollout), Life(rollout, seed)
    for _ in range(OPERATIONS):
        life.operate()
    status = life.settle()
    stable = status.stable
    assert stable is not None, life.done
    wanted = desired_of(parse_rollout(rollout.object())).revision
    if status.phase is Phase.IDLE:
        assert stable.revision == wanted, life.done
    else:
        assert status.rejected is not None
        assert status.rejected.revision == wanted, life.done
    poll(lambda: rollout.predictors() == {stable.predictor: 100}, f"one predictor, {life.done}")
    poll(lambda: rollout.routes() == {stable.predictor: 100}, f"all traffic on it, {life.done}")

    def written() -> bool:
        kept = {(e.started_at, e.revision) for e in rollout.status().history}
        return set(chronicle.started.items()) <= kept

    poll(written, f"every rollout that began is in the history: {chronicle.started}, {life.done}")
    # A watch that was cut may not have seen a short one: the history has.
    bad = chronicle.bad | {e.predictor for e in rollout.status().history if is_bad(e.images)}
    failed = [s for s in rollout.stop_load() if s.failed and s.predictor not in bad]
    chronicle.stop()
    assert failed == [], life.done
