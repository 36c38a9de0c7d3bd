"""In what two answers to one request differ."""

from __future__ import annotations

from typing import Any

import pytest

from sluice.compare.answers import Answer
from sluice.compare.pairs import What, compare

from .messages import DEAD, NAMES, SETOSA, VERSICOLOR, answer, ndarray, tensor, tree


def test_the_same_answer_agrees_whatever_its_meta_says() -> None:
    other = answer({"data": {"names": NAMES, "ndarray": [SETOSA]}, "meta": {"puid": "y"}})
    found = compare(ndarray(SETOSA), other)
    assert (found.what, found.counted, found.agreeing) == (What.NOTHING, 1, 1)


def test_another_greatest_column_is_another_label() -> None:
    found = compare(ndarray(SETOSA, SETOSA), ndarray(SETOSA, VERSICOLOR))
    assert (found.what, found.counted, found.agreeing) == (What.LABEL, 2, 1)
    assert found.moved == (("setosa", "setosa"), ("setosa", "versicolor"))
    assert found.greatest == pytest.approx(0.6)
    assert found.by_column == pytest.approx({"setosa": 0.6, "versicolor": 0.6, "virginica": 0.0})


@pytest.mark.parametrize(("distance", "agreeing"), [(None, 1), (0.2, 1), (0.05, 0)])
def test_scores_that_move_matter_only_beyond_the_distance(
    distance: float | None, agreeing: int
) -> None:
    found = compare(ndarray(SETOSA), ndarray([0.7, 0.2, 0.1]), distance)
    assert found.agreeing == agreeing
    assert found.what is (What.NOTHING if agreeing else What.DISTANCE)


@pytest.mark.parametrize(
    ("other", "fields"),
    [
        (ndarray([0.8, 0.2]), {"shape"}),
        (ndarray(SETOSA, SETOSA), {"shape"}),
        (ndarray(SETOSA, names=["a", "b", "c"]), {"names"}),
        (ndarray(["x", "y", "z"]), {"dtype"}),
        (tensor(SETOSA, [1, 3]), {"kind"}),
        (tree({"setosa": 0.8}), {"kind", "shape", "names"}),
        (answer({"strData": "setosa"}), {"kind", "shape", "names", "dtype"}),
        (answer([1, 2]), {"kind"}),
        (Answer(200, 0.1, b"<html>"), {"kind"}),
    ],
)
def test_what_a_client_relies_on_is_the_schema(other: Answer, fields: set[str]) -> None:
    found = compare(ndarray(SETOSA), other)
    assert found.what is What.SCHEMA
    assert fields <= set(found.fields)
    assert (found.counted, found.agreeing) == (1, 0)


def test_whole_numbers_and_fractions_are_both_numbers() -> None:
    assert compare(ndarray([1, 0, 0]), ndarray([1.0, 0.0, 0.0])).what is What.NOTHING


@pytest.mark.parametrize(
    ("one", "other", "what"),
    [
        ([[3.0]], [[3.0 + 1e-9]], What.NOTHING),
        ([[3.0]], [[3.01]], What.DISTANCE),
        ([3.0, 4.0], [3.0, 4.5], What.DISTANCE),
        ([[None]], [[None]], What.NOTHING),
        ([[None]], [[3.0]], What.DISTANCE),
        (["a", "b"], ["a", "b"], What.NOTHING),
        (["a", "b"], ["a", "c"], What.LABEL),
    ],
)
def test_numbers_and_texts_alone(one: Any, other: Any, what: What) -> None:
    assert compare(ndarray(*one, names=[]), ndarray(*other, names=[])).what is what


@pytest.mark.parametrize(
    ("one", "other", "what"),
    [
        ({"label": "a", "p": 0.71}, {"label": "a", "p": 0.69}, What.NOTHING),
        ({"label": "a", "p": 0.71}, {"label": "b", "p": 0.71}, What.LABEL),
        ({"label": "a", "p": 0.71}, {"label": "a", "p": "0.71"}, What.SCHEMA),
        ({"label": "a", "p": 0.71}, {"label": "a"}, What.SCHEMA),
        ({"boxes": [[1, 2]]}, {"boxes": [[1, 2], [3, 4]]}, What.DISTANCE),
        ({"price": 3.0}, {"price": 3.5}, What.DISTANCE),
        ({"price": 3.0}, {"price": 3.0}, What.NOTHING),
    ],
)
def test_json_of_any_form(one: Any, other: Any, what: What) -> None:
    assert compare(tree(one), tree(other)).what is what


def test_the_v2_protocols_outputs_are_read_too() -> None:
    def outputs(values: list[float], datatype: str = "FP64") -> Answer:
        one = {"name": "predict", "shape": [1, 3], "datatype": datatype, "data": values}
        return answer({"outputs": [one]})

    assert compare(outputs(SETOSA), outputs(SETOSA)).what is What.NOTHING
    assert compare(outputs(SETOSA), outputs(VERSICOLOR)).what is What.LABEL
    assert compare(outputs(SETOSA), outputs(SETOSA, "FP32")).fields == ("dtype",)


@pytest.mark.parametrize("failed", [DEAD, answer({"status": {}}, status=500)])
def test_a_request_that_only_the_candidate_fails_disagrees_with_all_its_rows(
    failed: Answer,
) -> None:
    found = compare(ndarray(SETOSA, SETOSA), failed)
    assert (found.what, found.counted, found.agreeing) == (What.FAILED, 2, 0)


@pytest.mark.parametrize("candidate", [DEAD, ndarray(SETOSA)])
def test_what_the_stable_did_not_answer_is_not_counted(candidate: Answer) -> None:
    assert compare(DEAD, candidate).counted == 0
