"""The commands that docs/operate.md has for a bad day, as written there, by the real kubectl."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.api.crd_cases import rollout

from sluice.resources import MODEL_ROLLOUTS
from sluice.sandbox import objects, parts
from sluice.sandbox.up import shipped_manifests

if TYPE_CHECKING:
    from tests.api.conftest import Cluster

PAGE = shipped_manifests().parent / "docs" / "operate.md"
PHASES = {"one": "Idle", "two": "Stepping", "three": "RolledBack"}


def script(name: str) -> str:
    found = re.search(rf"<!-- tested: {name} -->\n```\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None, f"docs/operate.md has no block marked `tested: {name}`"
    return found.group(1)


def run(cluster: Cluster, name: str, directory: Path) -> None:
    kubectl = parts.ensure("kubectl")
    env = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig)}
    env["PATH"] = f"{kubectl.parent}:{env['PATH']}"
    argv = ["bash", "-eu", "-o", "pipefail", "-c", script(name)]
    done = subprocess.run(argv, env=env, cwd=directory, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def three(own_cluster: Cluster) -> Cluster:
    """Rollouts in two namespaces: at rest, in mid-rollout, and rolled back."""
    crds = objects.read_manifests(shipped_manifests() / "crds")
    for crd in crds:
        objects.apply(own_cluster.client, crd)
    objects.await_established(own_cluster.client, [crd["metadata"]["name"] for crd in crds])
    for namespace in ("prod", "stage"):
        objects.apply(
            own_cluster.client,
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
        )
    for name, phase in PHASES.items():
        where = namespace_of(name)
        own_cluster.client.create(MODEL_ROLLOUTS, rollout(name), where)
        stable = {"revision": "aaaa", "predictor": "vaaaa", "images": [f"{name}:good"]}
        own_cluster.client.merge_patch(
            MODEL_ROLLOUTS,
            name,
            where,
            {"status": {"phase": phase, "stable": stable}},
            subresource="status",
        )
    return own_cluster


def namespace_of(name: str) -> str:
    return "stage" if name == "one" else "prod"


def paused(cluster: Cluster) -> dict[str, bool]:
    found = cluster.client.list(MODEL_ROLLOUTS).items
    return {o["metadata"]["name"]: o["spec"].get("paused", False) for o in found}


def test_everything_is_paused_and_what_was_paused_before_stays_so(
    three: Cluster, tmp_path: Path
) -> None:
    three.client.merge_patch(MODEL_ROLLOUTS, "two", "prod", {"spec": {"paused": True}})
    run(three, "pause", tmp_path)
    assert paused(three) == {"one": True, "two": True, "three": True}
    run(three, "resume", tmp_path)
    assert paused(three) == {"one": False, "two": True, "three": False}


def test_what_was_saved_can_be_restored_and_says_what_was_not_promoted(
    three: Cluster, tmp_path: Path
) -> None:
    run(three, "save", tmp_path)
    before = {o["metadata"]["name"]: o["spec"] for o in three.client.list(MODEL_ROLLOUTS).items}
    for name in PHASES:
        three.client.delete(MODEL_ROLLOUTS, name, namespace_of(name))
    assert three.client.list(MODEL_ROLLOUTS).items == []
    run(three, "restore", tmp_path)
    found = three.client.list(MODEL_ROLLOUTS).items
    assert {o["metadata"]["name"]: o["spec"] for o in found} == before
    assert [o for o in found if o.get("status")] == []
    assert set((tmp_path / "not-promoted.txt").read_text().splitlines()) == {
        "prod/two Stepping, stable: two:good",
        "prod/three RolledBack, stable: three:good",
    }
