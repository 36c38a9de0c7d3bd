"""`sluice compare` against real model servers, as a person calls it."""

import json
import random
import subprocess
import sys

import pytest

from sluice.sandbox import images
from sluice.sandbox.executor.one_pod import OnePod


@pytest.fixture(scope="module")
def pods():
    """variant -> URL, each behind an executor."""
    with (
        OnePod(images.resolve("iris-better")) as better,
        OnePod(images.resolve("iris-shuffled")) as shuffled,
        OnePod(images.resolve("iris-faulty")) as faulty,
    ):
        yield {"better": better.url, "shuffled": shuffled.url, "faulty": faulty.url}


@pytest.fixture(scope="module")
def requests(tmp_path_factory):
    """500 requests of flowers like those of all three species."""
    chance = random.Random(4)
    kinds = [[5.0, 3.4, 1.5, 0.2], [5.9, 2.8, 4.3, 1.3], [6.6, 3.0, 5.6, 2.0]]
    lines = []
    for n in range(500):
        flower = [round(value * chance.uniform(0.95, 1.05), 2) for value in kinds[n % 3]]
        lines.append(json.dumps({"data": {"ndarray": [flower]}}))
    file = tmp_path_factory.mktemp("compare") / "requests.jsonl"
    file.write_text("\n".join(lines) + "\n")
    return file


def compare(stable, candidate, requests, *words):
    return subprocess.run(
        [sys.executable, "-m", "sluice.cli.main", "compare", "--stable", stable,
         "--candidate", candidate, "--requests", str(requests), *words],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def test_a_version_is_the_same_as_itself(pods, requests):
    done = compare(pods["better"], pods["better"], requests, "-o", "json", "--distance", "0")
    assert done.returncode == 0, done.stderr + done.stdout
    found = json.loads(done.stdout)
    assert found["verdict"] == "Pass"
    assert found["rows"] == found["agreeing"] == 500
    assert found["distance"]["greatest"] == 0
    assert found["codes"] == [{"stable": "200", "candidate": "200", "requests": 500}]


def test_a_model_of_shuffled_labels_is_found_though_it_is_fast_and_fails_nothing(pods, requests):
    done = compare(pods["better"], pods["shuffled"], requests)
    assert done.returncode == 3, done.stderr + done.stdout
    assert done.stdout.startswith("Harm: 500 requests")
    lines = [line.split() for line in done.stdout.splitlines()]
    [virginica] = [words for words in lines if words[:1] == ["virginica"] and "versicolor" in words]
    assert virginica[2] == "0.0%"


def test_failures_of_the_candidate_alone_are_its_own(pods, requests):
    done = compare(pods["better"], pods["faulty"], requests, "-o", "json")
    assert done.returncode == 3
    found = json.loads(done.stdout)
    codes = {(one["stable"], one["candidate"]): one["requests"] for one in found["codes"]}
    assert codes["200", "500"] > 50
    assert found["rows"] - found["agreeing"] == codes["200", "500"], "the rest is answered alike"


def test_a_few_requests_are_too_few_to_tell(pods, requests):
    done = compare(pods["better"], pods["better"], requests, "--limit", "20")
    assert done.returncode == 5
    assert "it takes at least 368 rows" in done.stdout


def test_a_rare_class_is_not_averaged_away_where_classes_are_asked_for(pods, tmp_path):
    flowers = [[5.0, 3.4, 1.5, 0.2]] * 19 + [[6.6, 3.0, 5.6, 2.0]]
    file = tmp_path / "requests.jsonl"
    file.write_text("".join(json.dumps({"data": {"ndarray": [f]}}) + "\n" for f in flowers * 30))
    whole = compare(pods["better"], pods["shuffled"], file, "--agreement", "0.9")
    assert whole.returncode == 0, whole.stderr + whole.stdout
    by_class = ("--agreement", "0.9", "--class-agreement", "0.9")
    done = compare(pods["better"], pods["shuffled"], file, *by_class)
    assert done.returncode == 3, done.stderr + done.stdout
    assert "class virginica Harm 0 of 30 rows agree" in " ".join(done.stdout.split())
    same = compare(pods["better"], pods["better"], file, *by_class, "-o", "json")
    assert same.returncode == 0
    checks = {one["name"]: one for one in json.loads(same.stdout)["checks"]}
    assert checks["class virginica"]["harmOnly"] is True, "30 rows, and it takes 36"
    waits = compare(pods["better"], pods["better"], file, *by_class, "--class-rows", "20")
    assert waits.returncode == 5
