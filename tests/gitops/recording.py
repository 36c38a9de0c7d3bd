"""Records what the controller writes in every phase: `make statuses` renews gitops/statuses.

The loops, the engine and the writer are the real ones, over an API server and a Prometheus in
memory and a clock that is set by hand: the same bytes each time.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from sluice.api.rollout import COMMAND_ANNOTATION
from sluice.api.status import Phase
from sluice.engine.commands import Command, Request
from sluice.errors import ConflictError
from sluice.resources import DEPLOYMENTS, MODEL_ROLLOUTS
from tests.unit.loops.small_loop import CANARY, KEY, SmallLoop

Object = dict[str, Any]
DIRECTORY = Path(__file__).resolve().parents[2] / "gitops" / "statuses"
UID = "00000000-0000-4000-8000-000000000001"
COMMON = {key: CANARY[key] for key in ("bake", "warmup", "checks")}
SHADOW = {"percent": 100, "hold": "20s"}
HOOK = {"name": "load-test", "url": "https://ci.example.com/hooks/iris"}
FIRST, SECOND, THIRD = "registry.example/iris:1", "registry.example/iris:2", "repo/iris:3"


class Life(SmallLoop):
    """A rollout that can be stopped between two passes."""

    def look(self) -> None:
        """One pass; Seldon has not seen what it wrote."""
        try:
            self.reconciler.reconcile(KEY)
        except ConflictError:
            self.reconciler.reconcile(KEY)

    def until(self, reached: Callable[[Life], bool], *, longest: int = 400) -> Life:
        """Pass by pass, until it is so."""
        for turn in range(longest):
            if reached(self):
                return self
            if turn % 4 == 0:
                self.clock.advance(10)
                self.traffic()
                self.pulse.beat()
            self.look()
            if not reached(self):
                self.seldon()
        raise AssertionError(f"not reached: {self.status.phase}: {self.status.message}")

    def phase(self, phase: Phase) -> Life:
        """Until that phase."""
        return self.until(lambda life: life.status.phase is phase)

    def serving(self, **spec: Any) -> Life:
        """With a first version that serves."""
        self.apply(FIRST, **spec)
        self.settle()
        self.tick(2)
        return self

    def changed(self, image: str = SECOND, **spec: Any) -> Life:
        """With a new template, not yet looked at."""
        self.apply(image, **spec)
        return self

    def stepping(self, **spec: Any) -> Life:
        """With the second version at its first step, and something counted."""
        self.serving(**spec).changed(**spec).phase(Phase.STEPPING)
        self.tick()
        return self

    def command(self, command: Command) -> Life:
        """As the command line gives it, and the pass that answers it."""
        current = self.status.candidate or self.status.rejected
        request = Request("c1", command, current.revision if current else "")
        body = {"metadata": {"annotations": {COMMAND_ANNOTATION: request.to_annotation()}}}
        self.client.merge_patch(MODEL_ROLLOUTS, "iris", "prod", body)
        self.look()
        return self

    def object(self) -> Object:
        """The ModelRollout as it is."""
        return self.client.get(MODEL_ROLLOUTS, "iris", "prod")


def canary(**fields: Any) -> Object:
    """A strategy of that form."""
    return {"canary": {**CANARY, **fields}}


def _new() -> Life:
    return Life().changed(FIRST)


def _first_coming() -> Life:
    life = _new()
    life.look()
    return life


def _first_gated() -> Life:
    gates = {"promotedIn": [{"namespace": "stage", "name": "iris"}]}
    life = Life().changed(FIRST, gates=gates)
    life.look()
    return life


def _stable_unready() -> Life:
    life = Life().serving()
    [deployment] = life.client.list(DEPLOYMENTS).items
    deployment["status"] |= {"readyReplicas": 0, "availableReplicas": 0, "unavailableReplicas": 1}
    life.client.replace(DEPLOYMENTS, deployment, subresource="status")
    life.look()
    return life


def _preparing() -> Life:
    life = Life().serving().changed()
    life.look()
    return life


def _gate() -> Life:
    gates = {"promotedIn": [{"namespace": "stage", "name": "iris"}]}
    life = Life().serving().changed(gates=gates)
    life.look()
    return life


def _gate_promotion() -> Life:
    gates = {"webhooks": [{**HOOK, "at": "BeforePromotion"}]}
    life = Life().stepping(gates=gates)
    return life.until(lambda one: bool(one.status.step and one.status.step.gated))


def _paused_by_spec() -> Life:
    life = Life().stepping().changed(paused=True)
    life.look()
    return life


def _paused_by_step() -> Life:
    steps = [{"weight": 20, "pause": True}]
    strategy = canary(steps=steps)
    life = Life().stepping(strategy=strategy)
    return life.until(lambda one: one.status.pause is not None)


def _undecided() -> Life:
    strategy = canary(onUndecided={"after": "1m", "action": "Pause"})
    life = Life().stepping(strategy=strategy)
    life.requests = 2
    return life.until(lambda one: one.status.pause is not None)


def _metrics_away() -> Life:
    life = Life().stepping()
    life.prometheus.down = True
    life.tick(3)
    return life


def _previewing() -> Life:
    strategy = {"blueGreen": {**COMMON, "autoSwitch": False}}
    return Life().serving(strategy=strategy).changed(strategy=strategy).phase(Phase.PREVIEWING)


def _shadowing() -> Life:
    strategy = canary(shadow=SHADOW)
    return Life().serving(strategy=strategy).changed(strategy=strategy).phase(Phase.SHADOWING)


def _harmed() -> Life:
    life = Life().stepping()
    life.failing.add(life.candidate())
    return life


def _superseded() -> Life:
    life = Life().stepping().changed(THIRD)
    return life.phase(Phase.ROLLING_BACK)


def _fixed_after_rollback() -> Life:
    return _harmed().phase(Phase.ROLLED_BACK).changed(THIRD)


def _reverted_after_rollback() -> Life:
    life = _harmed().phase(Phase.ROLLED_BACK).changed(FIRST)
    life.settle()
    return life


def _given_up() -> Life:
    return _gate().command(Command.ABORT)


def _stalled_policy() -> Life:
    life = Life().serving().changed(policyRef={"name": "nobody"})
    life.look()
    return life


def _stalled_spec() -> Life:
    life = Life().serving()
    obj = life.object()
    obj["spec"]["template"]["spec"]["predictors"][0]["traffic"] = 50
    life.client.replace(MODEL_ROLLOUTS, obj)
    life.look()
    return life


def _deleting() -> Life:
    life = Life().serving()
    obj = life.object()
    obj["metadata"]["finalizers"] = ["example.com/slow"]
    life.client.replace(MODEL_ROLLOUTS, obj)
    life.client.delete(MODEL_ROLLOUTS, "iris", "prod")
    return life


LIVES: dict[str, Callable[[], Life]] = {
    "new": _new,
    "first-coming": _first_coming,
    "first-waiting-for-a-gate": _first_gated,
    "idle": lambda: Life().serving(),
    "stable-not-ready": _stable_unready,
    "changed": lambda: Life().serving().changed(),
    "waiting-for-a-gate": _gate,
    "preparing": _preparing,
    "shadowing": _shadowing,
    "previewing": _previewing,
    "stepping": lambda: Life().stepping(),
    "metrics-away": _metrics_away,
    "paused-by-command": lambda: Life().stepping().command(Command.PAUSE),
    "paused-by-spec": _paused_by_spec,
    "paused-by-a-step": _paused_by_step,
    "waiting-before-promotion": _gate_promotion,
    "undecided": _undecided,
    "promoting": lambda: Life().stepping().phase(Phase.PROMOTING),
    "baking": lambda: Life().stepping().phase(Phase.BAKING),
    "promoted": lambda: Life().stepping().phase(Phase.BAKING).phase(Phase.IDLE),
    "rolling-back": lambda: _harmed().phase(Phase.ROLLING_BACK),
    "rolled-back": lambda: _harmed().phase(Phase.ROLLED_BACK),
    "superseded": _superseded,
    "given-up-at-a-gate": _given_up,
    "changed-after-a-rollback": _fixed_after_rollback,
    "reverted-after-a-rollback": _reverted_after_rollback,
    "stalled-by-its-policy": _stalled_policy,
    "stalled-by-its-spec": _stalled_spec,
    "deleting": _deleting,
}


def recorded(name: str) -> Object:
    """The object of that moment, as the API server has it, with fixed random names."""
    obj = LIVES[name]().object()
    for gate in (obj.get("status") or {}).get("gates") or ():
        if "question" in gate:
            gate["question"] = "0" * 16
    found: Object = json.loads(json.dumps(obj).replace(obj["metadata"]["uid"], UID))
    return found


def text_of(obj: Object) -> str:
    """As it is stored."""
    return yaml.safe_dump(obj, sort_keys=True, width=100)


def main(directory: Path) -> None:
    """Write them all, and nothing else."""
    directory.mkdir(parents=True, exist_ok=True)
    for old in directory.glob("*.yaml"):
        old.unlink()
    for name in LIVES:
        (directory / f"{name}.yaml").write_text(text_of(recorded(name)))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else DIRECTORY)
