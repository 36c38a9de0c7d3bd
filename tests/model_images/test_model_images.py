"""The iris images do what model_images/README.md says, in the environment that serves them."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from sluice.sandbox import images, parts

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / "model_images"
FOLDERS = [name.replace("-", "_") for name in images.VARIANTS]


@pytest.fixture(scope="module")
def python():
    return str(parts.seldon_env() / "bin" / "python")


@pytest.fixture(scope="module")
def facts(python):
    def ask(what):
        done = subprocess.run(
            [python, str(Path(__file__).with_name("inside.py")), what],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return ask


def test_training_again_gives_the_same_bytes(python):
    done = subprocess.run(
        [python, str(IMAGES / "train.py"), "--check"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_better_is_better_than_stable_and_better_two_no_worse(facts):
    accuracy = facts("accuracy")
    assert accuracy["better"] >= accuracy["stable"] + 0.1
    assert accuracy["better_two"] >= accuracy["better"]


def test_shuffled_is_clearly_wrong(facts):
    accuracy = facts("accuracy")
    assert accuracy["shuffled"] <= accuracy["stable"] - 0.1


def test_artefacts_and_readme_hold_the_accuracies_found_here(facts):
    readme = (IMAGES / "README.md").read_text()
    for folder, found in facts("accuracy").items():
        artefact = json.loads((IMAGES / folder / "model.json").read_text())
        assert artefact["held_out_accuracy"] == pytest.approx(found, abs=1e-4)
        row = next(line for line in readme.splitlines() if f"`{folder.replace('_', '-')}`" in line)
        assert f"{100 * found:.1f} %" in row


def test_faulty_raises_on_flowers_with_long_petals_only(facts):
    found = facts("faulty")
    assert found["raised"]
    assert min(found["raised"]) > 5.2
    assert found["share"] == found["longer"]
    assert 0.2 <= found["share"] <= 0.3
    assert found["equal"], "the other flowers are answered as `better` does"


def test_every_image_but_crashing_answers_one_typical_flower(facts):
    found = facts("smoke")
    for folder in FOLDERS:
        if folder == "crashing":
            continue
        assert found[folder]["sum"] == pytest.approx(1)
        assert found[folder]["health"] == 1
        assert found[folder]["classes"] == ["setosa", "versicolor", "virginica"]
        assert found[folder]["metrics"] == [
            {
                "type": "COUNTER",
                "key": "iris_predictions",
                "value": 1,
                "tags": {"species": "setosa"},
            }
        ]


def test_rows_of_another_length_are_refused_with_the_reason(facts):
    assert "expected rows of 4 measures" in facts("smoke")["wrong_shape"]


def test_crashing_cannot_be_loaded_because_its_model_is_missing(facts):
    assert "model-that-was-never-added.json" in facts("smoke")["crashing"]


@pytest.mark.parametrize("folder", FOLDERS)
def test_containerfiles_start_the_class_without_a_shell(folder):
    text = (IMAGES / folder / "Containerfile").read_text()
    variant = folder.replace("_", "-")
    entry = re.search(r"^ENTRYPOINT (.*)$", text, re.MULTILINE)
    assert entry is not None
    assert json.loads(entry[1]) == [
        "seldon-core-microservice", images.VARIANTS[variant], "--service-type", "MODEL",
    ]  # fmt: skip
    assert "ARG BASE=" in text
    assert f"COPY model_images/{folder}/" in text
    assert (IMAGES / folder / f"{images.VARIANTS[variant]}.py").is_file()


@pytest.mark.parametrize("folder", [name for name in FOLDERS if name != "crashing"])
def test_every_image_brings_a_profile_with_the_same_bins_of_features(folder):
    found = json.loads((IMAGES / folder / "profile.json").read_text())
    reference = json.loads((IMAGES / "stable" / "profile.json").read_text())
    assert [v for v in found["variables"] if v["kind"] == "feature"] == [
        v for v in reference["variables"] if v["kind"] == "feature"
    ]


def test_the_base_image_brings_the_kit():
    text = (IMAGES / "base" / "Containerfile").read_text()
    assert "COPY model_images/kit/sluice_model/ /models/sluice_model/" in text
    assert (IMAGES / "kit" / "sluice_model" / "__init__.py").is_file()


def test_the_base_image_demands_hashes_and_runs_as_nobody_in_particular():
    text = (IMAGES / "base" / "Containerfile").read_text()
    assert "--require-hashes" in text
    assert "requirements/seldon.txt" in text
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", text, re.MULTILINE)
    assert text.startswith("#")
    assert "ARG PYTHON_IMAGE=" in text
