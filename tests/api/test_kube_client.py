"""The client against a real kube-apiserver."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from sluice.errors import (
    AlreadyExistsError,
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    PatchTestFailedError,
)
from sluice.resources import CONFIG_MAPS, DEPLOYMENTS, PODS, Resource

if TYPE_CHECKING:
    from tests.api.conftest import Cluster


def config_map(name: str, **data: str) -> dict[str, object]:
    return {"metadata": {"name": name}, "data": data}


def test_a_list_of_1200_objects_is_read_in_pages(cluster: Cluster, namespace: str) -> None:
    seen: Counter[tuple[str, int]] = Counter()
    client = cluster.client_for(on_request=lambda verb, _, code: seen.update([(verb, code)]))
    with ThreadPoolExecutor(8) as pool:
        names = [f"cm-{number:04}" for number in range(1200)]
        list(pool.map(lambda name: client.create(CONFIG_MAPS, config_map(name), namespace), names))
    found = client.list(CONFIG_MAPS, namespace, limit=500)
    assert sorted(item["metadata"]["name"] for item in found.items) == names
    assert {item["kind"] for item in found.items} == {"ConfigMap"}
    assert found.resource_version
    assert seen == {("create", 201): 1200, ("list", 200): 3}


def test_a_failed_patch_test_is_told_from_refused_content(cluster: Cluster, namespace: str) -> None:
    client = cluster.client
    client.create(CONFIG_MAPS, config_map("one", x="1"), namespace)
    with pytest.raises(PatchTestFailedError, match=f"patch configmaps {namespace}/one"):
        client.json_patch(
            CONFIG_MAPS, "one", namespace, [{"op": "test", "path": "/data/x", "value": "2"}]
        )
    with pytest.raises(PatchTestFailedError):
        client.json_patch(CONFIG_MAPS, "one", namespace, [{"op": "remove", "path": "/data/y"}])
    with pytest.raises(InvalidError, match="a valid config key") as refused:
        client.json_patch(
            CONFIG_MAPS, "one", namespace, [{"op": "add", "path": "/data/bad key", "value": "1"}]
        )
    assert not isinstance(refused.value, PatchTestFailedError)


def test_conflicts_are_named(cluster: Cluster, namespace: str) -> None:
    client = cluster.client
    first = client.create(CONFIG_MAPS, config_map("one", x="1"), namespace)
    with pytest.raises(AlreadyExistsError):
        client.create(CONFIG_MAPS, config_map("one"), namespace)
    client.replace(CONFIG_MAPS, {**first, "data": {"x": "2"}})
    with pytest.raises(ConflictError, match="object has been modified") as conflict:
        client.replace(CONFIG_MAPS, {**first, "data": {"x": "3"}})
    assert conflict.value.status == 409
    assert conflict.value.reason == "Conflict"
    with pytest.raises(ConflictError):
        client.delete(CONFIG_MAPS, "one", namespace, uid="another")
    client.delete(CONFIG_MAPS, "one", namespace, uid=first["metadata"]["uid"])
    with pytest.raises(NotFoundError, match=f"get configmaps {namespace}/one: not found"):
        client.get(CONFIG_MAPS, "one", namespace)


def test_apply_owns_fields_and_asks_before_taking_them(cluster: Cluster, namespace: str) -> None:
    mine = {"metadata": {"name": "one", "namespace": namespace}, "data": {"x": "1"}}
    cluster.client.apply(CONFIG_MAPS, mine, field_manager="first")
    theirs = {**mine, "data": {"x": "2"}}
    with pytest.raises(ConflictError, match='conflict with "first"'):
        cluster.client.apply(CONFIG_MAPS, theirs, field_manager="second")
    taken = cluster.client.apply(CONFIG_MAPS, theirs, field_manager="second", force=True)
    assert taken["data"] == {"x": "2"}


def test_a_merge_patch_removes_a_key_by_null(cluster: Cluster, namespace: str) -> None:
    cluster.client.create(CONFIG_MAPS, config_map("one", x="1", y="2"), namespace)
    patched = cluster.client.merge_patch(CONFIG_MAPS, "one", namespace, {"data": {"x": None}})
    assert patched["data"] == {"y": "2"}


def test_a_dry_run_changes_nothing(cluster: Cluster, namespace: str) -> None:
    made = cluster.client.create(CONFIG_MAPS, config_map("one"), namespace, dry_run=True)
    assert made["metadata"]["name"] == "one"
    with pytest.raises(NotFoundError):
        cluster.client.get(CONFIG_MAPS, "one", namespace)


def test_a_missing_right_is_named_with_verb_kind_and_place(
    cluster: Cluster, namespace: str
) -> None:
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}]
    client = cluster.client_for(cluster.user(namespace, rules=rules))
    with pytest.raises(NotFoundError):
        client.get(CONFIG_MAPS, "none", namespace)
    with pytest.raises(ForbiddenError) as refused:
        client.json_patch(DEPLOYMENTS, "iris", namespace, [], subresource="scale")
    text = str(refused.value)
    assert text.startswith(f"patch deployments.apps/scale {namespace}/iris: not allowed (403")
    assert 'cannot patch resource "deployments/scale"' in text
    with pytest.raises(ForbiddenError, match="list pods in all namespaces"):
        client.list(PODS)


def test_a_wrong_token_is_forbidden_not_unavailable(cluster: Cluster) -> None:
    client = cluster.client_for(cluster.kubeconfig_with("wrong"))
    with pytest.raises(ForbiddenError, match="credentials are not accepted"):
        client.list(CONFIG_MAPS, "default")


def test_a_kind_nobody_serves_asks_for_its_definition(cluster: Cluster) -> None:
    widgets = Resource("example.com", "v1", "widgets", "Widget")
    assert not cluster.client.serves(widgets)
    assert cluster.client.serves(DEPLOYMENTS)
    with pytest.raises(NotFoundError, match="Is its CustomResourceDefinition installed"):
        cluster.client.get(widgets, "one", "default")
