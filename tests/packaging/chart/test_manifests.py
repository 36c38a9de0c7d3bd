"""manifests/ is the chart, and goes onto an empty cluster by one command."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from sluice.resources import CRDS, DEPLOYMENTS, NAMESPACES
from sluice.sandbox import objects as applied
from tests.packaging.chart.conftest import Shop, monitoring_crds
from tests.packaging.chart.rendering import NAMESPACE, ROOT, objects, one, tool

MANIFESTS = ROOT / "manifests"
OVERLAYS = sorted(path for path in (MANIFESTS / "overlays").iterdir())


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("manifests", ROOT / "tools" / "manifests.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_generated_file_is_in_step_with_the_chart() -> None:
    made = generator()
    assert made.stale() == []
    for path, text in made.rendered().items():
        assert (MANIFESTS / path).read_text() == text, f"{path}: run `make manifests`"


def test_a_change_of_the_chart_is_seen_without_helm(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = generator()
    made.ROOT = tmp_path
    made.CHART = tmp_path / "charts" / "sluice"
    made.MANIFESTS = tmp_path / "manifests"
    shutil.copytree(ROOT / "charts", tmp_path / "charts")
    shutil.copytree(MANIFESTS, made.MANIFESTS)
    made.__file__ = str(shutil.copy(ROOT / "tools" / "manifests.py", tmp_path))
    # The generator's own path is part of the digest: from here on it is the copy's.
    before = set(made.stale())
    with (made.CHART / "files" / "rbac" / "controller.yaml").open("a") as file:
        file.write("# more\n")
    assert "rbac/controller.yaml" in set(made.stale()) - before
    assert made.main(["--check"]) == 1
    assert "run `make manifests`" in capsys.readouterr().out


def test_one_file_is_all_an_empty_cluster_needs(shop: Shop) -> None:
    """At the first try: no kind in it is one that it brings itself."""
    said = shop.kubectl("apply", "-f", str(MANIFESTS / "install.yaml"))
    assert said.count("created") == len(objects((MANIFESTS / "install.yaml").read_text()))
    again = shop.kubectl("apply", "-f", str(MANIFESTS / "install.yaml"))
    assert again.count("unchanged") + again.count("configured") == said.count("created")
    names = {crd["metadata"]["name"] for crd in shop.client.list(CRDS).items}
    assert names == {f"{n}.sluice.dev" for n in ("modelrollouts", "canarypolicies")} | {
        "clustercanarypolicies.sluice.dev"
    }
    # The library's policies are built in; as objects they are a second command, at any time later.
    applied.await_established(shop.client, sorted(names))
    shop.kubectl("apply", "-f", str(ROOT / "canary_policies"))
    assert (
        shop.client.get(NAMESPACES, NAMESPACE)["metadata"]["labels"][
            "pod-security.kubernetes.io/enforce"
        ]
        == "restricted"
    )


def test_it_can_be_removed_and_leave_the_rollouts(shop: Shop) -> None:
    """What docs/upgrade.md says of a removal that keeps the rollouts."""
    shop.kubectl("apply", "-f", str(MANIFESTS / "install.yaml"))
    kinds = "deployment,service,pdb,role,rolebinding,serviceaccount"
    label = "app.kubernetes.io/name=sluice"
    shop.kubectl("delete", kinds, "-n", NAMESPACE, "-l", label, "--wait=false")
    shop.kubectl("delete", "clusterrole,clusterrolebinding", "-l", label)
    assert shop.client.list(DEPLOYMENTS, NAMESPACE).items == []
    assert len(shop.client.list(CRDS).items) == 3


def built(path: Path) -> list[dict[str, Any]]:
    argv = [str(tool("kubectl")), "kustomize", str(path)]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return objects(done.stdout)


def arguments(found: list[dict[str, Any]]) -> list[str]:
    container = one(found, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    return list(container["args"])


def test_the_base_is_the_one_file() -> None:
    assert (MANIFESTS / "base/sluice.yaml").read_text() == (MANIFESTS / "install.yaml").read_text()

    def by_name(found: list[dict[str, Any]]) -> list[Any]:
        return sorted(found, key=lambda o: (o["kind"], o["metadata"]["name"]))

    whole = by_name(objects((MANIFESTS / "install.yaml").read_text()))
    assert by_name(built(MANIFESTS)) == whole


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda path: path.name)
def test_an_overlay_goes_onto_an_empty_cluster(shop: Shop, overlay: Path) -> None:
    said = shop.kubectl("apply", "-k", str(overlay))
    assert said.count("created") == len(built(overlay))
    deployment = shop.client.get(DEPLOYMENTS, "sluice-controller", NAMESPACE)
    image = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image.startswith("registry.example/sluice-controller:")


def test_dev_is_one_that_talks_and_is_quick() -> None:
    found = built(MANIFESTS / "overlays/dev")
    assert one(found, "Deployment")["spec"]["replicas"] == 1
    assert arguments(found)[-2:] == ["--log-level=debug", "--default-policy=fast"]
    assert "PodDisruptionBudget" not in {o["kind"] for o in found}


def test_prod_is_two_that_are_shielded_and_keep_a_record() -> None:
    found = built(MANIFESTS / "overlays/prod")
    assert one(found, "Deployment")["spec"]["replicas"] == 2
    assert arguments(found)[-1:] == ["--audit-log=-"]
    assert one(found, "PodDisruptionBudget")["spec"]["minAvailable"] == 1
    assert one(found, "NetworkPolicy")["spec"]["policyTypes"] == ["Ingress", "Egress"]


def test_monitoring_is_a_component_that_takes_the_annotations_place(
    shop: Shop, tmp_path: Path
) -> None:
    tree = tmp_path / "manifests"
    shutil.copytree(MANIFESTS, tree)
    path = tree / "overlays/prod/kustomization.yaml"
    path.write_text(
        path.read_text().replace("# - ../../components/monitoring", "- ../../components/monitoring")
    )
    found = built(path.parent)
    assert {"ServiceMonitor", "PrometheusRule", "ConfigMap"} <= {o["kind"] for o in found}
    meta = one(found, "Deployment")["spec"]["template"]["metadata"]
    assert "annotations" not in meta
    shop.fake_crds(*monitoring_crds())
    shop.kubectl("apply", "-k", str(path.parent))
