"""The roles that Sluice ships for its controller, as rights that can be asked for one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sluice.kube.rbac import Right
from sluice.resources import Resource

FILES = Path(__file__).parent / "shipped_roles"
"""Copies of the chart's files/rbac, for a `sluice` that was installed without the repository."""
ROUTES_FILE = "controller-routes.yaml"
PREFLIGHT_FILE = "controller-preflight.yaml"
RETRAINING_FILE = "controller-retraining.yaml"
OPTIONAL_FILES = (ROUTES_FILE, PREFLIGHT_FILE, RETRAINING_FILE)
POLICIES_ROLE = "ClusterRole sluice-policies-NAMESPACE"
"""What lets a controller of some namespaces read ClusterCanaryPolicies. Optional."""
CLUSTER_POLICIES = "clustercanarypolicies"
# Kinds that are the whole cluster's: a question about them must name no namespace.
_CLUSTER_WIDE = (CLUSTER_POLICIES, "selfsubjectaccessreviews")


@dataclass(frozen=True)
class Granted:
    """One right, and which role of which file of the chart's `files/rbac` grants it.

    Without an `optional` one the controller works, and does something less well.
    """

    right: Right
    role: str
    file: str
    optional: bool = False

    def __str__(self) -> str:
        return f"{self.right} (the role that should have it: {self.role})"


def granted(system_namespace: str, watched: Sequence[str]) -> list[Granted]:
    """Every right of the controller's account, what is optional last.

    `watched` are the namespaces that the controller is confined to, none: it works everywhere.
    Leases are in `system_namespace`, where the controller runs.
    """
    found = [
        one
        for path in FILES.glob("*.yaml")
        for document in yaml.safe_load_all(path.read_text())
        if document and document["kind"] in ("Role", "ClusterRole")
        for one in _of_role(document, path.name, system_namespace, tuple(watched))
    ]
    return sorted(found, key=lambda one: (one.optional, one.file))


def _of_role(
    role: dict[str, Any], file: str, system_namespace: str, watched: tuple[str, ...]
) -> Iterator[Granted]:
    name, optional = role["metadata"]["name"], file in OPTIONAL_FILES
    for rule in role["rules"]:
        if role["kind"] == "Role":
            for right in _of_rule(rule, system_namespace):
                yield Granted(right, _role(name, system_namespace), file)
        elif not watched:
            for right in _of_rule(rule, None):
                yield Granted(right, f"ClusterRole {name}", file, optional)
        else:
            yield from _confined(rule, name, file, watched)


def _confined(
    rule: dict[str, Any], name: str, file: str, watched: tuple[str, ...]
) -> Iterator[Granted]:
    """The rights of a ClusterRole's rule where a Role in each namespace takes its place."""
    for namespace in watched:
        for right in _of_rule(rule, namespace):
            if right.resource.namespaced:
                yield Granted(right, _role(name, namespace), file, file in OPTIONAL_FILES)
    for right in _of_rule(rule, None):
        # The other kinds without a namespace are reviews of oneself, which everybody may ask for.
        if right.resource.plural == CLUSTER_POLICIES:
            yield Granted(right, POLICIES_ROLE, file, optional=True)


def _role(name: str, namespace: str) -> str:
    return f"Role {name} in namespace {namespace}"


def _of_rule(rule: dict[str, Any], namespace: str | None) -> Iterator[Right]:
    for group in rule["apiGroups"]:
        for full in rule["resources"]:
            plural, _, subresource = full.partition("/")
            namespaced = plural not in _CLUSTER_WIDE
            kind = Resource(group, "*", plural, "", namespaced=namespaced)
            for verb in rule["verbs"]:
                yield Right(verb, kind, namespace if namespaced else None, subresource)
