"""docs/reasons.md names every reason that the code can give."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
SOURCES = ("api", "engine", "evidence", "loops", "metrics", "seldon")
PATTERNS = (
    r'reason="([A-Z]\w+)"',
    r'SpecError\(\s*"([A-Z]\w+)"',
    r'\.note\(\s*"([A-Z]\w+)"',
    r'\.hold\(\s*"([A-Z]\w+)"',
    r'begin_rollback\(\s*draft,\s*"([A-Z]\w+)"',
    r'return "(?:True|False|Unknown)", "([A-Z]\w+)"',
    r'return Verdict\.\w+, "([A-Z]\w+)"',
    r'Incomparable\(\s*"([A-Z]\w+)"',
)


def reasons_in_code() -> set[str]:
    found: set[str] = set()
    for package in SOURCES:
        for path in (ROOT / "controller" / "sluice" / package).rglob("*.py"):
            text = path.read_text()
            for pattern in PATTERNS:
                found |= set(re.findall(pattern, text))
    return found


def test_every_reason_is_documented() -> None:
    documented = set(re.findall(r"`([A-Z]\w+)`", (ROOT / "docs" / "reasons.md").read_text()))
    reasons = reasons_in_code()
    assert len(reasons) > 30
    phases = {"Idle", "Preparing", "Stepping", "Promoting", "Baking", "RollingBack", "RolledBack"}
    assert reasons - documented - phases == set()
