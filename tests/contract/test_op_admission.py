"""What the webhook refuses and what it lets pass, in the words that were recorded."""

from __future__ import annotations

from typing import Any

import pytest

from sluice.sandbox.operator.admission import admit

Json = dict[str, Any]
SUM = "Traffic must sum to 100 for multiple predictors"
SINGLE = "Traffic must sum be 100 for a single predictor when set"


def predictor(name: str, traffic: int | None = None, **more: Any) -> Json:
    container = {"name": "model", "image": "repo/m:1"}
    made: Json = {
        "name": name,
        "graph": {"name": "model", "type": "MODEL"},
        "componentSpecs": [{"spec": {"containers": [container]}}],
    }
    if traffic is not None:
        made["traffic"] = traffic
    return {**made, **more}


def refusal(*predictors: Json, **spec: Any) -> str | None:
    """The sentence of the refusal, without the part that names the object."""
    sdep = {"metadata": {"name": "x"}, "spec": {"name": "x", "predictors": predictors, **spec}}
    found = admit(None, sdep)
    if found is None:
        return None
    assert (found.code, found.reason) == (422, "Invalid")
    start = 'SeldonDeployment.machinelearing.seldon.io "x" is invalid: '
    assert found.message.startswith(start)
    return found.message.removeprefix(start)


@pytest.mark.parametrize("traffic", [(60, 60), (30, 20), (90, 9), (0, 0), (None, None)])
def test_several_predictors_must_sum_to_100(traffic: tuple[int | None, int | None]) -> None:
    first, second = traffic
    assert refusal(predictor("a", first), predictor("b", second)) == (
        f'spec: Invalid value: "a": {SUM}'
    )


@pytest.mark.parametrize("traffic", [(80, 20), (100, 0), (100, None), (-10, 110)])
def test_any_two_numbers_that_sum_to_100_pass(traffic: tuple[int, int | None]) -> None:
    assert refusal(predictor("a", traffic[0]), predictor("b", traffic[1])) is None


@pytest.mark.parametrize("traffic", [1, 50, 90, 99])
def test_a_single_predictor_with_a_share_is_refused(traffic: int) -> None:
    assert refusal(predictor("a", traffic)) == f'spec: Invalid value: "a": {SINGLE}'


@pytest.mark.parametrize("traffic", [None, 0, 100, 101, -1])
def test_a_single_predictor_may_have_all_nothing_or_nonsense(traffic: int | None) -> None:
    assert refusal(predictor("a", traffic)) is None


def test_removing_the_candidate_alone_is_refused_but_not_with_the_stable_at_100() -> None:
    assert refusal(predictor("main", 90)) is not None
    assert refusal(predictor("main", 100)) is None


def test_duplicate_names_are_refused_before_the_sum() -> None:
    duplicate = 'spec.predictors[1]: Invalid value: "a": Duplicate predictor name'
    assert refusal(predictor("a", 50), predictor("a", 50)) == duplicate
    assert refusal(predictor("a", 50), predictor("a", 10)) == (
        f'[{duplicate}, spec: Invalid value: "a": {SUM}]'
    )


def test_a_graph_node_needs_a_container() -> None:
    wrong = predictor("a", 100, graph={"name": "zzz", "type": "MODEL"})
    missing = "Can't find container for Predictive Unit"
    assert refusal(wrong) == f'spec.predictors[0].graph: Invalid value: "zzz": {missing}'


@pytest.mark.parametrize("kind", [None, "BOGUS"])
def test_the_type_of_a_graph_node_is_not_looked_at(kind: str | None) -> None:
    graph = {"name": "model", **({"type": kind} if kind else {})}
    assert refusal(predictor("a", 100, graph=graph)) is None


def test_no_predictors_and_unknown_protocols_are_refused() -> None:
    assert refusal() == 'spec: Invalid value: "": Graph contains no predictors'
    assert refusal(predictor("a"), protocol="bogus") == (
        'spec: Invalid value: "bogus": Invalid protocol'
    )


@pytest.mark.parametrize("traffic", [None, 0, 10, 100])
def test_one_shadow_beside_a_predictor_passes_whatever_that_one_has(traffic: int | None) -> None:
    for serving in (None, 90, 100):
        assert refusal(predictor("a", serving), predictor("b", traffic, shadow=True)) is None


def test_shadows_alone_twice_or_beyond_100_are_refused() -> None:
    main, shadow = predictor("a", 100), predictor("b", 10, shadow=True)
    assert refusal(shadow) == (
        'spec.predictors[0]: Invalid value: "b": Shadow can not exist as only predictor'
    )
    assert refusal(main, shadow, predictor("c", 10, shadow=True)) == (
        'spec: Invalid value: "c": Multiple shadows are not allowed'
    )
    assert refusal(main, predictor("b", 150, shadow=True)) == (
        'spec: Invalid value: "b": shadow traffic is illegal, '
        "the traffic number should be between [0, 100]"
    )


def test_a_number_beyond_int32_cannot_be_read() -> None:
    found = admit(None, {"spec": {"name": "x", "predictors": [predictor("a", 2**31)]}})
    assert found is not None
    assert (found.code, found.reason) == (400, "")
    assert found.message.endswith("predictors.traffic of type int32")


def test_the_sentence_names_spec_name_and_not_metadata_name() -> None:
    found = admit(None, {"metadata": {"name": "x"}})
    assert found is not None
    assert '"" is invalid: spec: Invalid value: "": Graph contains no predictors' in found.message
