"""Making a profile out of training data."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sluice_model import making, profile
from sluice_model.__main__ import main
from sluice_model.making import Table, Wish
from sluice_model.profile import ProfileError
from sluice_model.series import Plan

ROWS = 400
CHANCE = np.random.default_rng(3)
AGES = CHANCE.normal(40, 12, ROWS)


def table(**more):
    colours = np.array(["red", "green", "blue", "once"], dtype=object)
    picked = np.concatenate([[3], CHANCE.integers(0, 3, ROWS - 1)])
    columns = {"age": AGES, "flag": np.arange(ROWS) % 2, "colour": colours[picked], **more}
    return Table({**columns, "bought": np.where(AGES > 40, "yes", "no").astype(object)})


def variable(made, name):
    return next(one for one in made.variables if one.name == name)


def counted(made, name):
    one = variable(made, name)
    return dict(zip(one.bins.labels(), one.counts, strict=True))


class Model:
    def class_names(self):
        return ["no", "yes"]

    def predict(self, X, names):  # noqa: N803
        sure = np.clip(0.5 + (np.asarray(X)[:, 0].astype(float) - 40) / 100, 0, 1)
        return np.column_stack([1 - sure, sure])


def test_quantile_bins_hold_alike_many_rows_and_all_of_training():
    made = making.make(table(), Wish(target="bought"))
    counts = variable(made, "age").counts
    assert sum(counts) == ROWS
    assert counts[0] == 0 == counts[11], "nothing of training is out of range"
    assert min(counts[1:11]) > ROWS / 20


def test_fixed_bins_are_alike_wide():
    made = making.make(table(), Wish(target="bought", binning=making.FIXED, bins=5))
    widths = np.diff(variable(made, "age").bins.edges)
    assert max(widths) == pytest.approx(min(widths), rel=0.1)


def test_no_edge_is_the_age_of_anyone():
    made = making.make(table(), Wish(target="bought"))
    assert not set(variable(made, "age").bins.edges) & set(AGES)


def test_a_column_of_few_values_has_a_bin_for_each():
    assert counted(making.make(table(), Wish(target="bought")), "flag") == {
        "<0": 0, "[0,1)": 200, "[1,1.01)": 200, ">=1.01": 0, "missing": 0, "invalid": 0,
    }  # fmt: skip


def test_a_rare_category_is_not_named():
    counts = counted(making.make(table(), Wish(target="bought")), "colour")
    assert counts["other"] == 1
    assert "once" not in counts


def test_the_least_frequent_categories_are_the_rest():
    counts = counted(making.make(table(), Wish(target="bought", categories=1)), "colour")
    assert len(counts) == 3
    assert sum(counts.values()) == ROWS


def test_hashed_names_are_in_no_file():
    made = making.make(table(), Wish(target="bought", hashed=("colour",)))
    assert "green" not in made.text()
    assert sum(counted(made, "colour").values()) == ROWS


def test_a_model_gives_predictions_and_scores_over_the_hold_out_set():
    held = Table({name: column[:50] for name, column in table().columns.items()})
    made = making.make(table(), Wish(target="bought"), Model(), held)
    said = counted(made, "bought")
    assert said["yes"] + said["no"] == 50
    assert said["yes"] == (AGES[:50] > 40).sum()
    assert sum(counted(made, "score").values()) == 50


def test_without_a_model_the_target_stands_for_the_predictions():
    made = making.make(table(), Wish(target="bought"))
    assert counted(made, "bought")["yes"] == (AGES > 40).sum()
    assert made.score is None


def test_too_many_series_name_the_feature_to_leave_out():
    wide = {f"wide{i}": CHANCE.normal(size=ROWS) for i in range(40)}
    with pytest.raises(ProfileError, match=r"at most 1000 series, found 1\d+.*wide.*--leave-out"):
        making.make(table(**wide), Wish(target="bought"))
    left = tuple(f"wide{i}" for i in range(20))
    assert Plan(making.make(table(**wide), Wish(target="bought", leave_out=left))).total <= 1000


def test_slices_multiply_series_only_as_far_as_they_were_declared():
    plain = Plan(making.make(table(), Wish(target="bought"))).total
    sliced = Plan(making.make(table(), Wish(target="bought", slices=("colour",)))).total
    cells = len(counted(making.make(table(), Wish(target="bought")), "colour"))
    assert sliced - plain == cells * (4 + 2), "four predictions and two outcomes for each"


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (Wish(target="nothing"), "target nothing: expected one of"),
        (Wish(target="bought", slices=("nowhere",)), "expected names of observed features"),
        (Wish(target="bought", leave_out=("x",)), "expected features among"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_would(wish, words):
    with pytest.raises(ProfileError, match=words):
        making.make(table(), wish)


@pytest.fixture
def csv_file(tmp_path):
    columns = table().columns
    rows = zip(*columns.values(), strict=True)
    file = tmp_path / "train.csv"
    file.write_text("\n".join([",".join(columns), *(",".join(map(str, r)) for r in rows)]) + "\n")
    return file


def test_the_command_gives_the_same_bytes_again_and_check_says_so(csv_file, tmp_path, capsys):
    out = tmp_path / "profile.json"
    words = ["profile", str(csv_file), "--target", "bought", "--out", str(out)]
    assert main(words) == 0
    first = out.read_bytes()
    assert main(words) == 0
    assert out.read_bytes() == first
    assert main([*words, "--check"]) == 0
    assert main([*words, "--bins", "5", "--check"]) == 1
    assert out.read_bytes() == first, "--check writes nothing"
    assert main(["show", str(out)]) == 0
    assert "feature age" in capsys.readouterr().out


def test_a_model_is_found_as_seldon_would_find_it(csv_file, tmp_path):
    (tmp_path / "Shop.py").write_text(
        "import numpy as np\nclass Shop:\n    def predict(self, X, names):\n"
        "        return np.where(X[:, 0].astype(float) > 40, 'yes', 'no')\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "sluice_model", "profile", str(csv_file), "--target", "bought",
         "--model", "Shop", "--out", "p.json"],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60,
        env={"PYTHONPATH": str(Path(making.__file__).parents[1])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert counted(profile.load(tmp_path / "p.json"), "bought")["yes"] == (AGES > 40).sum()


def test_a_profile_changed_by_hand_is_refused(csv_file, tmp_path):
    out = tmp_path / "profile.json"
    main(["profile", str(csv_file), "--target", "bought", "--out", str(out)])
    content = json.loads(out.read_text())
    content["variables"][0]["counts"][1] += 1
    out.write_text(json.dumps(content))
    with pytest.raises(ProfileError, match="changed after it was made"):
        profile.load(out)


def test_a_missing_profile_says_how_to_make_one(tmp_path):
    with pytest.raises(ProfileError, match="python -m sluice_model profile"):
        profile.load(tmp_path / "profile.json")


def test_a_crooked_line_of_the_csv_is_named(tmp_path):
    file = tmp_path / "t.csv"
    file.write_text("a,b\n1,2\n1\n")
    with pytest.raises(ProfileError, match=r"t\.csv:3: expected 2 cells, found 1"):
        making.read_csv(file)
