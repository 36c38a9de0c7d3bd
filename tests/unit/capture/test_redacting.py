"""What must not leave does not: taken out, written over, or the request is not kept."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sluice.capture.redacting import CannotTell, Redaction
from sluice.errors import UsageError

NAMED = {"data": {"names": ["age", "name", "b"], "ndarray": [[3, "x", 1], [4, "y", 2]]}}
TENSOR = {"data": {"names": ["age", "b"], "tensor": {"shape": [2, 2], "values": [3, 1, 4, 2]}}}


def v2(*inputs: dict[str, Any]) -> dict[str, Any]:
    return {"inputs": [dict(one) for one in inputs]}


AGE = {"name": "age", "shape": [2], "datatype": "INT64", "data": [3, 4]}
B = {"name": "b", "shape": [2, 1], "datatype": "FP64", "data": [1, 2]}


def without(body: Any, *drop: str, meta: bool = False, **replace: Any) -> Any:
    return Redaction(drop, replace, meta=meta).applied(json.loads(json.dumps(body)))


def test_who_asked_is_always_taken_out() -> None:
    body = {"meta": {"puid": "p", "tags": {"user": "u"}}, "id": "7", "strData": "x"}
    assert without(body) == {"strData": "x"}
    assert without(body, meta=True) == {"meta": {"tags": {"user": "u"}}, "strData": "x"}
    assert without({"meta": None, "strData": "x"}, meta=True) == {"meta": None, "strData": "x"}


@pytest.mark.parametrize(
    ("body", "dropped", "replaced"),
    [
        (
            NAMED,
            {"data": {"names": ["name", "b"], "ndarray": [["x", 1], ["y", 2]]}},
            {"data": {"names": ["age", "name", "b"], "ndarray": [[0, "x", 1], [0, "y", 2]]}},
        ),
        (
            TENSOR,
            {"data": {"names": ["b"], "tensor": {"shape": [2, 1], "values": [1, 2]}}},
            {
                "data": {
                    "names": ["age", "b"],
                    "tensor": {"shape": [2, 2], "values": [0, 1, 0, 2]},
                }
            },
        ),
        (
            {"data": {"names": ["age", "b"], "ndarray": [3, 1]}},
            {"data": {"names": ["b"], "ndarray": [1]}},
            {"data": {"names": ["age", "b"], "ndarray": [0, 1]}},
        ),
        (v2(AGE, B), v2(B), v2({**AGE, "data": [0, 0]}, B)),
        (
            {"jsonData": {"rows": [{"age": 3, "b": 1}], "age": [3], "c": {"age": 1}}},
            {"jsonData": {"rows": [{"b": 1}], "c": {}}},
            {"jsonData": {"rows": [{"age": 0, "b": 1}], "age": 0, "c": {"age": 0}}},
        ),
        (
            {"instances": [{"age": 3, "b": 1}]},
            {"instances": [{"b": 1}]},
            {"instances": [{"age": 0, "b": 1}]},
        ),
    ],
    ids=["ndarray", "tensor", "one row", "v2", "jsonData", "tensorflow"],
)
def test_a_column_goes_wherever_it_has_a_name(body: Any, dropped: Any, replaced: Any) -> None:
    assert without(body, "age") == dropped
    assert without(body, age=0) == replaced


def test_a_column_that_is_not_there_changes_nothing() -> None:
    for body in (NAMED, TENSOR, v2(AGE, B), {"jsonData": {"b": 1}}):
        assert without(body, "other") == body


def test_columns_of_the_same_name_all_go() -> None:
    body = {"data": {"names": ["a", "a", "b"], "ndarray": [[1, 2, 3]]}}
    assert without(body, "a") == {"data": {"names": ["b"], "ndarray": [[3]]}}


@pytest.mark.parametrize(
    "body",
    [
        {"data": {"ndarray": [[3, 1]]}},
        {"data": {"names": ["age"], "ndarray": [[3, 1]]}},
        {"data": {"names": ["age", "b"], "ndarray": [[3, 1], 4]}},
        {"data": {"names": ["age", "b"], "ndarray": "x"}},
        {"data": {"names": ["age"], "tftensor": {}}},
        {"data": {"names": ["age"], "ndarray": [[3]], "tftensor": {}}},
        {"data": {"names": ["b"], "tensor": {"shape": [1, 2], "values": [1, 2]}}},
        {"data": {"names": ["b"], "tensor": {"shape": [1], "values": [1, 2, 3], "x": 1}}},
        {"data": {"names": ["a", "b"], "tensor": {"shape": 2, "values": 1}}},
        {"data": {"names": ["b"], "tensor": []}},
        {"data": {}},
        {"data": "text"},
        {"strData": "age=3"},
        {"binData": "YWdl"},
        {"jsonData": '{"age": 3}'},
        {"jsonData": [[3, 1]]},
        {"jsonData": {"rows": [[3, 1]]}},
        {"instances": [[3, 1]]},
        v2({"name": "predict", "shape": [1, 2], "datatype": "FP64", "data": [3, 1]}),
        {"inputs": [7]},
        {"inputs": "x"},
    ],
    ids=json.dumps,
)
def test_where_a_column_cannot_be_seen_the_request_is_not_kept(body: Any) -> None:
    with pytest.raises(CannotTell):
        without(body, "age")


def test_a_value_of_the_v2_protocol_is_only_written_over_row_by_row() -> None:
    nested = v2({**AGE, "data": [[3], [4]]})
    with pytest.raises(CannotTell):
        without(nested, age=0)
    assert without(nested, "age") == {"inputs": []}


def test_a_path_goes_through_lists() -> None:
    body = {"jsonData": {"rows": [{"who": {"id": 1, "b": 2}}, {"who": None}, {}]}}
    gone = {"jsonData": {"rows": [{"who": {"b": 2}}, {"who": None}, {}]}}
    assert without(body, ".jsonData.rows.who.id") == gone
    assert without(body, ".jsonData.rows.who.no") == body
    assert Redaction((), {".jsonData.rows": []}).applied(body) == {"jsonData": {"rows": []}}


def test_a_path_that_ends_in_a_text_cannot_be_seen() -> None:
    with pytest.raises(CannotTell):
        without({"jsonData": '{"who": 1}'}, ".jsonData.who")


@pytest.mark.parametrize("field", ["", ".", ".a..b", ".a."])
def test_a_field_without_a_name_is_wrong_usage(field: str) -> None:
    with pytest.raises(UsageError, match="column's name or a path"):
        Redaction([field])
