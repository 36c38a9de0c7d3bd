"""docs/preflight.md says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from sluice.api.preflight import Preflight, PreflightPerClass, PreflightState
from sluice.compare import classes, lines
from sluice.compare.exact import tries_needed
from sluice.loops import preflight_run, preflights
from sluice.loops.settings import ControllerSettings

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "preflight.md").read_text()


def test_the_example_is_valid_and_its_comments_tell_the_defaults() -> None:
    [text] = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    asked = Preflight.model_validate(yaml.safe_load(text)["spec"]["preflight"])
    least = Preflight.model_validate({"requests": {"configMap": {"name": "r"}}})
    defaults = re.findall(r"^    (\w+): (\S+) .*the default\)", text, re.MULTILINE)
    assert [name for name, _ in defaults] == ["agreement", "examples", "timeout", "answerTimeout"]
    for field in ("agreement", "examples", "timeout", "answer_timeout"):
        assert getattr(asked, field) == getattr(least, field)
    assert asked.on_undecided is least.on_undecided


def test_every_state_and_every_reason_is_explained() -> None:
    assert [state for state in PreflightState if f"`{state}`" not in PAGE] == []
    sources = [ROOT / "controller/sluice/loops" / f for f in ("preflight_run.py", "preflights.py")]
    text = "".join(path.read_text() for path in (*sources, Path(lines.__file__)))
    reasons = set(re.findall(r'(?:_blocked\(|RequestsError\()\s*"([A-Z]\w+)"', text))
    reasons |= set(re.findall(r'"reason": "([A-Z]\w+)"', text))
    reasons |= set(re.findall(r'reason = PreflightState\.\w+, "([A-Z]\w+)"', text))
    reasons |= set(re.findall(r'PreflightState\.\w+, "([A-Z]\w+)"', text))
    assert len(reasons) > 6
    documented = PAGE + (ROOT / "docs" / "reasons.md").read_text()
    assert [name for name in reasons if f"`{name}`" not in PAGE] == []
    assert all(f"`{side}Unreachable`" in documented for side in ("Stable", "Candidate"))


def test_the_numbers_are_those_of_the_code() -> None:
    assert f"at least {tries_needed(0.99, 0.025)} rows" in PAGE
    per_class = PreflightPerClass()
    least = tries_needed(per_class.agreement, 0.025)
    assert f"| `agreement` | {per_class.agreement} |" in PAGE
    assert f"as many as it takes: {least} for 90%" in PAGE
    kept, most = preflight_run._CLASSES_KEPT, classes.MOST_CLASSES
    assert f"the {kept} gravest of up to {most} classes" in " ".join(PAGE.split())
    assert f"{lines.MOST_REQUESTS:,} requests" in PAGE
    assert f"{lines.MOST_BYTES >> 20} MiB" in PAGE
    words = {2: "Two", 4: "four"}
    at_once, parallel = ControllerSettings().preflights, preflights._PARALLEL
    assert f"{words[at_once]} preflights are under way at a time, {words[parallel]} requests" in (
        " ".join(PAGE.split())
    )
    assert "about eight seconds" in PAGE
    assert 7.5 < sum(preflight_run._TRIES_AFTER) < 8.5
