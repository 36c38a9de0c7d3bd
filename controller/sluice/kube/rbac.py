"""Who we are and which rights we have, asked of the server itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sluice.errors import ApiError
from sluice.kube.client import Client
from sluice.resources import (
    SELF_SUBJECT_ACCESS_REVIEWS,
    SELF_SUBJECT_REVIEWS,
    SUBJECT_ACCESS_REVIEWS,
    Resource,
)


@dataclass(frozen=True)
class Right:
    """One verb on one kind; `namespace` None: everywhere."""

    verb: str
    resource: Resource
    namespace: str | None = None
    subresource: str = ""
    name: str = ""

    def __str__(self) -> str:
        kind = self.resource.qualified
        if self.subresource:
            kind = f"{kind}/{self.subresource}"
        if self.name:
            kind = f"{kind} {self.name}"
        if not self.resource.namespaced:
            return f"{self.verb} {kind}"
        where = f"namespace {self.namespace}" if self.namespace else "all namespaces"
        return f"{self.verb} {kind} in {where}"


@dataclass(frozen=True)
class Account:
    """A ServiceAccount."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"system:serviceaccount:{self.namespace}:{self.name}"


def can_i(client: Client, right: Right) -> bool:
    """Whether the server would let us (a SelfSubjectAccessReview, open to everybody)."""
    return _ask(client, SELF_SUBJECT_ACCESS_REVIEWS, right, {})


def can(client: Client, account: Account, right: Right) -> bool:
    """Whether it would let a ServiceAccount. Raises ForbiddenError where we may not ask that."""
    groups = ["serviceaccounts", f"serviceaccounts:{account.namespace}"]
    groups = [*(f"system:{group}" for group in groups), "system:authenticated"]
    return _ask(client, SUBJECT_ACCESS_REVIEWS, right, {"user": str(account), "groups": groups})


def _ask(client: Client, kind: Resource, right: Right, who: dict[str, object]) -> bool:
    resource = right.resource
    attributes = {
        "verb": right.verb,
        "group": resource.group,
        "version": resource.version,
        "resource": resource.plural,
        "subresource": right.subresource,
        "namespace": (right.namespace or "") if resource.namespaced else "",
        "name": right.name,
    }
    review = {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "spec": {
            **who,
            "resourceAttributes": {key: value for key, value in attributes.items() if value},
        },
    }
    answer = client.create(kind, review)
    return bool((answer.get("status") or {}).get("allowed"))


def missing(client: Client, rights: Iterable[Right]) -> list[Right]:
    """Those of `rights` we do not have, in their order."""
    return [right for right in rights if not can_i(client, right)]


def who_am_i(client: Client) -> str:
    """Our user name as the server knows it; "" where it does not tell (before Kubernetes 1.28)."""
    review = {"apiVersion": SELF_SUBJECT_REVIEWS.api_version, "kind": SELF_SUBJECT_REVIEWS.kind}
    try:
        answer = client.create(SELF_SUBJECT_REVIEWS, review)
    except ApiError:
        return ""
    return str(((answer.get("status") or {}).get("userInfo") or {}).get("username", ""))
