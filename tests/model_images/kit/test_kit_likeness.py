"""A version's profile with the bins of the version before."""

import numpy as np
import pytest
from sluice_model import making, profile
from sluice_model.__main__ import main
from sluice_model.likeness import likeness
from sluice_model.making import Table, Wish

ROWS = 400


def table(seed, shift=0.0, **more):
    chance = np.random.default_rng(seed)
    age = chance.normal(40 + shift, 12, ROWS)
    region = np.array(["eu", "us"], dtype=object)[chance.integers(0, 2, ROWS)]
    return Table(
        {"age": age, "region": region, **more, "price": 3 * age + chance.normal(0, 5, ROWS)}
    )


def bins(made, name):
    [one] = [one for one in made.variables if one.name == name]
    return one.bins.content()


class Model:
    """Predicts a number, `more` above what one would think."""

    def __init__(self, more=0.0):
        self.more = more

    def predict(self, X, names):  # noqa: N803
        return 3 * np.asarray(X)[:, 0].astype(float) + self.more


WISH = Wish(target="price", slices=("region",))


def first():
    return making.make(table(1), WISH, Model())


def second(before, shift=0.0, more=0.0, wish=WISH, **columns):
    like = Wish(**{**vars(wish), "like": before})
    return making.make(table(2, shift, **columns), like, Model(more))


def test_edges_of_features_and_of_the_predicted_number_are_kept_and_counted_anew():
    before = first()
    alone = making.make(table(2), WISH, Model())
    assert bins(alone, "price") != bins(before, "price"), "or there is nothing to keep"
    made = second(before)
    assert made.bins_hash == before.bins_hash
    assert made.hash != before.hash
    assert [sum(one.counts) for one in made.variables] == [ROWS] * 3
    assert likeness(made, before).kept == ("feature age", "feature region", "prediction price")


def test_without_a_model_the_targets_own_numbers_keep_their_edges():
    before = making.make(table(1), WISH)
    made = making.make(table(2), Wish(target="price", slices=("region",), like=before))
    assert made.bins_hash == before.bins_hash


def test_what_is_new_and_what_is_gone_is_told():
    before = first()
    made = second(before, weight=np.arange(ROWS))
    found = likeness(made, before)
    assert found.new == ("feature weight",)
    assert likeness(before, made).gone == ("feature weight",)
    assert found.kept == ("feature age", "feature region", "prediction price")


def test_numbers_that_became_text_get_bins_of_their_own():
    before = making.make(table(1, code=np.arange(ROWS)), WISH, Model())
    letters = np.array(["a", "b"], dtype=object)[np.arange(ROWS) % 2]
    made = second(before, code=letters)
    assert bins(made, "code") == {"categories": ["a", "b"]}
    [told] = likeness(made, before).changed
    assert told == "feature code (11 edges before, 2 categories now)"


def test_what_is_to_be_hashed_does_not_keep_names_and_hashes_stay():
    hashed = Wish(target="price", slices=("region",), hashed=("region",))
    made = second(first(), wish=hashed)
    assert "eu" not in made.text()
    assert "salt" in bins(made, "region")
    again = second(making.make(table(1), hashed, Model()))
    assert "eu" not in again.text(), "what was hashed stays so without being said again"


def test_numbers_said_to_be_categories_are_no_longer_numbers():
    before = making.make(table(1, code=np.arange(ROWS) % 3), WISH, Model())
    wish = Wish(target="price", slices=("region",), categorical=("code",))
    made = second(before, wish=wish, code=np.arange(ROWS) % 3)
    assert "categories" in bins(made, "code")


def test_classes_of_a_prediction_are_the_models_own():
    def sorts(*names):
        target = np.array(names, dtype=object)[np.arange(ROWS) % len(names)]
        return Table({"age": table(1).columns["age"], "kind": target})

    before = making.make(sorts("a", "b"), Wish(target="kind"))
    made = making.make(sorts("b", "c"), Wish(target="kind", like=before))
    assert bins(made, "kind") == {"categories": ["b", "c"]}
    assert likeness(made, before).changed == (
        "prediction kind (2 categories before, 2 categories now)",
    )


@pytest.mark.parametrize(("shift", "warned"), [(0.0, False), (60.0, True), (-60.0, True)])
def test_data_outside_of_the_bins_kept_is_warned_of(shift, warned):
    before = first()
    found = likeness(second(before, shift), before)
    assert [line.split(":")[0] for line in found.outside] == (
        ["feature age", "prediction price"] if warned else []
    )


def test_the_share_outside_is_that_beyond_what_was_there_before():
    names = np.array([f"n{i % 40}" for i in range(ROWS)], dtype=object)  # half of them are "other"
    before = making.make(table(1, street=names), WISH, Model())
    found = likeness(second(before, street=names), before)
    assert found.outside == ()
    others = np.array([f"m{i % 40}" for i in range(ROWS)], dtype=object)
    [told] = likeness(second(before, street=others), before).outside
    assert told.startswith("feature street: 100.0% of the rows lie outside")
    assert likeness(second(before, street=others), before, most=0.6).outside == ()


def write(path, made):
    names = list(made.columns)
    rows = zip(*(made.columns[name] for name in names), strict=True)
    lines = [",".join(names), *(",".join(str(cell) for cell in row) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def test_the_command_says_what_it_kept_and_warns(tmp_path, capsys):
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    words = ["--target", "price", "--slice", "region", "--out"]
    assert main(["profile", write(tmp_path / "1.csv", table(1)), *words, str(old)]) == 0
    capsys.readouterr()
    moved = write(tmp_path / "2.csv", table(2, 60.0, weight=np.arange(ROWS)))
    like = ["--like", str(old)]
    assert main(["profile", moved, *words, str(new), *like]) == 0
    shown = capsys.readouterr()
    assert "bins not all the same" in shown.out, "there is one more"
    assert "bins kept: feature age, feature region, prediction price" in shown.out
    assert "new: feature weight" in shown.out
    assert shown.err.count("warning: ") == 2
    assert "feature age:" in shown.err
    assert main(["profile", moved, *words, str(new), *like, "--most-outside", "0.999"]) == 0
    assert capsys.readouterr().err == ""
    assert main(["profile", moved, *words, str(new), *like, "--check"]) == 0
    made = profile.load(new)
    assert bins(made, "price") == bins(profile.load(old), "price")


def test_wrong_words_are_told(tmp_path, capsys):
    data = write(tmp_path / "1.csv", table(1))
    assert main(["profile", data, "--like", str(tmp_path / "none.json")]) == 1
    assert "no such file" in capsys.readouterr().err
    assert main(["profile", data, "--most-outside", "5"]) == 1
    assert "--most-outside" in capsys.readouterr().err
