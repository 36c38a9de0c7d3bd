"""The kit's metrics on the port of real model servers."""

import json
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sluice.sandbox import images
from sluice.sandbox.executor.one_pod import MODEL_HTTP, MODEL_METRICS, OnePod

NAME = "sluice.dev/models/iris-better:1.0"
PETAL = "petal length (cm)"
FLOWERS = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.1, 4.7, 1.5], [6.3, 2.9, 5.6, 1.8], [9.9, 3.0, 9.9, 1.8]]


def post(running, path, body, port=MODEL_HTTP):
    request = urllib.request.Request(
        f"http://{running.address}:{port}{path}",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=300) as answer:
        return json.load(answer)


def page(running):
    """(name, kind or slice, name of the feature, range and the like) -> value."""
    url = f"http://{running.address}:{MODEL_METRICS}/prometheus"
    with urllib.request.urlopen(url, timeout=300) as answer:
        text = answer.read().decode()
    return [sample for family in text_string_to_metric_families(text) for sample in family.samples]


def value(samples, name, **labels):
    found = [
        sample.value
        for sample in samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    return sum(found)


@pytest.fixture(scope="module")
def running():
    image = images.resolve(NAME)
    assert image is not None
    with OnePod(image, image_name=NAME, env={"GUNICORN_WORKERS": "2"}) as pod:
        yield pod


def test_every_request_of_two_workers_with_eight_threads_is_counted(running):
    before = page(running)

    def ask(i):
        return post(running, "/predict", {"data": {"ndarray": FLOWERS[: 1 + i % 4]}})

    with ThreadPoolExecutor(8) as callers:
        answers = list(callers.map(ask, range(200)))
    after = page(running)

    def counted(name, **labels):
        return value(after, name, **labels) - value(before, name, **labels)

    assert counted("sluice_model_rows_total") == 500
    name = "sluice_model_observations_total"
    for feature in (PETAL, "sepal width (cm)"):
        assert counted(name, kind="feature", variable=feature) == 500
    assert counted(name, kind="feature", variable=PETAL, range=">=6.71") == 50
    assert counted(name, kind="prediction", range="setosa") == 200
    said = "sluice_model_slice_predictions_total"
    assert counted(said, slice=PETAL, range=">=6.71", prediction="virginica") == 50
    assert counted("sluice_model_kit_failures_total") == 0
    # The model's own metric travels with the answer as ever; the kit's do not.
    assert {m["key"] for a in answers for m in a["meta"]["metrics"]} == {"iris_predictions"}


def test_series_are_few_named_once_and_say_whose_they_are(running):
    mine = [sample for sample in page(running) if sample.name.startswith("sluice_model_")]
    keys = [(sample.name, tuple(sorted(sample.labels.items()))) for sample in mine]
    assert len(keys) == len(set(keys)) == 238
    for sample in mine:
        assert sample.labels["deployment_name"] == "iris"
        assert sample.labels["predictor_name"] == "main"
    [info] = [sample for sample in mine if sample.name == "sluice_model_profile_info"]
    profile = json.loads((images.directory() / "better" / "profile.json").read_text())
    assert info.labels["profile"] == profile["hash"]
    assert value(mine, "sluice_model_reference", kind="feature", variable=PETAL) == profile["rows"]


def test_feedback_over_http_counts_the_outcome(running):
    flower = FLOWERS[0]
    response = post(running, "/api/v1.0/predictions", {"data": {"ndarray": [flower]}}, 8000)
    before = page(running)
    for truth, reward in (("setosa", 1.0), ("virginica", 0.0)):
        body = {
            "request": {"data": {"ndarray": [flower]}},
            "response": response,
            "truth": {"data": {"ndarray": [truth]}},
            "reward": reward,
        }
        post(running, "/send-feedback", body)
    after = page(running)

    def counted(name, **labels):
        return value(after, name, **labels) - value(before, name, **labels)

    name = "sluice_model_feedback_total"
    assert counted(name, truth="setosa", outcome="right") == 1
    assert counted(name, truth="virginica", outcome="wrong") == 1
    assert counted("sluice_model_feedback_slice_total", slice=PETAL, outcome="wrong") == 1
    assert counted("sluice_model_feedback_requests_total", answered="self") == 2
    assert counted("sluice_model_rewards_total") == 2, "a reward of 0 is one"
    assert counted("sluice_model_reward_total", sign="positive") == 1


def test_a_probe_of_health_is_no_traffic(running):
    before = value(page(running), "sluice_model_rows_total")
    url = f"http://{running.address}:{MODEL_HTTP}/health/status"
    with urllib.request.urlopen(url, timeout=300) as answer:
        assert answer.status == 200
    assert value(page(running), "sluice_model_rows_total") == before
