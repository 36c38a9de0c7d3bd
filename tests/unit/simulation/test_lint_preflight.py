"""Linting a ModelRollout's preflight: requests that are none, and too few to ever tell."""

from __future__ import annotations

import base64
import gzip
from typing import Any

import pytest

from sluice.simulation.files import Document
from sluice.simulation.lint import Finding, Linted, Traffic, lint

LINE = '{"data": {"ndarray": [[1, 2]]}}\n'


def rollout(**preflight: Any) -> Document:
    asked = {"requests": {"configMap": {"name": "r"}}, **preflight}
    content = {
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "ModelRollout",
        "metadata": {"name": "iris", "namespace": "prod"},
        "spec": {
            "template": {"spec": {"predictors": [{"graph": {"name": "m"}}]}},
            "preflight": asked,
        },
    }
    return Document("r.yaml", 1, content)


def held(text: str | bytes, *, name: str = "r", **meta: str) -> Document:
    where = "data" if isinstance(text, str) else "binaryData"
    told = text if isinstance(text, str) else base64.b64encode(text).decode()
    content = {"kind": "ConfigMap", "metadata": {"name": name, **meta}}
    return Document("c.yaml", 2, content | {where: {"requests.jsonl": told}})


def linted(*documents: Document) -> list[Linted]:
    return lint(list(documents), Traffic())


def findings(*documents: Document) -> list[Finding]:
    return [f for f in linted(*documents)[0].findings if f.where.startswith("spec.preflight")]


def test_enough_requests_are_nothing_to_complain_about_and_the_configmap_is_no_document() -> None:
    for text in (LINE * 368, gzip.compress((LINE * 368).encode())):
        documents = (rollout(), held(text))
        assert findings(*documents) == []
        assert len(linted(*documents)) == 1
    [both] = findings(rollout(), held(LINE * 367))
    assert (both.level, both.where) == ("error", "spec.preflight.agreement")
    assert "367 rows can never show that 0.99" in both.what
    assert "368" in both.what


def test_a_request_with_many_rows_counts_for_as_many() -> None:
    rows = ", ".join(["[1, 2]"] * 368)
    assert findings(rollout(), held(f'{{"data": {{"ndarray": [{rows}]}}}}\n')) == []


def test_latency_needs_requests_too() -> None:
    asked = {"slower": 1.5, "agreement": 1.0}
    assert findings(rollout(**asked), held(LINE * 6)) == []
    [found] = findings(rollout(**asked), held(LINE * 5))
    assert found.where == "spec.preflight.slower"


@pytest.mark.parametrize(
    ("rows", "asked", "level", "says"),
    [
        (400, {}, "note", "with at least 36 rows of it, here 0.09 of all rows; of one with fewer"),
        (400, {"leastRows": 50}, "note", "of one with fewer than 50 only harm is judged"),
        (400, {"leastRows": 5}, "note", "waits for one with 5 rows that cannot show it"),
        (20, {}, "warning", "20 rows can never show that 0.9 of a class agree"),
        (20, {"leastRows": 5}, "error", "that takes 36 of that class"),
    ],
)
def test_classes_need_rows_of_their_own(
    rows: int, asked: dict[str, Any], level: str, says: str
) -> None:
    spec = rollout(agreement=0.5, perClass=asked)
    [found] = findings(spec, held(LINE * rows))
    assert (found.level, found.where) == (level, "spec.preflight.perClass")
    assert says in found.what


def test_classes_that_are_to_agree_in_all_rows_need_no_number_of_them() -> None:
    assert findings(rollout(agreement=0.5, perClass={"agreement": 1}), held(LINE * 20)) == []
    [found] = findings(rollout(perClass={}), held(LINE * 400))
    assert found.fix.endswith("have 36; 36 are enough only where all agree, 160 where 0.95 do")


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (held(LINE + "{nothing\n"), "line 2: expected JSON"),
        (held("\n"), "has no request"),
        (held(b"\x1f\x8bnothing"), "gzip is broken"),
        (
            Document(
                "c.yaml", 2, {"kind": "ConfigMap", "metadata": {"name": "r"}, "data": {"x": ""}}
            ),
            "found x",
        ),
    ],
)
def test_what_is_no_request_is_named_with_its_line(document: Document, says: str) -> None:
    [found] = findings(rollout(), document)
    assert (found.level, found.where) == ("error", "spec.preflight.requests.configMap")
    assert says in found.what
    assert found.what.startswith("c.yaml, document 2: r/requests.jsonl")


@pytest.mark.parametrize(
    "documents", [(), (held(LINE, name="other"),), (held(LINE, namespace="stage"),)]
)
def test_a_configmap_that_is_not_among_the_files_is_noted(documents: tuple[Document, ...]) -> None:
    [found] = findings(rollout(), *documents)
    assert (found.level, found.where) == ("note", "spec.preflight.requests.configMap")


def test_an_empty_configmap_is_noted_since_a_capture_may_fill_it() -> None:
    empty = Document("c.yaml", 2, {"kind": "ConfigMap", "metadata": {"name": "r"}})
    [found] = findings(rollout(), empty)
    assert (found.level, found.where) == ("note", "spec.preflight.requests.configMap")
    assert "--key requests.jsonl" in found.fix


def test_other_configmaps_are_told_as_before() -> None:
    found = linted(rollout(), held(LINE * 400), held(LINE, name="other"))
    assert [one.document.kind for one in found] == ["ModelRollout", "ConfigMap"]
    assert "is not looked at" in found[1].findings[0].what


@pytest.mark.parametrize(
    ("preflight", "says"),
    [
        ({"agreement": 0}, "greater than 0"),
        ({"agreement": 1.2}, "less than or equal to 1"),
        ({"perClass": {"agreement": 0}}, "greater than 0"),
        ({"perClass": {"leastRows": 0}}, "greater than or equal to 1"),
        ({"timeout": "2h"}, "at most 1h"),
        ({"timeout": "0s"}, "above 0s"),
        ({"answerTimeout": "11m"}, "at most 10m"),
        ({"examples": 11}, "less than or equal to 10"),
        ({"onUndecided": "Proceed"}, "'Pause' or 'RollBack'"),
        ({"requests": {"file": "r.jsonl"}}, "configMap"),
    ],
)
def test_a_spec_that_cannot_be_is_an_error(preflight: dict[str, Any], says: str) -> None:
    [found] = linted(rollout(**preflight))[0].findings
    assert found.level == "error"
    assert "spec.preflight" in found.what
    assert says in found.what
