"""docs/cli.md and docs/schemas are held to the commands, and real output to the schemas."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sluice.api.status import Verdict
from sluice.cli import documents, reference
from sluice.cli.waiting import Outcome

from .stage import Play, ScriptedKube, StageClock

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "cli.md"
SCHEMAS = ROOT / "docs" / "schemas"
Sluice = Callable[..., int]
Capture = pytest.CaptureFixture[str]

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


def mistakes(value: Any, schema: Any, root: Any, where: str = "$") -> Iterator[str]:
    """As much of JSON Schema as the files use; a keyword that is not known is a mistake itself."""
    if "$ref" in schema:
        yield from mistakes(value, root["$defs"][schema["$ref"].rpartition("/")[2]], root, where)
    if "anyOf" in schema:
        tries = [list(mistakes(value, one, root, where)) for one in schema["anyOf"]]
        if all(tries):
            yield f"{where}: none of anyOf: {tries}"
    if "const" in schema and value != schema["const"]:
        yield f"{where}: {value!r} is not {schema['const']!r}"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{where}: {value!r} is not one of {schema['enum']}"
    kind = schema.get("type")
    if kind and (
        not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "boolean")
    ):
        yield f"{where}: {value!r} is no {kind}"
        return
    for key in schema.get("required", []):
        if key not in value:
            yield f"{where}: {key} is missing"
    if isinstance(value, dict):
        more = schema.get("additionalProperties", {})
        for key, one in value.items():
            inner = schema.get("properties", {}).get(key, more)
            if inner is False:
                yield f"{where}.{key} is not allowed"
            elif isinstance(inner, dict):
                yield from mistakes(one, inner, root, f"{where}.{key}")
    if isinstance(value, list) and "items" in schema:
        for index, one in enumerate(value):
            yield from mistakes(one, schema["items"], root, f"{where}[{index}]")
    known = {"$ref", "anyOf", "const", "enum", "type", "required", "properties", "items"}
    known |= {"additionalProperties", "title", "description", "default", "$defs", "$schema", "$id"}
    for keyword in set(schema) - known:
        yield f"{where}: the keyword {keyword} is not checked by this test"


def check(text: str, name: str) -> Any:
    schema = json.loads((SCHEMAS / f"{name}.json").read_text())
    value = json.loads(text)
    assert list(mistakes(value, schema, schema)) == []
    return value


def test_every_command_and_option_is_on_the_page_and_nothing_else() -> None:
    assert reference.problems(PAGE.read_text()) == [], "run `make crds`"


def test_what_is_missing_or_too_much_on_the_page_is_named() -> None:
    text = PAGE.read_text()
    without = text.replace("## sluice wait\n", "## sluice tarry\n")
    assert "the command wait has no section" in reference.problems(without)
    assert "there is no command tarry" in reference.problems(without)
    changed = text.replace("| `--revision` | Wait for", "| `--revisions` | Wait for")
    assert reference.problems(changed) == ["the tables are not in step: run `make crds`"]
    assert reference.filled(changed) == text


def test_every_exit_code_is_on_the_page() -> None:
    from sluice.cli.wait import EXIT_CODES
    from sluice.errors import NotAllowedError, UsageError

    text = PAGE.read_text()
    assert set(EXIT_CODES) == set(Outcome)
    for code in {*EXIT_CODES.values(), UsageError.exit_code, NotAllowedError.exit_code, 130}:
        assert f"\n| {code} | " in text


def test_the_schema_files_are_as_the_models_say() -> None:
    assert documents.stale(SCHEMAS) == [], "run `make crds`"


def test_a_missing_or_changed_schema_is_named(tmp_path: Path, capsys: Capture) -> None:
    assert documents.main([str(tmp_path)]) == 0
    assert documents.main(["--check", str(tmp_path)]) == 0
    (tmp_path / "wait.json").write_text("{}")
    assert documents.main(["--check", str(tmp_path)]) == 1
    assert "wait.json" in capsys.readouterr().err


@pytest.fixture
def eventful(play: Play, clock: StageClock) -> Play:
    play.push("repo/iris:2", gitCommit="ab12")
    play.look()
    play.harm()
    play.push("repo/iris:3")
    play.look()
    play.say(Verdict.UNDECIDED)
    play.play(2)
    clock.set_wall_time(play.now)
    return play


def test_real_output_of_list_status_and_history_is_as_the_schemas_say(
    eventful: Play, sluice: Sluice, capsys: Capture
) -> None:
    for words, name in (
        (["list"], "list"),
        (["status", "iris"], "status"),
        (["history", "iris"], "history"),
        (["history", "iris", "--revision", "1"], "history-entry"),
        (["history", "iris", "--at", "2023-11-14T22:13:40Z"], "history-at"),
    ):
        assert sluice(*words, "-o", "json") == 0
        assert check(capsys.readouterr().out, name)


def test_every_end_of_a_wait_is_as_the_schema_says(
    eventful: Play, scripted: ScriptedKube, clock: StageClock, sluice: Sluice, capsys: Capture
) -> None:
    ends = []
    assert eventful.status.stable is not None
    serves = eventful.status.stable.revision  # which no pause will come to any more
    for words, acts in (
        (["--timeout", "0"], []),
        (["--for", "paused", "--revision", serves], []),
        ([], [eventful.harm]),
        (["--for", "rolledback"], []),
    ):
        scripted.acts = list(acts)
        sluice("wait", "iris", "-o", "json", *words)
        ends.append(check(capsys.readouterr().out, "wait")["outcome"])
    assert ends == ["TimedOut", "Never", "RolledBack", "Met"]


def test_the_check_itself_finds_mistakes() -> None:
    schema = json.loads((SCHEMAS / "wait.json").read_text())
    found = list(mistakes({"name": 1, "phase": "Odd"}, schema, schema))
    assert "$: namespace is missing" in found
    assert "$.name: 1 is no string" in found
    assert any("'Odd' is not one of" in one for one in found)
