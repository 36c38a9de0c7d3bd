"""What is counted for requests, whatever form they have."""

import os
import sys
import threading

import numpy as np
import pytest
from sluice_model.bins import CategoryBins, NumberBins
from sluice_model.board import Board
from sluice_model.counting import Counting
from sluice_model.profile import FEATURE, PREDICTION, SCORE, TAG, Profile, Variable
from sluice_model.series import Plan

COLUMNS = ("age", "unobserved", "colour")


def profile(prediction=None):
    said = prediction or CategoryBins(["no", "yes"])
    return Profile(
        "m", "1", 100, COLUMNS,
        (
            Variable(FEATURE, "age", NumberBins([20, 40, 60]), (0, 50, 50, 0, 0, 0)),
            Variable(FEATURE, "colour", CategoryBins(["red", "green"]), (50, 50, 0, 0)),
            Variable(TAG, "region", CategoryBins(["eu", "us"]), None),
            Variable(PREDICTION, "bought", said, None),
            Variable(SCORE, "score", NumberBins([0.5, 0.9]), None),
        ),
        ("colour", "region"),
    )  # fmt: skip


class Counted:
    def __init__(self, prediction=None):
        self.plan = Plan(profile(prediction))
        self.board = Board(self.plan.size, rows=8)
        self.counting = Counting(self.plan, self.board)

    def __call__(self):
        """Non-zero counters as "family labels" -> value, without the time."""
        found = {}
        for series, value in zip(self.plan.live, self.board.sums(), strict=True):
            family = series.family.removeprefix("sluice_model_")
            labels = [v for k, v in series.labels.items() if k not in ("bin", "kind")]
            if value and family != "kit_seconds":
                found[" ".join([family, *labels])] = value
        return found


@pytest.fixture
def counted():
    return Counted()


ONE = {
    "rows": 1,
    "observations age [40,60)": 1,
    "observations colour red": 1,
    "observations region eu": 1,
    "observations bought yes": 1,
    "observations score [0.5,0.9)": 1,
    "slice_predictions colour red yes": 1,
    "slice_predictions region eu yes": 1,
}
META = {"tags": {"region": "eu"}}
SURE = np.array([[0.3, 0.7]])


@pytest.mark.parametrize(
    ("features", "names"),
    [
        (np.array([[41, "x", "red"]], dtype=object), []),
        (np.array([[41, "x", "red"]]), list(COLUMNS)),
        (np.array([["red", 41]], dtype=object), ["colour", "age"]),
        ([[41, None, "red"]], None),
        ([41, None, "red"], None),
        ({"age": 41, "colour": "red"}, []),
        ({"age": [41], "colour": ["red"]}, []),
        ([{"age": 41, "colour": "red"}], []),
    ],
    ids=["order", "names", "other-order", "list", "flat", "dict", "dict-of-columns", "dicts"],
)
def test_a_row_is_counted_alike_in_every_form(counted, features, names):
    counted.counting.request(features, names, META, SURE)
    assert counted() == ONE


class Frame:
    """As much of a data frame as is looked at."""

    columns = ("colour", "age")

    class iloc:  # noqa: N801
        def __class_getitem__(cls, at):
            return Frame.Column([["red"], [41]][at[1]])

    class Column(list):
        def to_numpy(self):
            return np.array(self, dtype=object)

    def to_numpy(self):
        raise AssertionError("columns are taken one by one")

    def __len__(self):
        return 1


def test_a_data_frame_is_read_by_its_own_names(counted):
    counted.counting.request(Frame(), [], META, SURE)
    assert counted() == ONE


def test_a_batch_counts_as_its_rows_one_by_one():
    chance = np.random.default_rng(1)
    rows = [
        [chance.choice([10, 30, 50, 70, None]), 0, chance.choice(["red", "green", "blue", None])]
        for _ in range(200)
    ]
    answers = chance.dirichlet([1, 1], 200)
    answers[7] = np.nan
    batch, single = Counted(), Counted()
    batch.counting.request(np.array(rows, dtype=object), [], META, answers)
    for row, given in zip(rows, answers, strict=True):
        single.counting.request(np.array([row], dtype=object), [], META, given.reshape(1, -1))
    assert batch() == single()
    assert batch()["rows"] == 200


def test_a_column_that_is_not_sent_is_missing(counted):
    counted.counting.request(np.array([[41.0]]), ["age"], {}, SURE)
    assert counted()["observations colour missing"] == 1
    assert counted()["observations region missing"] == 1


def test_columns_that_nobody_knows_are_missing_rather_than_guessed(counted):
    counted.counting.request(np.array([[41.0, 1.0]]), [], {}, SURE)
    assert counted()["observations age missing"] == 1


@pytest.mark.parametrize(
    ("given", "label"),
    [
        (np.array([[0.9, 0.1]]), "no"),
        (np.array(["yes"]), "yes"),
        (["yes"], "yes"),
        ("yes", "yes"),
        (np.array([1]), "yes"),
        (np.array([[1.0]]), "yes"),
        (np.array([7]), "other"),
        (np.array([[0.1, 0.2, 0.7]]), "other"),
        (np.array([[np.nan, 0.2]]), "missing"),
    ],
)
def test_a_prediction_is_the_greatest_column_a_label_or_a_place(counted, given, label):
    counted.counting.request([[41, 0, "red"]], [], {}, given)
    assert counted()[f"observations bought {label}"] == 1
    # And alike in a batch.
    batch = Counted()
    twice = [given, given] if isinstance(given, str) else np.concatenate([given, given])
    batch.counting.request([[41, 0, "red"]] * 2, [], {}, twice)
    assert batch()[f"observations bought {label}"] == 2


def test_a_number_is_predicted_into_its_bin():
    counted = Counted(NumberBins([1.0, 2.0]))
    counted.counting.request([[41, 0, "red"]], [], {}, np.array([1.5]))
    assert counted()["observations bought [1,2)"] == 1


def test_text_and_bytes_have_no_features_but_an_answer(counted):
    counted.counting.request("a text", None, {}, np.array([[0.1, 0.9]]))
    assert counted()["observations bought yes"] == 1


def test_an_answer_of_other_length_is_not_blamed_on_rows(counted):
    counted.counting.request([[41, 0, "red"]] * 3, [], {}, np.array([[0.1, 0.9]]))
    found = counted()
    assert found["rows"] == 3
    assert "observations bought yes" not in found


class Wrong:
    """Breaks whoever looks at it."""

    def __getattr__(self, name):
        raise RuntimeError("broken")

    def __array__(self, *_, **__):
        raise RuntimeError("broken")


def test_what_cannot_be_counted_is_a_failure_said_once(counted, caplog):
    for _ in range(3):
        counted.counting.request(Wrong(), [], {}, SURE)
    assert counted() == {"kit_failures predict": 3}
    assert len(caplog.records) == 1


def test_no_value_that_was_served_is_in_a_label(counted):
    counted.counting.request([[41.125, "x", "secret"]], [], {"tags": {"region": "home"}}, SURE)
    labels = str([series.labels for series in counted.plan.live])
    assert "41.125" not in labels
    assert "secret" not in labels
    assert "home" not in labels
    assert counted()["observations colour other"] == 1


def test_no_count_of_any_thread_is_lost(counted):
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def many():
        for _ in range(500):
            counted.counting.request([[41, 0, "red"]], [], META, SURE)

    threads = [threading.Thread(target=many) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    sys.setswitchinterval(usual)
    assert counted()["rows"] == 4000
    assert counted()["observations age [40,60)"] == 4000


def test_all_processes_of_a_pod_are_one_sum_and_a_dead_ones_counts_stay(counted):
    counted.counting.request([[41, 0, "red"]], [], META, SURE)
    for _ in range(20):  # more than there are rows: those of the dead are taken over
        child = os.fork()
        if not child:
            counted.counting.request([[41, 0, "red"]], [], META, SURE)
            os._exit(0)
        os.waitpid(child, 0)
    assert counted()["rows"] == 21
