"""docs/doctor.md and the doctor's findings are in step, and so are its copies of the roles."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sluice.kube import roles

ROOT = Path(__file__).resolve().parents[3]
DOCTOR = ROOT / "controller" / "sluice" / "doctor"
PATTERNS = (
    r'\b(?:ok|note|warning|error|level)\(\s*"([A-Z]\w+)"',
    r'"([A-Z]\w+LabelMissing)"',
)


def ids_in_code() -> set[str]:
    text = "".join(path.read_text() for path in DOCTOR.glob("*.py"))
    return {name for pattern in PATTERNS for name in re.findall(pattern, text)}


def ids_in_docs() -> set[str]:
    rows = re.findall(r"^\| (`.*?) \|", (ROOT / "docs" / "doctor.md").read_text(), re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`([A-Z]\w+)`", row)}


def test_every_finding_is_documented_and_no_other() -> None:
    assert len(ids_in_code()) > 60
    assert ids_in_docs() == ids_in_code()


def test_no_finding_is_made_in_a_way_the_test_above_cannot_see() -> None:
    text = (DOCTOR / "prometheus.py").read_text() + (DOCTOR / "controller.py").read_text()
    assert not re.search(r"\b(?:ok|note|warning|error|level)\(\s*f\"", text)


@pytest.mark.parametrize(
    "name",
    [
        "controller.yaml",
        "controller-preflight.yaml",
        "controller-retraining.yaml",
        "controller-routes.yaml",
    ],
)
def test_the_roles_that_are_asked_for_are_the_shipped_ones(name: str) -> None:
    shipped = (ROOT / "charts" / "sluice" / "files" / "rbac" / name).read_text()
    assert (roles.FILES / name).read_text() == shipped
    assert (ROOT / "manifests" / "rbac" / name).read_text() == shipped
    assert {path.name for path in roles.FILES.iterdir()} == {
        "controller.yaml",
        "controller-preflight.yaml",
        "controller-routes.yaml",
        "controller-retraining.yaml",
    }
