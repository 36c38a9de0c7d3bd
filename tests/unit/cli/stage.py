"""A rollout played by the real engine into an API server in memory, act by act, for the commands.

Every watch that a command opens runs the next act; what the act wrote is delivered, then the
server ends the watch, as a real one does in time. A command that waits for more than there are
acts fails the test instead of hanging it.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from sluice.api.status import CheckStatus, Verdict
from sluice.cli import main
from sluice.engine.inputs import Inputs
from sluice.resources import MODEL_ROLLOUTS
from sluice.seldon.revision import images_of, revision_of
from sluice.testing.clock import ManualClock
from sluice.testing.kube import FakeKube, FakeResponse, FakeWatch

from ..engine.small_cluster import SmallCluster

Object = dict[str, Any]
Act = Callable[[], object]


class ScriptedKube(FakeKube):
    """Runs an act for each watch."""

    def __init__(self) -> None:
        super().__init__()
        self.acts: list[Act] = []

    def _watch(self, target: Any, since: int) -> FakeResponse:
        if self.acts:
            self.acts.pop(0)()
            watch = super()._watch(target, since)
            if isinstance(watch, FakeWatch):
                watch.end()
            return watch
        watch = super()._watch(target, since)
        assert isinstance(watch, FakeWatch)
        watch._queue.put(AssertionError("the command waits for more than the script has"))
        return watch


class StageClock(ManualClock):
    """Whoever pauses on the command's own thread has the time pass at once."""

    def wait(self, event: threading.Event, seconds: float) -> bool:
        if threading.current_thread() is not threading.main_thread():
            return super().wait(event, seconds)
        self.advance(seconds)
        return event.is_set()


def template(image: str) -> Object:
    """A template with one model container."""
    container = {"name": "classifier", "image": image}
    return {
        "spec": {
            "predictors": [
                {
                    "graph": {"name": "classifier", "type": "MODEL"},
                    "replicas": 2,
                    "componentSpecs": [{"spec": {"containers": [container]}}],
                }
            ]
        }
    }


def rollout(
    name: str = "iris", image: str = "repo/iris:1", namespace: str = "prod", **spec: Any
) -> Object:
    """A ModelRollout as a person applies it."""
    return {
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "ModelRollout",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"template": template(image), **spec},
    }


def revision(image: str) -> str:
    """The revision of that image's template."""
    return revision_of(template(image)["spec"]["predictors"][0])


@dataclass
class Play(SmallCluster):
    """The engine's own statuses, written to the API server."""

    kube: FakeKube = field(default_factory=FakeKube)
    generation: int = 1
    image: str = "repo/iris:1"
    source: dict[str, str] = field(default_factory=dict)
    history_limit: int = 10
    namespace: str = "prod"

    @classmethod
    def begun(cls, kube: FakeKube, namespace: str = "prod") -> Play:
        """With the first revision serving."""
        kube.client().create(MODEL_ROLLOUTS, rollout(namespace=namespace), namespace)
        play = cls(kube=kube, template=revision("repo/iris:1"), namespace=namespace)
        play.run(4)
        play.publish()
        return play

    def inputs(self) -> Inputs:
        inputs = super().inputs()
        changes = {"source": self.source, "revision_history_limit": self.history_limit}
        spec = inputs.rollout.spec.model_copy(update=changes)
        mine = inputs.rollout.model_copy(update={"generation": self.generation, "spec": spec})
        images = images_of(template(self.image)["spec"]["predictors"][0])
        return replace(inputs, rollout=mine, desired=replace(inputs.desired, images=images))

    def object(self) -> Object:
        return self.kube.client().get(MODEL_ROLLOUTS, "iris", self.namespace)

    def push(self, image: str, **source: str) -> None:
        """Somebody changes the image; the controller has not looked yet."""
        obj = self.object()
        obj["spec"]["template"] = template(image)
        obj["spec"]["source"] = source
        self.kube.client().replace(MODEL_ROLLOUTS, obj)
        self.image, self.source = image, source

    def look(self) -> None:
        """The controller takes the newest template in and makes a pass."""
        self.generation = self.object()["metadata"]["generation"]
        self.template = revision(self.image)
        self.checks = ()
        self.play(3)

    def play(self, seconds: float) -> None:
        """Time passes; each state in between is written."""
        for _ in range(int(seconds)):
            self.run(1)
            self.publish()

    def publish(self) -> None:
        """Write the status as the controller does."""
        obj = self.object()
        obj["status"] = self.status.to_wire()
        self.kube.client().replace(MODEL_ROLLOUTS, obj, subresource="status")

    def promote(self) -> None:
        """Every check passes until the bake is over."""
        self.say(Verdict.PASS)
        self.play(75)

    def harm(self) -> None:
        """The candidate is shown to be bad, and taken out."""
        self.say(Verdict.HARM)
        self.play(10)

    def say(self, kind: Verdict, **more: Any) -> None:
        self.checks = (
            CheckStatus(
                name="errors",
                verdict=kind,
                reason="Test",
                message=f"numbers say {kind}",
                candidate=0.01,
                stable=0.005,
                evidence=0.4,
                needed=1.3,
                harm_evidence=-0.2,
                harm_needed=2.3,
                candidate_samples=more.get("samples", 120),
                stable_samples=480,
                requests_left=more.get("left", 66),
            ),
        )


def run(monkeypatch: pytest.MonkeyPatch, *words: str, program: str = "sluice") -> int:
    """The whole command as a shell runs it; returns the exit code."""
    monkeypatch.setattr(sys, "argv", [program, *words])
    with pytest.raises(SystemExit) as ended:
        main.main()
    code = ended.value.code
    return code if isinstance(code, int) else 0
