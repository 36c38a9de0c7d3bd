"""`sluice demo --only drift`: traffic drifts, a real Job retrains, the new version is promoted.

Everything between is what a cluster would do: the model kit in the model server, Prometheus, the
controller, the Job controller of the real kube-controller-manager, and the canary of the new
version. What stands for something else: folders for images in a registry, and a file that the demo
writes for the store of labelled requests that training reads.
"""

from __future__ import annotations

import csv
import json
import random
import re
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from sluice.api.monitoring_status import RetrainingState
from sluice.api.status import RolloutStatus
from sluice.errors import SandboxError
from sluice.report import page as html
from sluice.report.monitoring import monitored
from sluice.report.plots import Line, Panel, check_color, stack
from sluice.resources import CRON_JOBS, JOBS, MODEL_ROLLOUTS
from sluice.sandbox import objects
from sluice.sandbox.demo import play, training
from sluice.sandbox.demo.requests import Shots
from sluice.sandbox.demo.scenarios import NAME, NAMESPACE, rollout
from sluice.sandbox.layout import Layout
from sluice.sandbox.load import labelled
from sluice.sandbox.up import Options, Sandbox, shipped_manifests

FIRST = "1"
LONGER_PETALS = 1.0  # cm
CONTROLLER_ARGS = (*play.CONTROLLER_ARGS, "--monitoring-interval=2")
COLUMNS = ("sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)")
MONITORING: dict[str, Any] = {
    "drift": {"learning": "40s", "features": list(COLUMNS)},
    "onDrift": {"job": {"cronJob": "retrain-iris"}},
    "cooldown": "1h",
}
_FLOWERS = 4000
_DEADLINE = 600.0
_LOOK_SECONDS = 0.5
_RATIO = re.compile(r'^sluice_feature_distance_ratio\{.*feature="([^"]*)".*\} (\S+)', re.MULTILINE)

Say = Callable[[str], None]


class Pause(Protocol):
    """Waits so many seconds; raises KeyboardInterrupt when the demo is to end."""

    def __call__(self, seconds: float, /) -> None: ...


@dataclass
class Story:
    """What happened: moments by name (Unix seconds), distances over thresholds by feature."""

    began: float = field(default_factory=time.time)
    moments: dict[str, float] = field(default_factory=dict)
    distances: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    drifted: RolloutStatus | None = None
    ended: RolloutStatus | None = None

    @property
    def right(self) -> bool:
        """The loop was closed."""
        return "as in training again" in self.moments

    def to_dict(self) -> dict[str, Any]:
        """For drift.json: seconds since the beginning."""
        drifted = self.drifted.monitoring if self.drifted else None
        ended = self.ended.monitoring if self.ended else None
        return {
            "closed": self.right,
            "moments": {name: round(at - self.began, 1) for name, at in self.moments.items()},
            "drifted": [row.to_dict() for row in drifted.features if row.drifted]
            if drifted
            else [],
            "retrainings": [one.to_dict() for one in ended.retrainings] if ended else [],
        }


def options(layout: Layout) -> Options:
    """A sandbox in which Jobs run, and versions come out of a directory."""
    registry = registry_of(layout)
    return Options(
        scrape_seconds=1.0,
        controller_args=CONTROLLER_ARGS,
        extra_controllers=("job-controller",),
        images={
            training.TRAINING_IMAGE: lambda _image: training.command(),
            f"{training.MODEL_IMAGE}:": partial(training.resolver, registry),
        },
    )


def registry_of(layout: Layout) -> Path:
    """Where versions are: a folder each."""
    return layout.root / "registry"


def write_flowers(path: Path, petals: float, seed: int) -> None:
    """Flowers with their species, as a store of labelled requests would have them."""
    rng = random.Random(seed)  # noqa: S311 - test data
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow([*COLUMNS, "species"])
        for _ in range(_FLOWERS):
            measures, species = labelled(rng, petals)
            lines.writerow([*measures, species])


def cron_job(sandbox: Sandbox) -> dict[str, Any]:
    """The suspended CronJob whose template a retraining is started from."""
    layout = sandbox.layout
    args = [
        f"--data={layout.root / 'fresh.csv'}",
        f"--registry={registry_of(layout)}",
        f"--kubeconfig={sandbox.kubeconfig('sluice-operator')}",
    ]
    container = {"name": "train", "image": training.TRAINING_IMAGE, "args": args}
    pod = {"restartPolicy": "Never", "containers": [container]}
    return {
        "apiVersion": CRON_JOBS.api_version,
        "kind": CRON_JOBS.kind,
        "metadata": {"name": "retrain-iris", "namespace": NAMESPACE},
        "spec": {
            "schedule": "0 3 * * 0",
            "suspend": True,
            "jobTemplate": {"spec": {"backoffLimit": 1, "template": {"spec": pod}}},
        },
    }


def manifest() -> dict[str, Any]:
    """The ModelRollout with the first version, monitored."""
    obj = rollout("stable", replicas=1)
    [predictor] = obj["spec"]["template"]["spec"]["predictors"]
    [component] = predictor["componentSpecs"]
    component["spec"]["containers"][0]["image"] = f"{training.MODEL_IMAGE}:{FIRST}"
    obj["spec"]["monitoring"] = MONITORING
    obj["spec"]["source"] = {"retraining": FIRST}
    return obj


class Closing:
    """Plays it on a sandbox that is up; `story` has what happened so far."""

    def __init__(self, sandbox: Sandbox, say: Say, pause: Pause, rate: float = play.RATE) -> None:
        self.story = Story()
        self._sandbox = sandbox
        self._say = say
        self._pause = pause
        self._rate = rate
        self._shots = Shots(sandbox.layout.root / "requests.jsonl")

    def play(self) -> Story:
        """All of it. Raises SandboxError where a moment does not come in time."""
        client, layout = self._sandbox.client, self._sandbox.layout
        for policy in objects.read_manifests(shipped_manifests().parent / "canary_policies"):
            objects.apply(client, policy)
        self._say("training version 1 on the flowers of today")
        write_flowers(layout.root / "first.csv", 0.0, seed=1)
        training.train(layout.root / "first.csv", registry_of(layout), FIRST)
        client.create(CRON_JOBS, cron_job(self._sandbox), NAMESPACE)
        client.create(MODEL_ROLLOUTS, manifest(), NAMESPACE)
        self._until("the first version serves", lambda s: _said(s, "Ready") == "True")
        self._load(0.0)
        self._until("as in training", lambda s: _said(s, "Drifted") == "False")
        self._say(f"from now on petals are {LONGER_PETALS:g} cm longer")
        write_flowers(layout.root / "fresh.csv", LONGER_PETALS, seed=2)
        self._load(LONGER_PETALS)
        self.story.moments["traffic shifts"] = time.time()
        self.story.drifted = self._until("Drifted", lambda s: _said(s, "Drifted") == "True")
        self._until("the Job runs", lambda s: bool(_retrained(s)))
        self._until("the Job is complete", lambda s: _retrained(s) is RetrainingState.SUCCEEDED)
        self._until("the new version is promoted", _promoted)
        self.story.ended = self._until("as in training again", _fits)
        return self.story

    def jobs(self) -> list[dict[str, Any]]:
        """The Jobs there are."""
        return list(self._sandbox.client.list(JOBS, NAMESPACE).items)

    def _load(self, petals: float) -> None:
        supervisor = self._sandbox.supervisor
        supervisor.stop("load", grace=6.0)
        play.start_load_to(self._sandbox, self._shots, self._rate, f"--petals={petals}")

    def _until(self, moment: str, come: Callable[[RolloutStatus], bool]) -> RolloutStatus:
        deadline = time.monotonic() + _DEADLINE
        last = ""
        while True:
            obj = self._sandbox.client.get(MODEL_ROLLOUTS, NAME, NAMESPACE)
            status = RolloutStatus.model_validate(obj.get("status") or {})
            self._measure()
            if (line := _line(status)) != last:
                last = line
                self._say(line)
            if come(status):
                self.story.moments[moment] = time.time()
                self._say(f"*** {moment}")
                return status
            if time.monotonic() > deadline:
                raise SandboxError(
                    f"{moment}: not within {_DEADLINE:.0f}s ({line}); look at "
                    f"{self._sandbox.layout.logs}"
                )
            self._pause(_LOOK_SECONDS)

    def _measure(self) -> None:
        url = f"{self._sandbox.controller_url()}/metrics"
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - loopback
                text = answer.read().decode()
        except OSError:
            return
        for feature, value in _RATIO.findall(text):
            point = (time.time() - self.story.began, float(value))
            self.story.distances.setdefault(feature, []).append(point)


def write(directory: Path, story: Story) -> Path:
    """drift.json and report.html; the latter's path."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "drift.json").write_text(json.dumps(story.to_dict(), indent=2) + "\n")
    lines = [
        Line([at for at, _ in points], [ratio for _, ratio in points], name, check_color(index))
        for index, (name, points) in enumerate(sorted(story.distances.items()))
    ]
    marks = [(at - story.began, name) for name, at in story.moments.items()]
    parts = [
        html.paragraph(
            "The petals of the flowers that are asked about grow: the first version was not "
            "trained on such. A Job retrains, its version goes through the canary, and what is "
            "asked is as in the new training."
        ),
        html.table(["Moment", "Seconds"], [[name, f"{seconds:.1f}"] for seconds, name in marks]),
    ]
    if lines:
        panel = Panel("Distance from training, in thresholds", "", lines, {"threshold": 1.0})
        parts.append(stack([panel], marks))
    for title, status in (("When it had drifted", story.drifted), ("At the end", story.ended)):
        if status is not None:
            parts += [html.heading(title), *monitored(status)]
    path = directory / "report.html"
    path.write_text(html.page("Sluice demo: drift", parts))
    return path


def _said(status: RolloutStatus, kind: str) -> str:
    condition = status.condition(kind)
    return condition.status if condition else ""


def _retrained(status: RolloutStatus) -> RetrainingState | None:
    """The state of the last retraining, once it has begun."""
    entries = status.monitoring.retrainings if status.monitoring else []
    begun = [one.state for one in entries if one.state is not RetrainingState.PENDING]
    if RetrainingState.FAILED in begun:
        raise SandboxError(f"the retraining failed: {entries[0].message}")
    return begun[0] if begun else None


def _promoted(status: RolloutStatus) -> bool:
    if status.history and status.history[0].outcome == "RolledBack":
        raise SandboxError(f"the new version was rolled back: {status.history[0].message}")
    return bool(status.history) and not status.phase.active


def _fits(status: RolloutStatus) -> bool:
    found, stable = status.monitoring, status.stable
    current = found is not None and stable is not None and found.revision == stable.revision
    return current and _said(status, "Drifted") == "False"


def _line(status: RolloutStatus) -> str:
    condition = status.condition("Drifted")
    told = f"Drifted {condition.status} ({condition.reason})" if condition else "not watched yet"
    entries = status.monitoring.retrainings if status.monitoring else []
    more = f", retraining {entries[0].state.value}" if entries else ""
    weight = f" {status.step.weight}%" if status.step else ""
    return f"{status.phase.value}{weight}: {told}{more}"
