"""What the documents point at is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("*_images/*.md")])
LINK = re.compile(r"\]\(([^)#\s]+)")
PATH = re.compile(
    r"`((?:docs|controller|tests|charts|manifests|canary_policies|requirements|model_images|tools"
    r"|bench|gitops)/[\w./-]+)`"
)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_and_path_of_a_document_leads_somewhere(document: Path) -> None:
    text = document.read_text()
    links = [link for link in LINK.findall(text) if "://" not in link]
    dead = [link for link in links if not (document.parent / link).exists()]
    dead += [path for path in PATH.findall(text) if not (ROOT / path).exists()]
    assert dead == []


def test_the_controllers_image_is_made_of_files_that_are_there() -> None:
    text = (ROOT / "controller" / "Containerfile").read_text()
    copied = re.findall(r"^COPY (?!--from)(\S+)", text, re.MULTILINE)
    assert len(copied) == 2
    assert [path for path in copied if not (ROOT / path).exists()] == []
    # The chart and the manifests give the arguments alone, beginning with the command.
    assert 'ENTRYPOINT ["/opt/sluice/bin/python", "-m", "sluice.cli.main"]' in text
