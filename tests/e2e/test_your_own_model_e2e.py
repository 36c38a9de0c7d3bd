"""The first rollout, and the installation without helm, as a new user who has only the docs.

Last of all, by the file's name: Sluice is taken out and installed anew, as the pages say.
"""

from __future__ import annotations

import json
import re
import shlex
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ground import REPOSITORY, SYSTEM, Ground, Journey
from trial import NAMESPACE, poll

from sluice.sandbox import parts

PAGE = REPOSITORY / "docs" / "first-rollout.md"
_BLOCK = re.compile(r"<!-- (run|file: \S+) -->\n```\w*\n(.*?)```", re.DOTALL)
_FENCE = re.compile(r"^(?:<!-- (.*?) -->\n)?```\w*\n(.*?)```$", re.DOTALL | re.MULTILINE)


def script_of(page: str) -> str:
    """All that the page has one write and run, in its order."""
    lines = ["set -euo pipefail", "trap 'kill $(jobs -p) 2> /dev/null || true' EXIT"]
    for kind, text in _BLOCK.findall(page):
        if kind == "run":
            lines.append(text)
        else:
            path = f"$HOME/{kind.removeprefix('file: ')}"
            lines.append(f'mkdir -p "$(dirname "{path}")"\ncat > "{path}" <<\'END\'\n{text}END\n')
    return "\n".join(lines)


def test_every_fence_of_the_page_is_run_but_the_reader_s_own_addresses() -> None:
    fences = re.findall(
        r"^(?:<!-- (.*?) -->\n)?```\w*\n(.*?)```$", PAGE.read_text(), re.DOTALL | re.M
    )
    unmarked = [text for mark, text in fences if not mark]
    assert len(unmarked) == 1
    assert all(line.startswith("export ") for line in unmarked[0].splitlines())
    assert len(_BLOCK.findall(PAGE.read_text())) == len(fences) - 1


def removal() -> list[str]:
    """The commands of docs/upgrade.md."""
    page = (REPOSITORY / "docs" / "upgrade.md").read_text()
    found = re.findall(
        r"^kubectl .*delete .*-l app\.kubernetes\.io/name=sluice$", page, re.MULTILINE
    )
    assert len(found) == 2
    return found


@pytest.fixture
def removed(cluster: Ground) -> Iterator[Ground]:
    """Without Sluice and its CRDs, as before a first installation; afterwards as others want it."""
    cluster.run("helm", "uninstall", "sluice", "--namespace", SYSTEM, "--wait")
    cluster.kubectl("delete", "--ignore-not-found", "-f", "manifests/crds/")
    yield cluster
    cluster.run("kubectl", "delete", "--ignore-not-found", "-f", "manifests/install.yaml")
    cluster.run("helm", "uninstall", "sluice", "--namespace", SYSTEM, "--wait")


@pytest.mark.own_cluster
def test_from_a_python_class_to_a_promoted_version_and_to_one_taken_back(
    removed: Ground, tmp_path: Path
) -> None:
    assert removed.own is not None
    access = removed.own.access()
    given = {
        "HOME": str(tmp_path),
        "REGISTRY": access["registry"],
        "CONTAINERS_REGISTRIES_CONF": access["registriesConf"],
        "GATEWAY": access["gateway"],
        "PROMETHEUS": "http://prometheus.monitoring:9090",
        # Of the machine, which a home of the test's own would hide.
        "SLUICE_CACHE": str(parts.cache_directory()),
    }
    words = [f"{name}={shlex.quote(value)}" for name, value in given.items()]
    page = "export " + " ".join(words) + "\n" + script_of(PAGE.read_text())
    (tmp_path / "page.sh").write_text(page)
    began = time.monotonic()
    done = removed.run("bash", str(tmp_path / "page.sh"), timeout=3600)
    (tmp_path / "page.log").write_text(done.stdout + done.stderr)
    removed.figures["docs/first-rollout.md, all of it"] = time.monotonic() - began
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-4000:]
    assert "exit code 3" in done.stdout
    assert "promoted" in done.stdout.lower()
    answers = [json.loads(line) for line in (tmp_path / "wine/answers.jsonl").open()]
    assert len(answers) > 1000
    failed = [json.loads(line) for line in (tmp_path / "wine/answers.failed.jsonl").open()]
    assert all("features" in one["reason"] for one in failed), "only 3.0's own failures"
    assert "HarmDetected" in (tmp_path / "wine/report.html").read_text()


def test_one_kubectl_apply_installs_all_that_a_rollout_needs(removed: Ground) -> None:
    removed.kubectl("apply", "-f", "manifests/install.yaml")
    removed.kubectl(
        *("-n", SYSTEM, "rollout", "status", "deployment/sluice-controller", "--timeout=10m")
    )
    assert removed.run("sluice", "list", "-A").stderr.startswith("No rollouts")
    rollout = Journey(removed, "applied", NAMESPACE)
    try:
        rollout.create(rate=15.0)
        rollout.change("better")
        rollout.until_ended("Promoted")
        # As docs/upgrade.md takes away what kubectl applied: models are served on.
        for command in removal():
            removed.ok("bash", "-c", command)
        seen = len(rollout.answered())
        poll(lambda: len(rollout.answered()) > seen + 50, "requests go on")
        assert rollout.status().history[0].outcome == "Promoted"
        assert rollout.count() == []
    finally:
        rollout.end()
