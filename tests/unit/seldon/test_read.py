from __future__ import annotations

from typing import Any

from seldon_objects import predictor, sdep, virtual_service

from sluice.errors import ForbiddenError
from sluice.seldon.read import Sources, WorldReader
from sluice.seldon.revision import revision_of

OWNER = [{"kind": "SeldonDeployment", "name": "iris", "uid": "u1"}]


def deployment(name: str = "main", ready: int = 1, unavailable: int = 0, **status: Any) -> dict:
    app = f"iris-{name}-0-model"
    return {
        "metadata": {
            "name": app,
            "generation": 1,
            "labels": {"version": name},
            "ownerReferences": OWNER,
        },
        "spec": {"replicas": ready + unavailable, "selector": {"matchLabels": {"app": app}}},
        "status": {
            "observedGeneration": 1,
            "readyReplicas": ready,
            "unavailableReplicas": unavailable,
            "updatedReplicas": ready + unavailable,
            **status,
        },
    }


def pod(name: str = "main", **state: Any) -> dict:
    return {
        "metadata": {"name": f"{name}-x", "labels": {"app": f"iris-{name}-0-model"}},
        "status": {"containerStatuses": [{"name": "model", "ready": False, "state": state}]},
    }


def sources(live: dict | None, *deployments: dict, vs: Any = None, pods: Any = ()) -> Sources:
    def routes(namespace: str, name: str) -> dict | None:
        if isinstance(vs, Exception):
            raise vs
        return vs

    def listed_pods(namespace: str, name: str) -> list[dict]:
        assert pods is not None, "pods must not be asked for"
        return list(pods)

    return Sources(lambda n, s: live, lambda n, s: deployments, routes, listed_pods)


def read(*args: Any, **kwargs: Any) -> Any:
    return WorldReader(sources(*args, **kwargs)).read("prod", "iris")


def test_a_missing_seldon_deployment_does_not_exist() -> None:
    assert not read(None).exists


def test_everything_is_read_in_one_pass() -> None:
    live = sdep(predictor("main", traffic=80, replicas=1), predictor("v2", traffic=20))
    live["status"] = {"state": "Available"}
    live["metadata"]["ownerReferences"] = [
        {"kind": "ModelRollout", "apiVersion": "sluice.dev/v1alpha1", "name": "iris"}
    ]
    world = read(
        live, deployment("main"), deployment("v2"), vs=virtual_service(main=80, v2=20), pods=None
    )
    assert [(p.name, p.weight, p.replicas) for p in world.predictors] == [
        ("main", 80, 1),
        ("v2", 20, None),
    ]
    assert world.predictors[0].revision == revision_of(predictor())
    assert (world.uid, world.generation, world.owned, world.state) == ("u1", 1, True, "Available")
    assert world.routes == {"main": 80, "v2": 20}
    assert world.ready("main")
    assert world.ready("v2")
    assert world.blockers() == ()


def test_a_single_predictor_without_traffic_has_all_of_it() -> None:
    world = read(sdep(predictor(), predictor("s", shadow=True)), deployment())
    assert [(p.weight, p.shadow) for p in world.predictors] == [(100, False), (0, True)]


def test_deployments_of_others_do_not_count() -> None:
    foreign = deployment()
    foreign["metadata"]["ownerReferences"] = [{"kind": "SeldonDeployment", "name": "rose"}]
    older = deployment()
    older["metadata"]["ownerReferences"] = [{**OWNER[0], "uid": "before"}]
    world = read(sdep(predictor()), foreign, older)
    assert [d.current for d in world.health["main"]] == [False]


def test_trap_1_a_deployment_that_is_not_there_yet_blocks() -> None:
    world = read(sdep(predictor(), predictor("v2", traffic=0)), deployment())
    assert [d.name for d in world.blockers()] == ["iris-v2-0-model"]


def test_a_deployment_with_an_older_status_is_not_whole() -> None:
    world = read(sdep(predictor()), deployment(observedGeneration=0))
    assert not world.ready("main")


def test_a_crash_looping_container_is_named() -> None:
    said = "back-off 10s restarting failed container=model"
    waiting = pod(waiting={"reason": "CrashLoopBackOff", "message": said})
    world = read(sdep(predictor()), deployment(ready=0, unavailable=1), pods=[waiting])
    assert world.health["main"][0].problem == f"CrashLoopBackOff: {said}"


def test_a_pod_without_a_place_and_an_unready_one_are_told_apart() -> None:
    nowhere = pod()
    nowhere["status"] = {
        "conditions": [
            {
                "type": "PodScheduled",
                "status": "False",
                "reason": "Unschedulable",
                "message": "full",
            }
        ]
    }
    broken = deployment(ready=0, unavailable=1)
    assert read(sdep(predictor()), broken, pods=[nowhere]).health["main"][0].problem == (
        "Unschedulable: full"
    )
    running = pod(running={})
    assert "runs, but is not ready" in (
        read(sdep(predictor()), broken, pods=[running]).health["main"][0].problem
    )
    [container] = running["status"]["containerStatuses"]
    container |= {"restartCount": 3, "lastState": {"terminated": {"exitCode": 1}}}
    assert (
        read(sdep(predictor()), broken, pods=[running])
        .health["main"][0]
        .problem.endswith("it was restarted 3 times, the last time after exit code 1")
    ), "between two crashes it runs"


def test_a_quota_is_told_by_the_deployment() -> None:
    conditions = [
        {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "quota"}
    ]
    world = read(sdep(predictor()), deployment(ready=0, unavailable=1, conditions=conditions))
    assert world.health["main"][0].problem == "FailedCreate: quota"


def test_routes_that_may_not_be_read_are_no_failure() -> None:
    world = read(sdep(predictor()), deployment(), vs=ForbiddenError("may not get virtualservices"))
    assert (world.routes, world.routes_problem) == (None, "may not get virtualservices")


def test_over_long_names_are_followed_as_seldon_hashes_them() -> None:
    one = predictor("v" + "1" * 8)
    one["componentSpecs"][0]["metadata"] = {"name": "c" * 60}
    world = read(sdep(one))
    assert world.blockers()[0].name.startswith("seldon-")


def test_a_shadow_is_told_by_what_seldon_made_and_by_who_gets_copies() -> None:
    live = sdep(predictor("main", traffic=100), predictor("v2", traffic=50, shadow=True))
    routes = virtual_service(main=100)
    for rule in routes["spec"]["http"]:
        rule["mirror"] = {"subset": "v2"}
        rule["mirrorPercentage"] = {"value": 50}
    copied = deployment("v2")
    copied["metadata"]["labels"]["seldon.io/shadow"] = "true"
    world = read(live, deployment("main"), copied, vs=routes)
    assert [p.shadow for p in world.predictors] == [False, True]
    assert [world.health[n][0].shadow for n in ("main", "v2")] == [False, True]
    assert (world.routes, world.mirrors) == ({"main": 100}, {"v2": 50})


def test_a_shadow_with_our_name_is_ours() -> None:
    ours = f"v{revision_of(predictor())}"
    world = read(sdep(predictor("main"), predictor(ours, shadow=True)))
    assert [p.ours for p in world.predictors] == [False, True]
