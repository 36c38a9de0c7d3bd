"""What an image is made of, and when it has changed."""

from __future__ import annotations

import subprocess

import pytest

from sluice.errors import ToolError
from sluice.packaging import context
from sluice.packaging.image_list import Image

IMAGE = Image("a", "1", "g", "Containerfile", ("source",))


@pytest.fixture
def checkout(tmp_path):
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "a.py").write_text("a")
    (tmp_path / "Containerfile").write_text("FROM scratch")
    (tmp_path / "other").write_text("other")
    return tmp_path


def git(root, *argv):
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", "-C", root, *identity, *argv], check=True, capture_output=True)


def test_a_changed_file_is_another_image_and_a_cache_of_python_is_not(checkout):
    before = context.hash_of(checkout, IMAGE)
    (checkout / "source" / "__pycache__").mkdir()
    (checkout / "source" / "__pycache__" / "a.pyc").write_text("x")
    (checkout / "source" / "a.py").chmod(0o664)
    assert context.hash_of(checkout, IMAGE) == before
    (checkout / "source" / "a.py").write_text("b")
    assert context.hash_of(checkout, IMAGE) != before


def test_a_staged_context_has_plain_modes_and_only_its_own_files(checkout, tmp_path_factory):
    into = tmp_path_factory.mktemp("staged")
    (checkout / "source" / "a.py").chmod(0o664)
    context.stage(checkout, IMAGE, into)
    assert sorted(path.name for path in into.rglob("*")) == ["Containerfile", "a.py", "source"]
    assert (into / "source" / "a.py").stat().st_mode & 0o777 == 0o644


def test_a_missing_source_is_named(checkout):
    with pytest.raises(ToolError, match="expected gone in"):
        context.hash_of(checkout, Image("a", "1", "g", "Containerfile", ("gone",)))


def test_the_revision_is_the_last_commit_of_the_images_own_files(checkout):
    git(checkout, "init")
    git(checkout, "add", ".")
    git(checkout, "commit", "-m", "one")
    first = context.revision(checkout, IMAGE)
    (checkout / "other").write_text("changed")
    git(checkout, "commit", "-am", "two")
    assert len(first) == 40
    assert context.revision(checkout, IMAGE) == first
    (checkout / "source" / "a.py").write_text("changed")
    assert context.revision(checkout, IMAGE) == f"{first}-dirty"


@pytest.mark.parametrize(
    ("remote", "shown"),
    [
        ("git@host.example:team/sluice.git", "https://host.example/team/sluice"),
        ("https://me:secret@host.example/team/sluice", "https://host.example/team/sluice"),
        ("/somewhere/local", ""),
    ],
)
def test_the_source_is_the_origin_without_credentials(checkout, remote, shown):
    git(checkout, "init")
    git(checkout, "remote", "add", "origin", remote)
    assert context.origin(checkout) == shown
