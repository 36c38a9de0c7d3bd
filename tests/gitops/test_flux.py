"""The example files of Flux: in order, patient enough, and with the chart's own values."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

from sluice.sandbox import parts
from sluice.sandbox.part_list import KUBERNETES_VERSION
from tests.unit.cli.stage import rollout

from .judging import FLUX, ROOT

DOCUMENTS: list[Any] = [
    document
    for path in sorted(FLUX.glob("*.yaml"))
    for document in yaml.safe_load_all(path.read_text())
]
_UNITS = {"s": 1, "m": 60, "h": 3600}


def by_name(kind: str) -> dict[str, Any]:
    return {d["metadata"]["name"]: d["spec"] for d in DOCUMENTS if d["kind"] == kind}


def seconds(text: str) -> int:
    return sum(int(n) * _UNITS[unit] for n, unit in re.findall(r"(\d+)([smh])", text))


def test_the_controller_comes_before_policies_and_policies_before_rollouts() -> None:
    found = by_name("Kustomization")
    assert all(spec["wait"] for spec in found.values()), "dependsOn waits for health only with it"
    order, name = [], "models-prod"
    while name:
        order.append(name)
        name = next((d["name"] for d in found[name].get("dependsOn", [])), "")
    assert order == ["models-prod", "sluice-policies", "sluice-controller"]


def test_flux_waits_longer_for_a_rollout_than_a_canary_of_twenty_minutes() -> None:
    assert seconds(by_name("Kustomization")["models-prod"]["timeout"]) >= 2 * 20 * 60


def test_every_source_that_is_named_is_there() -> None:
    sources = set(by_name("GitRepository"))
    named = {spec["sourceRef"]["name"] for spec in by_name("Kustomization").values()}
    named |= {s["chart"]["spec"]["sourceRef"]["name"] for s in by_name("HelmRelease").values()}
    assert named == sources


def test_the_charts_schema_accepts_the_releases_values(tmp_path: Path) -> None:
    [release] = by_name("HelmRelease").values()
    assert release["install"]["crds"] == release["upgrade"]["crds"] == "Skip"
    values = tmp_path / "values.yaml"
    values.write_text(yaml.safe_dump(release["values"]))
    chart = ROOT / release["chart"]["spec"]["chart"]
    argv = [str(parts.ensure("helm")), "template", release["releaseName"], str(chart)]
    argv += ["--namespace", release["targetNamespace"], "--values", str(values)]
    argv += ["--kube-version", KUBERNETES_VERSION]
    made = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    kinds = [d["kind"] for d in yaml.safe_load_all(made.stdout) if d]
    assert kinds.count("CustomResourceDefinition") == 3
    keep = [d for d in yaml.safe_load_all(made.stdout) if d and d["kind"].startswith("CustomRes")]
    assert {d["metadata"]["annotations"]["helm.sh/resource-policy"] for d in keep} == {"keep"}


def test_kustomizes_images_reach_into_a_model_rollout(tmp_path: Path) -> None:
    """So image updaters that write kustomization.yaml need nothing more."""
    (tmp_path / "iris.yaml").write_text(yaml.safe_dump(rollout(image="registry.example/iris:1")))
    images = [{"name": "registry.example/iris", "newTag": "2"}]
    content = {"resources": ["iris.yaml"], "images": images}
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(content))
    argv = [str(parts.ensure("kubectl")), "kustomize", str(tmp_path)]
    made = subprocess.run(argv, capture_output=True, text=True, check=True)
    [predictor] = yaml.safe_load(made.stdout)["spec"]["template"]["spec"]["predictors"]
    [component] = predictor["componentSpecs"]
    assert component["spec"]["containers"][0]["image"] == "registry.example/iris:2"
