"""A real API server, a repository, and somebody who applies what is pushed to it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from sluice.errors import ConflictError
from sluice.resources import MODEL_ROLLOUTS
from sluice.sandbox import objects, parts
from sluice.sandbox.up import CRDS, shipped_manifests
from tests.api.conftest import Cluster, running
from tests.unit.cli.stage import Play, rollout

_LOOK_SECONDS = 0.05
OLD, NEW = "registry.example/iris:1", "registry.example/iris:2"
Outcome = Callable[[Play], object]


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The run's API server, with the kinds of Sluice and Seldon."""
    for cluster in running(tmp_path_factory.mktemp("cluster")):
        crds = [*objects.read_manifests(shipped_manifests() / "crds")]
        crds += objects.read_manifests(CRDS)
        for crd in crds:
            objects.apply(cluster.client, crd)
        objects.await_established(cluster.client, [crd["metadata"]["name"] for crd in crds])
        yield cluster


class Project:
    """A team's repository and its rollout, without a controller: `ends` plays one."""

    def __init__(self, cluster: Cluster, root: Path) -> None:
        self.cluster = cluster
        self.namespace = cluster.new_namespace()
        server: Any = SimpleNamespace(client=lambda: cluster.client)
        self.play = Play.begun(server, self.namespace)
        self.checkout, self.remote = root / "checkout", root / "remote.git"
        self.programs = root / "bin"
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self.problems: list[BaseException] = []
        self.play.push(OLD)
        self.play.look()
        self.play.promote()
        self._make_repository()
        self._make_programs(root)

    def environment(self, **more: str) -> dict[str, str]:
        """What a runner gives to every script."""
        return {
            "PATH": f"{self.programs}:/usr/bin:/bin",
            "HOME": str(self.checkout.parent),
            "KUBECONFIG": str(self.cluster.kubeconfig),
            **more,
        }

    def ends(self, outcome: Outcome | None) -> None:
        """From now on each new template is rolled out so; None: it is never looked at."""
        begun = self.play.object()["metadata"]["generation"]  # before anybody can push

        def life() -> None:
            seen = begun
            while outcome is not None and not self._stop.wait(_LOOK_SECONDS):
                obj = self.play.object()
                if obj["metadata"]["generation"] != seen:
                    seen = obj["metadata"]["generation"]
                    self.play.image = image_of(obj)
                    self.play.look()
                    outcome(self.play)

        self._start(life)

    def syncs(self) -> None:
        """From now on what is pushed is applied, as Argo CD and Flux do."""
        begun = self._git("rev-parse", "main", cwd=self.remote)  # before anybody can push

        def sync() -> None:
            last = begun
            while not self._stop.wait(_LOOK_SECONDS):
                head = self._git("rev-parse", "main", cwd=self.remote)
                if head == last:
                    continue
                text = self._git("show", f"{head}:prod/iris.yaml", cwd=self.remote)
                obj = self.play.object()
                obj["spec"] = yaml.safe_load(text)["spec"]
                with contextlib.suppress(ConflictError):  # a status was written: once more
                    self.cluster.client.replace(MODEL_ROLLOUTS, obj)
                    last = head

        self._start(sync)

    def log(self) -> list[str]:
        """The subjects of the commits that were pushed, newest first."""
        return self._git("log", "--format=%s", "main", cwd=self.remote).splitlines()

    def close(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        assert self.problems == []

    def _start(self, target: Callable[[], None]) -> None:
        def guarded() -> None:
            try:
                target()
            except BaseException as error:
                self.problems.append(error)

        thread = threading.Thread(target=guarded, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _make_repository(self) -> None:
        (self.checkout / "prod").mkdir(parents=True)
        obj = rollout(image=OLD, namespace=self.namespace)
        text = yaml.safe_dump(obj, default_flow_style=None)
        (self.checkout / "prod" / "iris.yaml").write_text(text)
        self._git("init", "-q", "-b", "main", cwd=self.checkout)
        self._git("add", "-A", cwd=self.checkout)
        name = ("-c", "user.name=team", "-c", "user.email=team@example.com")
        self._git(*name, "commit", "-qm", "first", cwd=self.checkout)
        self._git("clone", "-q", "--bare", str(self.checkout), str(self.remote), cwd=self.checkout)
        self._git("remote", "add", "origin", str(self.remote), cwd=self.checkout)
        self._git("fetch", "-q", "origin", cwd=self.checkout)
        self._git("branch", "-q", "--set-upstream-to=origin/main", cwd=self.checkout)

    def _make_programs(self, root: Path) -> None:
        """What a runner has: sluice, kubectl, python3, and a pip that has nothing to install."""
        self.programs.mkdir()
        sluice = self.programs / "sluice"
        sluice.write_text(f'#!/bin/sh\nexec {sys.executable} -m sluice.cli.main "$@"\n')
        pip = self.programs / "pip"
        pip.write_text('#!/bin/sh\ntest "$1 $2" = "install --quiet" && test -n "$3"\n')
        for program in (sluice, pip):
            program.chmod(0o755)
        (self.programs / "kubectl").symlink_to(parts.ensure("kubectl"))
        (self.programs / "python3").symlink_to(sys.executable)

    def _git(self, *words: str, cwd: Path) -> str:
        env = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
        ended = subprocess.run(
            ["git", *words], cwd=cwd, env=env, capture_output=True, text=True, check=True
        )
        return ended.stdout.strip()


def image_of(obj: dict[str, Any]) -> str:
    """The one container's image."""
    [component] = obj["spec"]["template"]["spec"]["predictors"][0]["componentSpecs"]
    [container] = component["spec"]["containers"]
    return str(container["image"])


@pytest.fixture
def project(cluster: Cluster, tmp_path: Path) -> Iterator[Project]:
    """With the image OLD serving, and in git."""
    one = Project(cluster, tmp_path)
    yield one
    one.close()
