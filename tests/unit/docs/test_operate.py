"""Every alert and every reason of Stalled has a runbook, and every anchor leads to one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from sluice.cli import reference

ROOT = Path(__file__).resolve().parents[3]
DOCS = ROOT / "docs"
RULES = ROOT / "charts" / "sluice" / "files" / "alerts" / "sluice.yaml"
PAGE = (DOCS / "operate.md").read_text()


def anchor(title: str) -> str:
    """As GitHub makes them."""
    return re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-")


def sections(text: str) -> dict[str, str]:
    """What is below each heading, by the heading's anchor."""
    parts = re.split(r"^#{1,4} (.+)$", text, flags=re.MULTILINE)
    return {anchor(title): body for title, body in zip(parts[1::2], parts[2::2], strict=True)}


def alerts() -> list[dict[str, dict[str, str]]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def reasons_of_stalled() -> list[str]:
    table = (DOCS / "reasons.md").read_text().partition("phase kept)")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    found = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    conditions = (ROOT / "controller/sluice/engine/conditions.py").read_text()
    by_engine = conditions.partition("def _stalled")[2].partition("\ndef ")[0]
    return found + re.findall(r'"True", "(\w+)"', by_engine)


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
def test_every_alert_has_its_runbook(rule: dict[str, dict[str, str]]) -> None:
    page, _, at = rule["annotations"]["runbook_url"].partition("#")
    assert page == "docs/operate.md"
    assert at == anchor(str(rule["alert"]))
    body = sections(PAGE)[at]
    assert len(body.split()) > 25 or re.search(r"See \[", body)


def test_every_reason_of_stalled_has_its_section() -> None:
    reasons = reasons_of_stalled()
    assert len(reasons) > 14
    assert {"RolledBack", "Undecided", "RightMissing"} <= set(reasons)
    found = sections(PAGE)
    assert [reason for reason in reasons if anchor(reason) not in found] == []
    for reason in reasons:
        body = found[anchor(reason)]
        assert "Do:" in body, reason
        assert "Ignore:" in body, reason


def test_no_runbook_is_left_of_an_alert_that_is_gone() -> None:
    titles = re.findall(r"^### (Sluice\w+)$", PAGE, re.MULTILINE)
    assert set(titles) == {str(rule["alert"]) for rule in alerts()}


@pytest.mark.parametrize("name", ["operate.md", "upgrade.md", "security.md", "install.md"])
def test_every_anchor_leads_somewhere(name: str) -> None:
    text = (DOCS / name).read_text()
    for page, at in re.findall(r"\]\(([\w./-]*)#([\w-]+)\)", text):
        target = (DOCS / page).read_text() if page else text
        assert at in sections(target), f"{page}#{at}"


@pytest.mark.parametrize("name", ["operate.md", "upgrade.md", "security.md"])
def test_every_command_of_a_page_exists(name: str) -> None:
    known = {command.partition(" ")[0] for command, _ in reference.commands()} | {"controller"}
    text = (DOCS / name).read_text()
    used = re.findall(r"(?:^|`)sluice ([a-z][\w-]*)", text, re.MULTILINE)
    assert used
    assert set(used) - known == set()


@pytest.mark.parametrize("name", ["operate.md", "upgrade.md", "security.md", "install.md"])
def test_every_value_of_the_chart_that_a_page_names_is_there(name: str) -> None:
    values = yaml.safe_load((ROOT / "charts/sluice/values.yaml").read_text())
    text = (DOCS / name).read_text()
    tops = "|".join(key for key, value in values.items() if isinstance(value, dict) and value)
    for path in re.findall(rf"`((?:{tops})\.[\w.]+)(?![\w./])", text):
        here = values
        for part in path.split("."):
            assert part in here, path
            here = here[part]
