"""docs/gates.md and docs/audit.md say what the code does."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from sluice.api.gates import Gates, Moment
from sluice.api.status import Verdict
from sluice.cli import controller
from sluice.loops.audit import records_of, stall_record
from sluice.loops.webhooks import signature

from ..engine.small_cluster import SmallCluster

DOCS = Path(__file__).resolve().parents[3] / "docs"
GATES, AUDIT = (DOCS / "gates.md").read_text(), (DOCS / "audit.md").read_text()


def question(at: str) -> dict[str, Any]:
    """The body of a question as it is sent."""
    cluster = SmallCluster().rolling_out()
    cluster.gates = {"webhooks": [{"name": "load-test", "at": at, "url": "https://a.test"}]}
    cluster.say(Verdict.PASS)
    cluster.run(90)
    return dict(cluster.asked()["load-test"].body)


def test_the_body_of_a_webhook_has_the_documented_fields() -> None:
    [example] = re.findall(r"```json\n(.*?)```", GATES, re.DOTALL)
    documented, sent = json.loads(example), question("BeforePromotion")
    assert documented.keys() == sent.keys()
    assert documented["rollout"].keys() == sent["rollout"].keys()
    assert (documented["at"], documented["step"], documented["weight"]) == (
        sent["at"],
        sent["step"],
        sent["weight"],
    )
    for field in question("AfterEnd")["outcome"]:
        assert f"`{field}`" in GATES


def test_the_example_of_a_signature_is_right() -> None:
    assert signature(b"secret", b'{"a":1}', 1700000000).split("v1=")[1] in GATES


def test_every_example_of_gates_is_valid() -> None:
    examples = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", GATES, re.DOTALL)]
    gates = [Gates.model_validate(example["gates"]) for example in examples if "gates" in example]
    assert len(gates) == 3


def test_every_moment_is_documented() -> None:
    assert [moment for moment in Moment if f"`{moment}`" not in GATES] == []


def test_the_audit_logs_fields_are_the_documented_ones() -> None:
    cluster = SmallCluster().rolling_out()
    cluster.say(Verdict.HARM)
    [record] = records_of(cluster.inputs(), cluster.step())
    table = [line.split("|")[1] for line in AUDIT.splitlines() if line.startswith("| `")]
    documented = set(re.findall(r"`(\w+)`", " ".join(table)))
    assert documented == set(record)
    stalled = stall_record({"metadata": {"name": "iris"}}, "InvalidSpec", "", 0.0)
    assert set(stalled) < documented


@pytest.mark.parametrize("page", ["gates.md", "audit.md", "commands.md", "install.md"])
def test_every_option_named_there_exists(page: str) -> None:
    options = {
        f"--{name.replace('_', '-')}" for name in inspect.signature(controller.run).parameters
    }
    options |= {"--full", "--to-revision", "--reason", "--namespace", "--create-namespace", "--set"}
    options |= {"--only", "--push"}  # of `make images`
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", (DOCS / page).read_text()))
    assert named - options == set()
