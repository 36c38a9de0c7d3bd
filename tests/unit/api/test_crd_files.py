"""The generated CRDs, without an API server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sluice.api import crds
from sluice.api.builtin import BALANCED
from sluice.api.rollout import parse_policy

ROOT = Path(__file__).parents[3]


def test_the_files_in_manifests_are_as_the_models_say() -> None:
    assert crds.stale(ROOT / "manifests" / "crds") == []


def test_check_names_a_missing_and_a_changed_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert crds.main([str(tmp_path)]) == 0
    assert crds.main(["--check", str(tmp_path)]) == 0
    (tmp_path / "modelrollouts.yaml").unlink()
    (tmp_path / "canarypolicies.yaml").write_text("{}")
    assert crds.main(["--check", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "modelrollouts.yaml, canarypolicies.yaml" in said
    assert "clustercanarypolicies" not in said


def schemas(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield schema
    for child in schema.get("properties", {}).values():
        yield from schemas(child)
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from schemas(schema[key])


@pytest.mark.parametrize("name", list(crds.crds()))
def test_schemas_are_structural(name: str) -> None:
    version = crds.crds()[name]["spec"]["versions"][0]
    for schema in schemas(version["schema"]["openAPIV3Schema"]):
        assert "type" in schema or schema.get("x-kubernetes-preserve-unknown-fields")
        assert not {"$ref", "$defs", "title", "anyOf"} & set(schema)
        for rule in schema.get("x-kubernetes-validations", ()):
            assert rule["message"], rule


def test_every_bound_list_and_string_of_a_policy_has_an_end() -> None:
    """Else the cost of the rules has no bound, and the API server refuses the CRD."""
    version = crds.crds()["canarypolicies.yaml"]["spec"]["versions"][0]
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    for schema in schemas(spec):
        if schema.get("type") == "array":
            assert "maxItems" in schema
        if schema.get("type") == "string":
            assert "maxLength" in schema or "enum" in schema


def undescribed(schema: dict[str, Any], path: str) -> Iterator[str]:
    """Paths of fields without a description; what is inside a component spec is Seldon's."""
    for field, child in schema.get("properties", {}).items():
        where = f"{path}.{field}"
        if not child.get("description"):
            yield where
        if field != "componentSpecs":
            yield from undescribed(child, where)
    if isinstance(schema.get("items"), dict):
        yield from undescribed(schema["items"], f"{path}[]")


@pytest.mark.parametrize("name", list(crds.crds()))
def test_kubectl_explain_says_something_about_every_field(name: str) -> None:
    version = crds.crds()[name]["spec"]["versions"][0]
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    assert list(undescribed(spec, "spec")) == []


def test_the_built_in_policy_is_the_librarys_balanced() -> None:
    text = (ROOT / "canary_policies" / "balanced.yaml").read_text()
    assert parse_policy(yaml.safe_load(text)) == BALANCED


@pytest.mark.parametrize("name", ["balanced", "cautious", "fast", "demo"])
def test_every_policy_of_the_library_can_be_read(name: str) -> None:
    obj = yaml.safe_load((ROOT / "canary_policies" / f"{name}.yaml").read_text())
    assert obj["kind"] == "ClusterCanaryPolicy"
    assert obj["metadata"]["name"] == name
    parse_policy(obj)


def test_the_chart_has_the_same_crds_as_the_manifests() -> None:
    shipped = {path.name: path.read_text() for path in (ROOT / "manifests" / "crds").iterdir()}
    chart = ROOT / "charts" / "sluice" / "files" / "crds"
    assert {path.name: path.read_text() for path in chart.iterdir()} == shipped


def test_the_chart_has_the_same_roles_as_the_manifests() -> None:
    shipped = {path.name: path.read_text() for path in (ROOT / "manifests" / "rbac").iterdir()}
    chart = ROOT / "charts" / "sluice" / "files" / "rbac"
    assert {path.name: path.read_text() for path in chart.iterdir()} == shipped
