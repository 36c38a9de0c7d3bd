"""Putting manifests into the sandbox's cluster, as `kubectl apply --server-side` would."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from sluice.errors import NotFoundError, SandboxError
from sluice.kube.client import Client

FIELD_MANAGER = "sluice-sandbox"

# Kinds whose plural is not the lower-case kind and an s, and kinds without a namespace.
_PLURALS = {
    "CanaryPolicy": "canarypolicies",
    "ClusterCanaryPolicy": "clustercanarypolicies",
    "NetworkPolicy": "networkpolicies",
}
_CLUSTER_WIDE = {
    "ClusterCanaryPolicy",
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "Namespace",
    "PriorityClass",
    "ValidatingWebhookConfiguration",
}


def read_manifests(path: Path) -> list[dict[str, Any]]:
    """All objects of a YAML file, or of all YAML files of a directory, in order of their names."""
    files = sorted(path.glob("*.y*ml")) if path.is_dir() else [path]
    return [obj for file in files for obj in _flat(yaml.safe_load_all(file.read_text()))]


def _flat(documents: Iterable[Any]) -> Iterator[dict[str, Any]]:
    for document in documents:
        if not document:
            continue
        if document.get("kind") == "List":
            yield from document["items"]
        else:
            yield document


def path_of(obj: dict[str, Any], namespace: str = "default") -> str:
    """The API path of an object."""
    version, kind = obj["apiVersion"], obj["kind"]
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    plural = _PLURALS.get(kind, f"{kind.lower()}s")
    name = obj["metadata"]["name"]
    if kind in _CLUSTER_WIDE:
        return f"{root}/{plural}/{name}"
    return f"{root}/namespaces/{obj['metadata'].get('namespace', namespace)}/{plural}/{name}"


def apply(client: Client, obj: dict[str, Any], *, namespace: str = "default") -> dict[str, Any]:
    """Create or update one object. Raises ApiError, as the client does."""
    answer: dict[str, Any] = client.request(
        "PATCH",
        path_of(obj, namespace),
        obj,
        query=(("fieldManager", FIELD_MANAGER), ("force", "true")),
        content_type="application/apply-patch+yaml",
    )
    return answer


def await_established(client: Client, names: Iterable[str], *, seconds: float = 120.0) -> None:
    """Wait until CRDs are served. Raises SandboxError naming the one that is not."""
    pause = threading.Event()
    for name in names:
        path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}"
        for _ in range(int(seconds / 0.05)):
            status = client.request("GET", path).get("status") or {}
            conditions = status.get("conditions") or ()  # null in the first moments
            if any(c["type"] == "Established" and c["status"] == "True" for c in conditions):
                break
            pause.wait(0.05)
        else:
            raise SandboxError(f"the CRD {name} was not served within {seconds:.0f} s")


def apply_when_served(client: Client, obj: dict[str, Any], *, seconds: float = 60.0) -> None:
    """Apply an object of a kind whose CRD has just been made (its path may answer 404 a while)."""
    pause = threading.Event()
    for _ in range(int(seconds / 0.1)):
        try:
            apply(client, obj)
            return
        except NotFoundError:
            pause.wait(0.1)
    apply(client, obj)


def await_allowed(
    client: Client,
    user: str,
    rules: Iterable[dict[str, Any]],
    *,
    allowed: bool = True,
    namespace: str = "",
    seconds: float = 120.0,
) -> None:
    """Wait until the API server grants `user` all that `rules` say, or (`allowed` False) nothing.

    It reads roles and bindings from copies of its own, so a change of them holds a moment later.
    `namespace` "" asks for the whole cluster. Rules for URLs are left out.
    Raises SandboxError naming what is still otherwise.
    """
    pause = threading.Event()
    wanted = [_asked(rule, namespace) for rule in rules]
    for attributes in (one for each in wanted for one in each):
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {"user": user, "resourceAttributes": attributes},
        }
        for _ in range(int(seconds / 0.02)):
            path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
            if client.request("POST", path, review)["status"]["allowed"] is allowed:
                break
            pause.wait(0.02)
        else:
            raise SandboxError(
                f"{user} was {'not ' if allowed else 'still '}allowed to {attributes['verb']} "
                f"{attributes['resource']} after {seconds:.0f} s"
            )


def _asked(rule: dict[str, Any], namespace: str) -> Iterator[dict[str, str]]:
    for group in rule.get("apiGroups", ()):
        for resource in rule.get("resources", ()):
            plural, _, subresource = resource.partition("/")
            for verb in rule["verbs"]:
                for name in rule.get("resourceNames") or ("",):
                    yield {
                        "group": group,
                        "resource": plural,
                        "subresource": subresource,
                        "verb": verb,
                        "namespace": namespace,
                        "name": name,
                    }


def bound_to_users(objects: list[dict[str, Any]], people: Iterable[str]) -> list[dict[str, Any]]:
    """The shipped RBAC objects, with the sandbox's users bound like the service accounts.

    Processes here have no service account token. So a binding to the service account N binds the
    user N too; and a ClusterRole that is named like one of `people` is bound to that user.
    """
    result = []
    known = set(people)
    for obj in objects:
        if obj["kind"] in ("RoleBinding", "ClusterRoleBinding"):
            accounts = [s for s in obj.get("subjects", ()) if s["kind"] == "ServiceAccount"]
            subjects = [_user(account["name"]) for account in accounts]
            obj = {**obj, "subjects": [*obj.get("subjects", ()), *subjects]}
        elif obj["kind"] == "ClusterRole" and obj["metadata"]["name"] in known:
            result.append(_binding(obj["metadata"]["name"]))
        result.append(obj)
    return result


def _user(name: str) -> dict[str, Any]:
    return {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}


def _binding(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": f"sandbox-{name}"},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": name,
        },
        "subjects": [_user(name)],
    }
