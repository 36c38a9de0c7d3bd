"""What the pages say of `sluice capture` and of Seldon's request logger is what the code does."""

from __future__ import annotations

from pathlib import Path

import typer

from sluice.capture import sample, server
from sluice.capture.collecting import Outcome
from sluice.capture.places import ANNOTATIONS
from sluice.cli.main import app
from sluice.sandbox.executor import request_log
from sluice.sandbox.executor.settings import Settings

DOCS = Path(__file__).resolve().parents[3] / "docs"
PAGE = " ".join((DOCS / "preflight.md").read_text().split())
SECURITY = " ".join((DOCS / "security.md").read_text().split())
STAND_IN = " ".join((DOCS / "executor-stand-in.md").read_text().split())


def defaults() -> dict[str, object]:
    command = typer.main.get_command(app).get_command(None, "capture")  # type: ignore[attr-defined]
    return {param.name: param.default for param in command.params}


def test_the_numbers_of_capture_are_those_of_the_code() -> None:
    found = defaults()
    assert f"`--keep` requests ({found['keep']:,}), {sample.MOST_BYTES >> 20} MiB at most" in PAGE
    assert f"until the new one has {found['at_least']} requests (`--at-least`)" in PAGE
    assert found["every"] == 60.0
    assert "every minute (`--every`)" in PAGE
    assert f"at most {server.MOST_CONNECTIONS} connections, {sample.MOST_BYTES >> 20} MiB" in (
        SECURITY
    )


def test_its_names_are_those_of_the_code() -> None:
    assert f"`{ANNOTATIONS}...`" in PAGE
    assert all(f"`{name}`" in PAGE for name in ("seen", "kept", "from", "to", "deployment"))
    assert "`sluice_capture_events_total` by `outcome`" in PAGE
    assert Outcome.NOT_REDACTED.value == "not_redacted"
    assert f"`{request_log.SKIP}: true`" in PAGE
    assert f"`{request_log.SKIP}: true`" in STAND_IN


def test_the_stand_ins_logger_is_as_its_page_says() -> None:
    fields = Settings.__dataclass_fields__
    assert f"from a queue of {fields['log_queue'].default:,}" in STAND_IN
    assert f"waits {fields['log_write_timeout'].default:g} s beside" in STAND_IN
    assert request_log._WORKERS == 10
    assert f"given up after {request_log._SEND_SECONDS:g} s" in STAND_IN
    assert all(kind.rpartition(".")[2] in STAND_IN for kind in request_log._TYPES.values())
