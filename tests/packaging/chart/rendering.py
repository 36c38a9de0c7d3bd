"""The chart as helm renders it. `python -m tests.packaging.chart.rendering` renews the goldens."""

from __future__ import annotations

import json
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from sluice.sandbox.part_list import KUBERNETES_VERSION
from sluice.sandbox.parts import ensure

ROOT = Path(__file__).resolve().parents[3]
CHART = ROOT / "charts" / "sluice"
GOLDEN = Path(__file__).resolve().parents[1] / "golden"
NAMESPACE = "sluice-system"
RULES = CHART / "files" / "alerts" / "sluice.yaml"


@cache
def tool(name: str) -> Path:
    """helm, promtool or kubectl."""
    return ensure(name)


def helm(*args: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run helm to its end."""
    return subprocess.run([str(tool("helm")), *args], capture_output=True, text=True, env=env)


def render(
    *options: str, values: dict[str, Any] | Path | None = None, namespace: str = NAMESPACE
) -> str:
    """What `helm template` writes, as for a cluster of the version that the tests run on."""
    done = template(*options, values=values, namespace=namespace)
    assert done.returncode == 0, done.stderr
    return done.stdout


def template(
    *options: str, values: dict[str, Any] | Path | None = None, namespace: str = NAMESPACE
) -> subprocess.CompletedProcess[str]:
    """`helm template`, which may fail."""
    given = [f"--values={values}"] if isinstance(values, Path) else []
    if isinstance(values, dict):
        given = [f"--set-json={key}={json.dumps(value)}" for key, value in values.items()]
    where = ("--namespace", namespace, "--kube-version", KUBERNETES_VERSION)
    return helm("template", "sluice", str(CHART), *where, *given, *options)


def objects(text: str) -> list[dict[str, Any]]:
    """The objects of a stream of YAML documents."""
    return [document for document in yaml.safe_load_all(text) if document]


def one(found: list[dict[str, Any]], kind: str, name: str = "") -> dict[str, Any]:
    """The only object of that kind (and name)."""
    [wanted] = [o for o in found if o["kind"] == kind and name in ("", o["metadata"]["name"])]
    return wanted


def golden_values() -> list[Path]:
    """The values files of the goldens."""
    return sorted((GOLDEN / "values").glob("*.yaml"))


def golden_of(values: Path) -> Path:
    """Where the rendered text of a values file is kept."""
    return GOLDEN / "rendered" / values.name


def main() -> None:
    """Render every values file anew."""
    for values in golden_values():
        golden_of(values).write_text(render(values=values))


if __name__ == "__main__":
    main()
