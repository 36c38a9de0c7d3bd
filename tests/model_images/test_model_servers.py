"""Real model servers behind the executor's stand-in, as they run in a pod of the sandbox."""

import json
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sluice.errors import SandboxError
from sluice.sandbox import images
from sluice.sandbox.executor.one_pod import OnePod

SHORT_PETAL, LONG_PETAL = [5.1, 3.5, 1.4, 0.2], [6.7, 3.1, 5.6, 2.4]


def pod(variant, **options):
    name = f"sluice.dev/models/iris-{variant}:1.0"
    image = images.resolve(name)
    assert image is not None
    return OnePod(image, image_name=name, **options)


def predict(running, flower):
    """(status, parsed body)."""
    request = urllib.request.Request(
        f"{running.url}/api/v1.0/predictions",
        json.dumps({"data": {"ndarray": [flower]}}).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=300) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def served(running):
    """code -> count of the server's predictions."""
    with urllib.request.urlopen(f"{running.url}/prometheus", timeout=300) as answer:
        text = answer.read().decode()
    return {
        sample.labels["code"]: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "seldon_api_executor_server_requests_seconds_count"
        and sample.labels["service"] == "predictions"
    }


def test_a_pod_of_the_stable_image_answers_and_counts():
    with pod("stable") as running:
        status, body = predict(running, SHORT_PETAL)
        assert status == 200
        assert body["data"]["names"] == ["setosa", "versicolor", "virginica"]
        assert body["meta"]["requestPath"] == {"model": "sluice.dev/models/iris-stable:1.0"}
        assert served(running) == {"200": 1}


def test_faulty_fails_on_some_flowers_and_the_executor_says_so():
    with pod("faulty") as running:
        assert predict(running, SHORT_PETAL)[0] == 200
        status, body = predict(running, LONG_PETAL)
        assert status == 500
        assert body["status"]["reason"] == "MICROSERVICE_INTERNAL_ERROR"
        assert served(running) == {"200": 1, "500": 1}


def test_slow_answers_side_by_side_and_none_is_lost():
    with pod("slow") as running:
        with ThreadPoolExecutor(8) as callers:
            answers = list(callers.map(lambda _: predict(running, SHORT_PETAL)[0], range(16)))
        assert answers == [200] * 16
        with urllib.request.urlopen(f"{running.url}/prometheus", timeout=300) as answer:
            text = answer.read().decode()
        fast = [
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == "seldon_api_executor_server_requests_seconds_bucket"
            and sample.labels["le"] == "0.075"
        ]
        assert fast == [0], "every prediction takes at least 80 ms"


def test_crashing_ends_before_it_listens():
    with pytest.raises(SandboxError, match="ended with 1"), pod("crashing"):
        pass


def test_two_pods_use_the_same_ports_side_by_side():
    with pod("stable") as one, pod("better") as other:
        assert one.address != other.address
        assert predict(one, SHORT_PETAL)[0] == predict(other, SHORT_PETAL)[0] == 200
        assert served(one) == served(other) == {"200": 1}


def test_a_killed_model_makes_the_pod_unready_and_a_new_one_ready_again():
    with pod("stable") as running:
        running.kill_model()
        assert predict(running, SHORT_PETAL)[0] == 500
        with pytest.raises(urllib.error.HTTPError, match="503"):
            urllib.request.urlopen(f"{running.url}/ready", timeout=300)
        running.start_model()
        assert predict(running, SHORT_PETAL)[0] == 200


@pytest.mark.parametrize(
    ("image", "variant"),
    [
        ("sluice.dev/models/iris-stable:1.0", "stable"),
        ("registry:5000/iris-better-two", "better-two"),
        ("iris-slow@sha256:abc", "slow"),
        ("x/iris-unheard-of:1", None),
        ("repo/m:1", None),
    ],
)
def test_only_the_variant_of_an_image_name_matters(image, variant):
    assert images.variant_of(image) == variant
