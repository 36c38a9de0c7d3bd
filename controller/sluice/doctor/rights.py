"""The rights of the controller's ServiceAccount, asked of the API server itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sluice.doctor.findings import Finding, error, note, ok, warning
from sluice.errors import ForbiddenError
from sluice.kube.client import Client
from sluice.kube.rbac import Account, Right, can, can_i
from sluice.kube.resources import Resource

RULES = Path(__file__).parent / "rbac"
"""Copies of manifests/rbac, for a `sluice` that was installed without the repository."""
OPTIONAL = "controller-routes.yaml"
# Kinds that are the whole cluster's: a question about them must name no namespace.
_CLUSTER_WIDE = ("clustercanarypolicies", "selfsubjectaccessreviews")


@dataclass(frozen=True)
class Shipped:
    """The rights of one file."""

    file: str
    rights: tuple[Right, ...]


def shipped(system_namespace: str, watched: str | None) -> list[Shipped]:
    """What the shipped roles grant, file by file.

    `watched` is the one namespace the controller watches, None for all. A Role's rules hold in
    `system_namespace`, where the controller runs.
    """
    files = sorted(RULES.glob("*.yaml"), key=lambda path: path.name == OPTIONAL)
    return [
        Shipped(path.name, tuple(_rights(path.read_text(), system_namespace, watched)))
        for path in files
    ]


def _rights(text: str, system_namespace: str, watched: str | None) -> Iterator[Right]:
    for document in yaml.safe_load_all(text):
        if document and document["kind"] in ("Role", "ClusterRole"):
            namespace = system_namespace if document["kind"] == "Role" else watched
            for rule in document["rules"]:
                yield from _of_rule(rule, namespace)


def _of_rule(rule: dict[str, Any], namespace: str | None) -> Iterator[Right]:
    for group in rule["apiGroups"]:
        for full in rule["resources"]:
            plural, _, subresource = full.partition("/")
            namespaced = plural not in _CLUSTER_WIDE
            kind = Resource(group, "*", plural, "", namespaced=namespaced)
            for verb in rule["verbs"]:
                yield Right(verb, kind, namespace, subresource)


def check(client: Client, account: Account, watched: str | None) -> list[Finding]:
    """What `account` may not do though the shipped roles say so."""
    files = shipped(account.namespace, watched)
    try:
        can(client, account, files[0].rights[0])
    except ForbiddenError:
        return _of_oneself(client, account, files)
    return _missing(files, account, lambda right: can(client, account, right))


def _missing(
    files: list[Shipped], account: Account, allowed: Callable[[Right], bool]
) -> list[Finding]:
    findings = []
    for file in files:
        missing = [right for right in file.rights if not allowed(right)]
        where = f"ServiceAccount {account.namespace}/{account.name}"
        if not missing:
            what = f"has all {len(file.rights)} rights of {file.file}"
            findings.append(ok("RightsGranted", what, where))
        elif file.file == OPTIONAL:
            findings.append(
                warning(
                    "RoutesRightsMissing",
                    f"may not {grouped(missing)}: while Seldon is frozen a rollback takes longer, "
                    "and shifts are verified by counted requests alone",
                    where,
                    f"kubectl apply -f manifests/rbac/{file.file} "
                    "(helm: --set rbac.virtualServices=true)",
                )
            )
        else:
            findings.append(
                error(
                    "RightsMissing",
                    f"may not {grouped(missing)}",
                    where,
                    f"kubectl apply -f manifests/rbac/{file.file} (helm: --set rbac.create=true)",
                )
            )
    return findings


def _of_oneself(client: Client, account: Account, files: list[Shipped]) -> list[Finding]:
    """Whoever may not ask for others can ask for himself: enough inside the controller's pod."""
    missing = [right for file in files for right in file.rights if not can_i(client, right)]
    yours = f"you may not {grouped(missing)}" if missing else "you have them all"
    return [
        note(
            "RightsOfYours",
            "you may not create subjectaccessreviews, so the controller's rights were not checked; "
            f"of the same rights {yours}",
            f"ServiceAccount {account.namespace}/{account.name}",
            f"kubectl auth can-i --list --as={account}",
        )
    ]


def grouped(rights: list[Right]) -> str:
    """Rights in few words: verbs of one kind together."""
    by_kind: dict[str, list[str]] = {}
    for right in rights:
        by_kind.setdefault(str(right).partition(" ")[2], []).append(right.verb)
    return "; ".join(f"{', '.join(verbs)} {kind}" for kind, verbs in by_kind.items())
