"""`sluice wait`, `set-image` and `diff` as processes, against a real API server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from tests.unit.cli.stage import Play, revision, rollout

from sluice.api.rollout import parse_rollout
from sluice.loops.reconcile import desired_of
from sluice.resources import MODEL_ROLLOUTS, SELDON_DEPLOYMENTS
from sluice.sandbox import objects
from sluice.sandbox.up import CRDS, shipped_manifests

if TYPE_CHECKING:
    from tests.api.conftest import Cluster

READ_RULES = [
    {
        "apiGroups": ["sluice.dev", "machinelearning.seldon.io", "networking.istio.io", "apps", ""],
        "resources": [
            "modelrollouts",
            "seldondeployments",
            "virtualservices",
            "deployments",
            "pods",
            "events",
        ],
        "verbs": ["get", "list", "watch"],
    }
]


@pytest.fixture
def served(cluster: Cluster) -> Cluster:
    """The run's cluster with the kinds of Sluice and Seldon."""
    return with_kinds(cluster)


@pytest.fixture
def play(served: Cluster, namespace: str) -> Play:
    """A rollout `iris`, whose statuses the engine writes when told to: no controller runs."""
    return begun(served, namespace)


def with_kinds(cluster: Cluster) -> Cluster:
    crds = [*objects.read_manifests(shipped_manifests() / "crds"), *objects.read_manifests(CRDS)]
    for crd in crds:
        objects.apply(cluster.client, crd)
    objects.await_established(cluster.client, [crd["metadata"]["name"] for crd in crds])
    return cluster


def begun(cluster: Cluster, namespace: str) -> Play:
    server: Any = SimpleNamespace(client=lambda: cluster.client)
    return Play.begun(server, namespace)


def start(
    cluster: Cluster, play: Play, *words: str, kubeconfig: Path | None = None
) -> subprocess.Popen[str]:
    argv = [sys.executable, "-u", "-m", "sluice.cli.main", *words, "-n", play.namespace]
    environment = os.environ | {"KUBECONFIG": str(kubeconfig or cluster.kubeconfig)}
    return subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    try:
        out, err = process.communicate(timeout=600)
    finally:
        process.kill()
    return process.returncode, out, err


def until_said(process: subprocess.Popen[str], word: str, told: list[str]) -> None:
    """Read the process' lines until one has the word."""
    assert process.stdout is not None
    deadline = time.monotonic() + 300
    for line in process.stdout:
        told.append(line)
        if word in line:
            return
        assert time.monotonic() < deadline, told
    raise AssertionError(f"it ended without saying {word}: {told}")


def containers(play: Play) -> dict[str, str]:
    [component] = play.object()["spec"]["template"]["spec"]["predictors"][0]["componentSpecs"]
    return {one["name"]: one["image"] for one in component["spec"]["containers"]}


def test_a_wait_outlives_a_crash_of_the_api_server_and_misses_nothing(
    own_cluster: Cluster,
) -> None:
    served = with_kinds(own_cluster)
    play = begun(served, served.new_namespace())
    play.push("repo/iris:2")
    process = start(served, play, "wait", "iris", "--timeout", "300s")
    told: list[str] = []
    try:
        until_said(process, "waiting for the controller to see generation 2", told)
        play.look()
        until_said(process, "Stepping", told)
        served.control_plane.restart_api_server(crash=True)
        play.promote()
    finally:
        code, out, err = ended(process)
    assert code == 0, (told, out, err)
    assert out.splitlines()[-1].endswith(f"revision {revision('repo/iris:2')} is promoted")


def test_a_wait_is_late_to_the_second_on_a_silent_watch(served: Cluster, play: Play) -> None:
    play.push("repo/iris:2")
    code, _, err = ended(start(served, play, "wait", "iris", "--timeout", "1s"))
    assert code == 5
    assert "has not looked at generation 2" in err


def test_two_that_set_images_at_once_both_get_theirs(served: Cluster, play: Play) -> None:
    obj = play.object()
    [component] = obj["spec"]["template"]["spec"]["predictors"][0]["componentSpecs"]
    component["spec"]["containers"].append({"name": "explainer", "image": "repo/x:1"})
    served.client.replace(MODEL_ROLLOUTS, obj)
    both = [
        start(served, play, "set-image", "iris", image)
        for image in ("classifier=repo/iris:2", "explainer=repo/x:2")
    ]
    assert [ended(process)[0] for process in both] == [0, 0]
    assert containers(play) == {"classifier": "repo/iris:2", "explainer": "repo/x:2"}


def test_set_image_wait_follows_the_generation_that_it_made(served: Cluster, play: Play) -> None:
    words = ("set-image", "iris", "repo/iris:2", "--source", "commit=ab12", "--wait")
    process = start(served, play, *words, "--timeout", "300s")
    told: list[str] = []
    try:
        until_said(process, "repo/iris:1 -> repo/iris:2", told)
        play.image, play.source = "repo/iris:2", {"commit": "ab12"}
        play.look()
        play.harm()
    finally:
        code, _, err = ended(process)
    assert code == 3
    assert "HarmDetected" in err
    code, out, _ = ended(start(served, play, "history", "iris", "-o", "json"))
    assert code == 0
    [entry] = json.loads(out)["entries"]
    assert (entry["number"], entry["source"]) == (1, {"commit": "ab12"})


def test_diff_needs_only_the_right_to_read(served: Cluster, play: Play, tmp_path: Path) -> None:
    created = play.object()
    desired = desired_of(parse_rollout(created))
    served.client.create(SELDON_DEPLOYMENTS, dict(desired.create), play.namespace)
    reader = served.user(play.namespace, rules=READ_RULES)
    code, out, err = ended(start(served, play, "diff", "iris", kubeconfig=reader))
    assert (code, out) == (0, ""), err
    path = tmp_path / "iris.yaml"
    body: dict[str, Any] = rollout(namespace=play.namespace)
    body["spec"]["template"]["spec"]["predictors"][0]["replicas"] = 3
    path.write_text(yaml.safe_dump(body))
    code, out, err = ended(start(served, play, "diff", "-f", str(path), kubeconfig=reader))
    assert code == 1, err
    assert "+    replicas: 3" in out
    assert "managedFields" not in out
    nobody = served.user(play.namespace, rules=[])
    code, out, err = ended(start(served, play, "diff", "iris", kubeconfig=nobody))
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def test_list_selects_as_the_server_does_and_w_follows_over_one_watch(
    served: Cluster, play: Play
) -> None:
    labels = {"metadata": {"labels": {"team": "search"}}}
    served.client.merge_patch(MODEL_ROLLOUTS, "iris", play.namespace, labels)
    served.client.create(MODEL_ROLLOUTS, rollout("tulip", namespace=play.namespace), play.namespace)
    code, out, _ = ended(start(served, play, "list", "-l", "team in (search,ads)"))
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == ["NAME", "iris"]
    process = start(served, play, "list", "-w", "-l", "team!=search")
    told: list[str] = []
    killer = threading.Timer(300, process.kill)
    killer.start()
    try:
        until_said(process, "tulip", told)
        served.client.delete(MODEL_ROLLOUTS, "tulip", play.namespace)
        until_said(process, "tulip deleted", told)
    finally:
        killer.cancel()
        process.kill()
        process.communicate()
    assert not any("iris" in line for line in told)
