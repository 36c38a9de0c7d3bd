"""The rights of the controller's ServiceAccount, asked of the API server itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby

from sluice.doctor.findings import Finding, error, note, ok, warning
from sluice.errors import ForbiddenError
from sluice.kube.client import Client
from sluice.kube.rbac import Account, Right, can, can_i
from sluice.kube.roles import (
    CLUSTER_POLICIES,
    PREFLIGHT_FILE,
    RETRAINING_FILE,
    Granted,
    granted,
)


def check(client: Client, account: Account, watched: Sequence[str]) -> list[Finding]:
    """What `account` may not do though the shipped roles say so.

    `watched` are the namespaces that the controller is confined to, none: it works everywhere.
    """
    wanted = granted(account.namespace, watched)
    try:
        can(client, account, wanted[0].right)
    except ForbiddenError:
        return _of_oneself(client, account, wanted)
    return _missing(wanted, account, lambda right: can(client, account, right))


def _missing(
    wanted: list[Granted], account: Account, allowed: Callable[[Right], bool]
) -> list[Finding]:
    findings = []
    where = f"ServiceAccount {account.namespace}/{account.name}"
    for (optional, file), group in groupby(wanted, lambda one: (one.optional, one.file)):
        rights = [one.right for one in group]
        missing = [right for right in rights if not allowed(right)]
        if not missing:
            if rights[0].resource.plural != CLUSTER_POLICIES:
                what = f"has all {len(rights)} rights of {file}"
                findings.append(ok("RightsGranted", what, where))
        elif not optional:
            findings.append(
                error(
                    "RightsMissing",
                    f"may not {grouped(missing)}",
                    where,
                    f"kubectl apply -f manifests/rbac/{file} (helm: --set rbac.create=true)",
                )
            )
        elif rights[0].resource.plural == CLUSTER_POLICIES:
            findings.append(
                note(
                    "ClusterPoliciesNotReadable",
                    f"confined to namespaces, it may not {grouped(missing)}: rollouts that name a "
                    "ClusterCanaryPolicy stall; CanaryPolicies and the default policy work",
                    where,
                    "helm: --set rbac.clusterPolicies=true, if you want those",
                )
            )
        elif file == PREFLIGHT_FILE:
            findings.append(
                note(
                    "PreflightRightsMissing",
                    f"may not {grouped(missing)}: rollouts with spec.preflight wait for it, unless "
                    "a Role in their namespace gives it",
                    where,
                    f"kubectl apply -f manifests/rbac/{file} (helm: --set rbac.preflight=true)",
                )
            )
        elif file == RETRAINING_FILE:
            findings.append(
                note(
                    "RetrainingRightsMissing",
                    f"may not {grouped(missing)}: a retraining by a Job (spec.monitoring) waits; "
                    "one by a webhook does not",
                    where,
                    f"kubectl apply -f manifests/rbac/{file} "
                    "(helm: --set rbac.retraining=true), if you want that",
                )
            )
        else:
            findings.append(
                warning(
                    "RoutesRightsMissing",
                    f"may not {grouped(missing)}: while Seldon is frozen a rollback takes longer, "
                    "and shifts are verified by counted requests alone",
                    where,
                    f"kubectl apply -f manifests/rbac/{file} "
                    "(helm: --set rbac.virtualServices=true)",
                )
            )
    return findings


def _of_oneself(client: Client, account: Account, wanted: list[Granted]) -> list[Finding]:
    """Whoever may not ask for others can ask for himself: enough inside the controller's pod."""
    missing = [one.right for one in wanted if not can_i(client, one.right)]
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
