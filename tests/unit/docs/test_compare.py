"""docs/compare.md promises nothing that is not there: no command, option, field, name or page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sluice.cli import reference

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "compare.md"
LINK = re.compile(r"\]\(([^)\s]+)\)")
SPAN = re.compile(r"`([^`]+)`")


def spans(text: str) -> list[str]:
    return SPAN.findall(text)


def rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def unknown_commands(text: str) -> Iterator[str]:
    """Commands, and their options, that the command line does not have."""
    known = dict(reference.commands())
    for span in spans(text):
        if not span.startswith("sluice "):
            continue
        words = span.split()[1:]
        name = next((n for n in (" ".join(words[:2]), words[0]) if n in known), None)
        if name is None:
            yield span
            continue
        options = {o for p in known[name].params for o in (*p.opts, *p.secondary_opts)}
        yield from (f"{span}: {w}" for w in words if w.startswith("-") and w not in options)


def schemas() -> list[dict[str, Any]]:
    files = sorted((ROOT / "manifests" / "crds").glob("*.yaml"))
    crds = [yaml.safe_load(path.read_text()) for path in files]
    return [v["schema"]["openAPIV3Schema"] for crd in crds for v in crd["spec"]["versions"]]


def has(schema: dict[str, Any], path: str) -> bool:
    """Whether the schema has that field; `a[].b` is b of a list's elements."""
    here: dict[str, Any] | None = schema
    for part in path.split("."):
        here = ((here or {}).get("properties") or {}).get(part.removesuffix("[]"))
        if here is not None and part.endswith("[]"):
            here = here.get("items")
    return here is not None


def unknown_fields(text: str) -> list[str]:
    paths = [span for span in spans(text) if re.match(r"(spec|status)\.", span)]
    return [path for path in paths if not any(has(schema, path) for schema in schemas())]


def values(schema: Any) -> Iterator[str]:
    """Every value that an enum of the schema allows."""
    if isinstance(schema, dict):
        yield from map(str, schema.get("enum", ()))
        for part in schema.values():
            yield from values(part)


def unknown_names(text: str) -> list[str]:
    """CamelCase names (verdicts, reasons, findings, conditions) that no other page explains."""
    pages = "".join(p.read_text() for p in (ROOT / "docs").glob("*.md") if p != PAGE)
    allowed = {value for schema in schemas() for value in values(schema)}
    names = [span for span in spans(text) if re.fullmatch(r"[A-Z]\w+", span)]
    return [name for name in names if name not in allowed and f"`{name}`" not in pages]


def test_every_command_and_option_of_the_page_exists() -> None:
    text = PAGE.read_text()
    assert list(unknown_commands(text)) == []
    assert sum(span.startswith("sluice ") for span in spans(text)) > 15


def test_every_field_of_the_page_is_in_the_crds() -> None:
    text = PAGE.read_text()
    assert unknown_fields(text) == []
    assert sum(span.startswith(("spec.", "status.")) for span in spans(text)) > 25


def test_every_name_on_the_page_is_explained_on_another() -> None:
    assert unknown_names(PAGE.read_text()) == []


def test_every_page_it_links_to_exists() -> None:
    links = [link for link in LINK.findall(PAGE.read_text()) if "://" not in link]
    assert len(links) > 15
    assert [link for link in links if not (PAGE.parent / link.partition("#")[0]).exists()] == []


def test_every_metric_of_the_page_is_exported() -> None:
    exported = (ROOT / "controller" / "sluice" / "loops" / "own_metrics.py").read_text()
    names = [span for span in spans(PAGE.read_text()) if span.startswith("sluice_")]
    assert names
    assert [name for name in names if f'"{name}"' not in exported] == []


def test_every_wish_has_an_answer() -> None:
    wishes = [row for row in rows(PAGE.read_text()) if len(row) == 3]
    assert len(wishes) > 45
    assert [row for row in wishes if not row[0] or not row[2]] == []


@pytest.mark.parametrize(
    ("promise", "find"),
    [
        ("`sluice dashboard`", unknown_commands),
        ("`sluice undo --to-number`", unknown_commands),
        ("`spec.strategy.canary.header`", unknown_fields),
        ("`spec.steps.hold`", unknown_fields),
        ("`status.checks[].colour`", unknown_fields),
        ("`AllChecksPast`", unknown_names),
    ],
)
def test_a_promise_that_is_not_kept_is_found(promise: str, find: Any) -> None:
    assert list(find(promise)) != []
