"""Which cell a value belongs to."""

import numpy as np
import pytest
from sluice_model.bins import CategoryBins, NumberBins, canonical

NUMBERS = NumberBins([1.0, 2.0, 4.0])
COLOURS = CategoryBins(["red", "2", "true"])


@pytest.mark.parametrize(
    ("value", "label"),
    [
        (0.5, "<1"), (1.0, "[1,2)"), (3.9, "[2,4)"), (4.0, ">=4"), (float("inf"), ">=4"),
        (float("-inf"), "<1"), (None, "missing"), (float("nan"), "missing"), ("", "missing"),
        ("3", "[2,4)"), ("three", "invalid"),
    ],
)  # fmt: skip
def test_a_number_falls_into_its_bin_alone_and_among_others(value, label):
    column = np.array([value, 2.5, "x"], dtype=object)
    assert NUMBERS.labels()[NUMBERS.cells(column)[0]] == label
    assert NUMBERS.labels()[NUMBERS.cell(value)] == label


def test_a_column_of_plain_numbers_is_binned_as_one_of_objects():
    values = np.array([0.0, 1.0, np.nan, 2.0, 99.0, np.inf])
    assert NUMBERS.cells(values).tolist() == NUMBERS.cells(values.astype(object)).tolist()
    assert NUMBERS.cells(values).tolist() == [NUMBERS.cell(v) for v in values]


@pytest.mark.parametrize(
    ("value", "label"),
    [
        ("red", "red"), (2, "2"), (2.0, "2"), (np.float64(2), "2"), ("2.0", "2"), (True, "true"),
        (np.True_, "true"), ("True", "true"), ("blue", "other"), (None, "missing"),
        ("NaN", "missing"),
    ],
)  # fmt: skip
def test_a_category_is_the_same_in_every_spelling_a_server_gets(value, label):
    assert COLOURS.labels()[COLOURS.cell(value)] == label


def test_hashed_categories_are_told_apart_but_not_named():
    from sluice_model.bins import hidden

    bins = CategoryBins([hidden("s", "anna"), hidden("s", "ben")], salt="s")
    assert [bins.cell("anna"), bins.cell("ben"), bins.cell("carl")] == [0, 1, bins.rest]
    assert bins.labels() == ["c00", "c01", "other", "missing"]
    assert "anna" not in str(bins.content())


def test_a_category_called_other_does_not_become_the_rest():
    assert len(set(CategoryBins(["other", "missing_"]).labels())) == 4
    assert canonical("other") == "other"


@pytest.mark.parametrize("edges", [[], [2.0, 1.0], [1.0, 1.0], [1.0, float("nan")]])
def test_edges_that_do_not_ascend_are_refused(edges):
    with pytest.raises(ValueError, match="expected finite edges"):
        NumberBins(edges)
