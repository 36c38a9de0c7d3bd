"""What the controller lacks is named: verb, resource, group, namespace and role."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from sluice.errors import ForbiddenError, NotFoundError
from sluice.kube.failures import lacks_right
from sluice.kube.roles import Granted, granted
from sluice.loops.own_metrics import OwnMetrics
from sluice.loops.rights import Rights
from sluice.resources import SELDON_DEPLOYMENTS
from sluice.testing.clock import ManualClock
from sluice.testing.kube import FakeKube
from tests.unit.loops.small_loop import KEY, SmallLoop


def rights(kube: FakeKube, *watched: str) -> Rights:
    wanted = granted("sluice-system", watched)
    gauge = OwnMetrics().missing_rights
    return Rights(kube.client(), wanted, clock=ManualClock(), gauge=gauge)


def test_nothing_is_said_while_all_is_there() -> None:
    found = rights(FakeKube())
    with capture_logs() as said:
        found.look()
    assert (found.problem(), found.missing, said) == ("", [], [])


def test_a_missing_right_is_told_once_with_its_role_and_again_when_it_is_there() -> None:
    kube = FakeKube()
    found = rights(kube)
    kube.denied = {("patch", "seldondeployments")}
    with capture_logs() as said:
        found.look()
        found.look()
    assert found.problem() == (
        "may not patch seldondeployments.machinelearning.seldon.io in all namespaces "
        "(the role that should have it: ClusterRole sluice-controller)"
    )
    [line] = said
    assert {key: line[key] for key in ("verb", "resource", "group", "role")} == {
        "verb": "patch",
        "resource": "seldondeployments",
        "group": "machinelearning.seldon.io",
        "role": "ClusterRole sluice-controller",
    }
    kube.denied = set()
    with capture_logs() as said:
        found.look()
    assert [line["event"] for line in said] == ["RightGranted"]
    assert found.problem() == ""


def test_an_optional_right_keeps_nobody_from_being_ready() -> None:
    kube = FakeKube()
    found = rights(kube)
    kube.denied = {("patch", "virtualservices")}
    found.look()
    assert found.problem() == ""
    assert [str(one.right) for one in found.missing] == [
        "patch virtualservices.networking.istio.io in all namespaces"
    ]


def test_a_confined_controller_asks_for_roles_in_its_namespaces_and_nothing_cluster_wide() -> None:
    def needed(*watched: str) -> list[Granted]:
        return [one for one in granted("sluice-system", watched) if not one.optional]

    namespaces = {one.right.namespace for one in needed("prod", "stage")}
    assert namespaces == {"prod", "stage", "sluice-system"}
    everywhere, one, two = needed(), needed("prod"), needed("prod", "stage")
    leases = [o for o in everywhere if o.right.namespace == "sluice-system"]
    assert len(two) - len(one) == len(one) - len(leases)
    optional = [one for one in granted("sluice-system", ("prod",)) if one.optional]
    assert {one.role for one in optional if not one.right.resource.namespaced} == {
        "ClusterRole sluice-policies-NAMESPACE"
    }


NO_RIGHT = (
    'User "system:serviceaccount:sluice-system:sluice-controller" cannot create resource '
    '"seldondeployments" in API group "machinelearning.seldon.io" in the namespace "prod"'
)


def test_whoever_rolls_out_reads_the_missing_right_in_the_status() -> None:
    loop = SmallLoop()
    loop.apply("repo/iris:1")
    loop.kube.fail_next("create", "seldondeployments", status=403, message=NO_RIGHT)
    with pytest.raises(ForbiddenError):
        loop.reconciler.reconcile(KEY)
    stalled = loop.status.condition("Stalled")
    assert stalled is not None
    assert (stalled.status, stalled.reason) == ("True", "RightMissing")
    assert NO_RIGHT in stalled.message
    loop.settle()
    after = loop.status.condition("Stalled")
    assert after is not None
    assert after.status == "False"


def test_a_quota_is_no_missing_right() -> None:
    loop = SmallLoop()
    loop.apply("repo/iris:1")
    quota = 'seldondeployments "iris" is forbidden: exceeded quota: count'
    loop.kube.fail_next("create", "seldondeployments", status=403, message=quota)
    with pytest.raises(ForbiddenError) as refused:
        loop.reconciler.reconcile(KEY)
    assert not lacks_right(refused.value)
    assert loop.status.condition("Stalled") is None
    with pytest.raises(NotFoundError):
        loop.client.get(SELDON_DEPLOYMENTS, "iris", "prod")
