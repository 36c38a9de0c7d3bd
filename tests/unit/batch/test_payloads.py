"""What is sent for a row, and how an answer is given back to its rows."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.batch.payloads import Form, Payload, Shape, UnfitRow, shape_for, take_apart
from sluice.batch.rows import Row
from sluice.errors import UsageError


def sent(value: Any, *, others: tuple[Any, ...] = (), **options: Any) -> Any:
    shape = shape_for(Row(0, value), payload=options.pop("payload", None), batch_id="b", **options)
    items = [shape.item(Row(number, one)) for number, one in enumerate((value, *others))]
    return json.loads(shape.request(items))


def test_an_array_is_one_instance_and_a_nested_one_a_list_of_instances() -> None:
    assert sent([1, 2])["data"] == {"ndarray": [[1, 2]]}
    assert sent([[1, 2], [3, 4]])["data"] == {"ndarray": [[1, 2], [3, 4]]}
    assert sent([1], others=([[2], [3]],))["data"] == {"ndarray": [[1], [2], [3]]}


def test_columns_are_named_and_keep_the_first_rows_order() -> None:
    body = sent({"id": 9, "b": 1, "a": 2}, others=({"a": 4, "id": 8, "b": 3},), id_column="id")
    assert body["data"] == {"names": ["b", "a"], "ndarray": [[1, 2], [3, 4]]}
    assert sent({"a": 1, "b": 2, "c": 3}, columns=["c", "a"])["data"]["ndarray"] == [[3, 1]]


def test_a_tensor_is_flat_with_its_shape() -> None:
    body = sent([1, 2], others=([3, 4],), payload=Payload.TENSOR)
    assert body["data"] == {"tensor": {"shape": [2, 2], "values": [1, 2, 3, 4]}}
    deep = sent([[[1, 2], [3, 4]]], payload=Payload.TENSOR)
    assert deep["data"]["tensor"]["shape"] == [1, 2, 2]


def test_json_and_text_rows_are_sent_as_they_are() -> None:
    assert sent({"q": [1]}, payload=Payload.JSON)["jsonData"] == {"q": [1]}
    assert sent({"t": "hello"}, payload=Payload.TEXT)["strData"] == "hello"
    assert sent("hello", payload=Payload.TEXT)["strData"] == "hello"


def test_whole_requests_are_known_by_their_keys_and_keep_their_tags() -> None:
    body = sent({"data": {"ndarray": [[1]]}, "meta": {"tags": {"mine": 1}, "puid": "p"}})
    assert body["data"] == {"ndarray": [[1]]}
    assert body["meta"] == {"puid": "p", "tags": {"mine": 1, "batch_id": "b", "batch_index": 0}}
    # A column that happens to have such a name does not make a row a request.
    assert sent({"data": 5, "x": 1})["data"] == {"names": ["data", "x"], "ndarray": [[5, 1]]}


def test_feedback_has_no_meta() -> None:
    assert sent({"reward": 1.0, "request": {}}, feedback=True) == {"reward": 1.0, "request": {}}


@pytest.mark.parametrize(
    ("payload", "value", "why"),
    [
        (Payload.NDARRAY, {"a": 1}, "no b"),
        (Payload.NDARRAY, [1, 2, 3], "3 values, expected 2"),
        (Payload.NDARRAY, [], "found an empty array"),
        (Payload.NDARRAY, [1, [2]], "a mixture"),
        (Payload.NDARRAY, "x", "found a text"),
        (Payload.NDARRAY, None, "found null"),
        (Payload.TENSOR, {"a": 1, "b": "x"}, "a tensor holds numbers, found a text"),
        (Payload.TENSOR, {"a": 1, "b": True}, "a tensor holds numbers, found True"),
        (Payload.TEXT, {"a": 1, "b": 2}, "expected a text"),
        (Payload.MESSAGE, [1], "one of binData, data, jsonData, strData"),
    ],
)
def test_a_row_that_does_not_fit_says_why(payload: Payload, value: Any, why: str) -> None:
    columns = ("a", "b") if payload is not Payload.MESSAGE else ()
    with pytest.raises(UnfitRow, match=why):
        Shape(payload, columns).item(Row(1, value))


def test_rows_of_a_tensor_with_different_lengths_do_not_share_a_request() -> None:
    with pytest.raises(UnfitRow, match="of one length"):
        sent([1, 2], others=([3],), payload=Payload.TENSOR)


@pytest.mark.parametrize(
    ("value", "options", "why"),
    [
        ({"a": 1}, {"columns": ["x"]}, "no column x: its first row has a"),
        ({"a": 1}, {"id_column": "k"}, "no column k"),
        ([1], {"id_column": "k"}, "needs rows with names"),
        ([1], {"feedback": True, "payload": Payload.TENSOR}, "leave --payload out"),
    ],
)
def test_a_column_that_is_not_there_ends_the_run_at_once(
    value: Any, options: dict[str, Any], why: str
) -> None:
    with pytest.raises(UsageError, match=why):
        sent(value, **options)


@given(
    counts=st.lists(st.integers(1, 4), min_size=1, max_size=8),
    width=st.integers(1, 3),
    tensor=st.booleans(),
)
def test_an_answer_is_taken_apart_without_loss_or_double(
    counts: list[int], width: int, tensor: bool
) -> None:
    total = sum(counts)
    rows = [[row * width + column for column in range(width)] for row in range(total)]
    flat = [one for row in rows for one in row]
    data: dict[str, Any] = {"ndarray": rows}
    if tensor:
        data = {"tensor": {"shape": [total, width], "values": flat}}
    parts = take_apart({"data": {"names": ["n"], **data}, "meta": {"m": 1}}, counts)
    assert parts is not None
    assert [part["meta"] for part in parts] == [{"m": 1}] * len(counts)
    if tensor:
        tensors = [part["data"]["tensor"] for part in parts]
        assert [one["shape"] for one in tensors] == [[count, width] for count in counts]
        assert [value for one in tensors for value in one["values"]] == flat
    else:
        assert [len(part["data"]["ndarray"]) for part in parts] == counts
        assert [row for part in parts for row in part["data"]["ndarray"]] == rows


@pytest.mark.parametrize(
    "answer",
    [
        {"data": {"ndarray": [[1]]}},
        {"data": {"ndarray": [[1], [2], [3]]}},
        {"data": {"tensor": {"shape": [2, 2], "values": [1, 2, 3]}}},
        {"data": {"tensor": {"shape": [3], "values": [1, 2, 3]}}},
        {"jsonData": [1, 2]},
        {"data": None},
    ],
)
def test_an_answer_that_does_not_match_the_rows_is_not_guessed_at(answer: Any) -> None:
    assert take_apart(answer, [1, 1]) is None


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ({"data": {"ndarray": [[0.1, 0.9]]}}, [0.1, 0.9]),
        ({"data": {"ndarray": [3]}}, 3),
        ({"data": {"tensor": {"shape": [1, 2], "values": [1, 2]}}}, [1, 2]),
        ({"data": {"tensor": {"shape": [1, 2, 1], "values": [1, 2]}}}, [[1], [2]]),
        ({"jsonData": {"a": 1}}, {"a": 1}),
        ({"strData": "x"}, "x"),
    ],
)
def test_a_prediction_is_what_the_model_said(answer: Any, found: Any) -> None:
    shape = Shape(Payload.NDARRAY, id_column="k", form=Form.PREDICTION)
    item = shape.item(Row(4, {"k": "id", "a": 1}))
    assert json.loads(shape.outcome(item, answer).line) == {
        "row": 4, "id": "id", "prediction": found,
    }  # fmt: skip
