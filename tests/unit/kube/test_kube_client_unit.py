"""What the client makes of answers, without a server."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from sluice.errors import (
    ApiError,
    ApiUnavailableError,
    ConflictError,
    ForbiddenError,
    GoneError,
    InvalidError,
    NotFoundError,
    PatchTestFailedError,
    UsageError,
)
from sluice.kube.client import Client
from sluice.kube.rbac import Right, can_i, missing
from sluice.kube.transport import Call, Timeout
from sluice.resources import (
    CLUSTER_CANARY_POLICIES,
    CONFIG_MAPS,
    DEPLOYMENTS,
    PODS,
    SELDON_DEPLOYMENTS,
)
from sluice.testing.kube import FakeKube


class Canned:
    """A transport that always answers the same."""

    server = "https://server"

    def __init__(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        self.status = status
        self.headers: Mapping[str, str] = headers or {}
        self._body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.calls: list[Call] = []
        self.closed = 0

    def send(self, call: Call) -> Canned:
        self.calls.append(call)
        return self

    def read(self) -> bytes:
        return self._body

    def lines(self) -> Iterator[bytes]:
        yield from self._body.splitlines()

    def interrupt(self) -> None: ...

    def close(self) -> None:
        self.closed += 1


def status(code: int, reason: str, message: str, **details: Any) -> dict[str, Any]:
    body = {"kind": "Status", "code": code, "reason": reason, "message": message}
    return {**body, "details": details}


UNFIT = status(422, "Invalid", "the server rejected our request due to an error in our request")
WEBHOOK_DOWN = status(
    500, "InternalError", 'failed calling webhook "v1.seldon": connection refused', name="x"
)
WEBHOOK_SAYS_NO = status(
    422, "Invalid", 'admission webhook "v1.seldon" denied the request: sum must be 100'
)


@pytest.mark.parametrize(
    ("code", "body", "error"),
    [
        (404, status(404, "NotFound", "gone"), NotFoundError),
        (409, status(409, "Conflict", "changed"), ConflictError),
        (410, status(410, "Expired", "old"), GoneError),
        (401, status(401, "Unauthorized", "who"), ForbiddenError),
        (403, status(403, "Forbidden", "may not"), ForbiddenError),
        (
            403,
            status(403, "Forbidden", 'webhook "w" denied the request'),
            InvalidError,
        ),
        (400, status(400, "BadRequest", "what"), InvalidError),
        (422, UNFIT, PatchTestFailedError),
        (429, status(429, "TooManyRequests", "slow"), ApiUnavailableError),
        (500, WEBHOOK_DOWN, ApiUnavailableError),
        (503, b"upstream connect error", ApiUnavailableError),
    ],
)
def test_each_refusal_has_its_error(code: int, body: Any, error: type[ApiError]) -> None:
    client = Client(Canned(code, body))
    with pytest.raises(error) as refused:
        client.json_patch(SELDON_DEPLOYMENTS, "iris", "prod", [])
    assert type(refused.value) is error
    assert refused.value.status == code
    text = str(refused.value)
    assert text.startswith("patch seldondeployments.machinelearning.seldon.io prod/iris: ")
    said = body.decode() if isinstance(body, bytes) else body["message"]
    assert said in text


def test_a_webhook_that_refuses_content_is_no_failed_patch_test() -> None:
    with pytest.raises(InvalidError, match="sum must be 100") as refused:
        Client(Canned(422, WEBHOOK_SAYS_NO)).json_patch(SELDON_DEPLOYMENTS, "iris", "prod", [])
    assert not isinstance(refused.value, PatchTestFailedError)


def test_the_server_can_ask_for_patience() -> None:
    answer = Canned(429, status(429, "TooManyRequests", "slow"), {"Retry-After": "7"})
    with pytest.raises(ApiUnavailableError) as refused:
        Client(answer).list(PODS)
    assert refused.value.retry_after == 7.0


def test_a_quoted_object_does_not_fill_the_screen() -> None:
    with pytest.raises(InvalidError) as refused:
        Client(Canned(422, status(422, "Invalid", "x" * 100_000))).get(PODS, "one", "prod")
    assert len(str(refused.value)) < 1000


def test_causes_name_the_field() -> None:
    causes = [{"field": "spec.steps", "message": "weights must ascend"}]
    body = status(422, "Invalid", "ModelRollout is invalid", causes=causes)
    with pytest.raises(InvalidError, match=r"is invalid; spec\.steps weights must ascend"):
        Client(Canned(422, body)).create(CONFIG_MAPS, {"metadata": {"name": "a"}}, "prod")


def test_an_answer_that_is_no_json_is_an_outage() -> None:
    with pytest.raises(ApiUnavailableError, match="expected JSON from https://server"):
        Client(Canned(200, b"<html>")).get(PODS, "one", "prod")


def test_each_call_has_a_timeout_and_gives_its_connection_back() -> None:
    transport = Canned(200, {"items": [], "metadata": {}})
    client = Client(transport, timeout=Timeout(1, 2))
    client.get(PODS, "one", "prod")
    client.list(PODS)
    client.with_timeout(Timeout(3, 4)).get(PODS, "one", "prod")
    stream = client.watch(PODS, resource_version="1", timeout_seconds=60)
    assert [call.timeout for call in transport.calls] == [(1, 2), (1, 2), (3, 4), (1, 70)]
    assert transport.closed == 3
    stream.close()
    stream.close()
    assert transport.closed == 4


def test_requests_are_counted_with_their_outcome(kube: FakeKube) -> None:
    seen: list[tuple[str, str, int]] = []
    client = kube.client(on_request=lambda *what: seen.append(what))
    client.list(PODS)
    kube.fail_next("get", status=0)
    with pytest.raises(ApiUnavailableError, match=r"no answer from fake://kube \(injected\)"):
        client.get(PODS, "one", "prod")
    assert seen == [("list", "pods", 200), ("get", "pods", 0)]


def test_a_list_starts_over_when_its_pages_have_expired(kube: FakeKube) -> None:
    client = kube.client()
    for number in range(5):
        client.create(CONFIG_MAPS, {"metadata": {"name": f"cm-{number}"}}, "prod")

    def expire(call: Call) -> None:
        if "continue" in dict(call.query):
            kube.on_call = None
            kube.fail_next("list", status=410)

    kube.on_call = expire
    assert len(client.list(CONFIG_MAPS, "prod", limit=2).items) == 5
    assert [seen.query.get("limit") for seen in kube.calls if seen.verb == "list"] == [
        "2",
        "2",
        None,
    ]


def test_paths_escape_names_and_demand_a_namespace() -> None:
    assert DEPLOYMENTS.path("a/b", "prod") == "/apis/apps/v1/namespaces/prod/deployments/a%2Fb"
    assert PODS.path() == "/api/v1/pods"
    assert CLUSTER_CANARY_POLICIES.path("x", None).endswith("/clustercanarypolicies/x")
    with pytest.raises(ValueError, match="Pod one needs a namespace"):
        PODS.path("one")
    with pytest.raises(ValueError, match="needs a name"):
        PODS.path("", "prod")


def test_without_any_kubeconfig_the_ways_to_give_one_are_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(UsageError, match="--kubeconfig"):
        Client.connect()
    with pytest.raises(UsageError, match="nowhere cannot be used: there is no such file"):
        Client.connect(kubeconfig=str(tmp_path / "nowhere"))


@pytest.mark.parametrize("text", ["just words", "- a\n- list", "contexts: 3", "a: [unclosed"])
def test_a_file_that_is_no_kubeconfig_is_a_usage_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "odd"
    path.write_text(text)
    with pytest.raises(UsageError, match="odd cannot be used"):
        Client.connect(kubeconfig=str(path))


def test_the_context_says_where_and_in_which_namespace(tmp_path: Path) -> None:
    path = tmp_path / "config"
    contexts = [
        {"name": name, "context": {"cluster": name, "user": "u", "namespace": f"{name}-ns"}}
        for name in ("one", "two")
    ]
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "one",
        "contexts": contexts,
        "clusters": [
            {"name": name, "cluster": {"server": f"https://{name}"}} for name in ("one", "two")
        ],
        "users": [{"name": "u", "user": {"token": "t"}}],
    }
    path.write_text(json.dumps(config))
    first = Client.connect(kubeconfig=str(path))
    second = Client.connect(kubeconfig=str(path), context="two")
    assert (first.server, first.namespace) == ("https://one", "one-ns")
    assert (second.server, second.namespace) == ("https://two", "two-ns")
    with pytest.raises(UsageError, match="context three"):
        Client.connect(kubeconfig=str(path), context="three")


def test_missing_rights_are_named_as_a_person_would_ask_for_them(kube: FakeKube) -> None:
    kube.denied = {("patch", "seldondeployments")}
    client = kube.client()
    patch = Right("patch", SELDON_DEPLOYMENTS, "prod")
    assert can_i(client, Right("get", SELDON_DEPLOYMENTS))
    assert missing(client, [Right("get", PODS), patch]) == [patch]
    assert str(patch) == "patch seldondeployments.machinelearning.seldon.io in namespace prod"
    assert str(Right("update", DEPLOYMENTS, subresource="scale")) == (
        "update deployments.apps/scale in all namespaces"
    )
    assert str(Right("list", CLUSTER_CANARY_POLICIES)) == "list clustercanarypolicies.sluice.dev"
