"""Reading a cluster with whatever rights there are: what may not be read is a note, not a crash."""

from __future__ import annotations

from typing import Any

from sluice.doctor.findings import Finding, note
from sluice.errors import ForbiddenError, NotFoundError
from sluice.kube.client import Client
from sluice.resources import Resource

Object = dict[str, Any]
Objects = list[Object]


class Reading:
    """Reads through `client`, each list once. `scope` is the namespace looked at; None: all."""

    def __init__(self, client: Client, scope: str | None) -> None:
        self.client = client
        self.scope = scope
        self._lists: dict[tuple[str, str | None, str], Objects | None] = {}
        self._forbidden: list[str] = []

    def take_notes(self) -> list[Finding]:
        """One note for what could not be read since the last time; [] if all could."""
        forbidden, self._forbidden = self._forbidden, []
        if not forbidden:
            return []
        return [
            note(
                "NotReadable",
                "you may not " + ", ".join(dict.fromkeys(forbidden)) + ": what depends on it was "
                "not checked",
                "",
                "have a cluster administrator run `sluice doctor` too",
            )
        ]

    def list(
        self, resource: Resource, namespace: str | None = None, *, labels: str = ""
    ) -> Objects | None:
        """The objects; None when they may not be read; [] when the kind is not served."""
        key = (resource.qualified, namespace, labels)
        if key not in self._lists:
            self._lists[key] = self._list(resource, namespace, labels)
        return self._lists[key]

    def in_scope(self, resource: Resource) -> Objects | None:
        """As `list`, of the namespace looked at."""
        return self.list(resource, self.scope)

    def get(
        self, resource: Resource, name: str, namespace: str | None = None
    ) -> tuple[Object | None, bool]:
        """The object or None, and whether that is known (False: it may not be read)."""
        try:
            return self.client.get(resource, name, namespace), True
        except NotFoundError:
            return None, True
        except ForbiddenError:
            self._deny("get", resource, namespace)
            return None, False

    def _list(self, resource: Resource, namespace: str | None, labels: str) -> Objects | None:
        try:
            return self.client.list(resource, namespace, label_selector=labels).items
        except NotFoundError:
            return []
        except ForbiddenError:
            self._deny("list", resource, namespace)
            return None

    def _deny(self, verb: str, resource: Resource, namespace: str | None) -> None:
        where = ""
        if resource.namespaced:
            where = f" in namespace {namespace}" if namespace else " in all namespaces"
        self._forbidden.append(f"{verb} {resource.qualified}{where}")


def name_of(obj: Object) -> str:
    """As findings name it: Kind namespace/name."""
    meta = obj["metadata"]
    space = f"{meta['namespace']}/" if meta.get("namespace") else ""
    return f"{obj.get('kind', '')} {space}{meta['name']}".strip()


def annotation(obj: Object, key: str) -> str:
    """An annotation of a SeldonDeployment, which may be in its metadata or in its spec."""
    for place in (obj.get("spec") or {}, obj.get("metadata") or {}):
        if value := (place.get("annotations") or {}).get(key):
            return str(value)
    return ""
