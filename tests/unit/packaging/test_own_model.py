"""What a user's own model becomes an image of, and what is said where it cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from sluice.errors import UsageError
from sluice.packaging import context
from sluice.packaging.__main__ import main
from sluice.packaging.image_list import MODELS_BASE
from sluice.packaging.own_model import own_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "My_Wine"
    folder.mkdir()
    (folder / "Wine.py").write_text("class Wine:\n    pass\n")
    (folder / "helpers.py").write_text("class Other:\n    pass\n")
    (folder / "weights.json").write_text("{}")
    return folder


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    place = tmp_path / "scratch"
    place.mkdir()
    return place


def test_the_class_and_the_name_are_found_and_all_files_are_there(
    folder: Path, scratch: Path
) -> None:
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "Wine.pyc").write_text("x")
    image = own_model(folder, scratch, tag="1.0")
    assert image.reference == "my-wine:1.0"
    assert image.parents == {"BASE": MODELS_BASE}
    assert '"Wine"' in (scratch / "Containerfile").read_text()
    found = [str(path) for path in context.files(scratch, image.sources)]
    assert found == ["model/Wine.py", "model/helpers.py", "model/weights.json"]


def test_a_changed_model_is_another_image(folder: Path, tmp_path: Path) -> None:
    hashes = []
    for number in (1, 2):
        scratch = tmp_path / str(number)
        scratch.mkdir()
        image = own_model(folder, scratch, tag="1.0")
        hashes.append(context.hash_of(scratch, image))
        (folder / "Wine.py").write_text("class Wine:\n    x = 1\n")
    assert hashes[0] != hashes[1]


def refusal(folder: Path, scratch: Path, **given: str) -> str:
    with pytest.raises(UsageError) as refused:
        own_model(folder, scratch, **{"tag": "1", **given})
    return str(refused.value)


def test_what_cannot_be_a_model_is_refused_with_what_is_missing(
    folder: Path, scratch: Path
) -> None:
    assert "no such folder" in refusal(folder / "gone", scratch)
    assert "expected a file Beer.py with a class Beer" in refusal(folder, scratch, cls="Beer")
    assert "needs a tag" in refusal(folder, scratch, tag="")
    assert "give one with --name" in refusal(folder, scratch, name="My Wine")
    (folder / "Beer.py").write_text("class Beer:\n    pass\n")
    assert "found Beer, Wine: say which with --class" in refusal(folder, scratch)
    (folder / "Beer.py").write_text("class Beer\n")
    assert "Beer.py:1: " in refusal(folder, scratch)


@pytest.mark.parametrize("words", [["--class", "Wine"], ["--model", ".", "--only", "controller"]])
def test_words_that_do_not_belong_together_are_refused(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    assert "--model" in capsys.readouterr().err
