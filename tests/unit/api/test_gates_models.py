"""The models of gates refuse what the CRD refuses, for files that no API server has seen."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from sluice.api.gates import Gates, Webhook

HOOK = {"name": "ask", "at": "BeforeStep", "url": "https://gate.example.com/ask"}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"timeout": "31s"}, "at most 30s"),
        ({"timeout": "0s"}, "above 0s"),
        ({"interval": "9s"}, "at least 10s"),
        ({"retries": 11}, "less than or equal to 10"),
        ({"name": "windows"}, "another gate is"),
        ({"at": "BeforeStart", "onFailure": "RollBack"}, "needs a candidate"),
        ({"at": "AfterEnd", "onFailure": "RollBack"}, "needs a candidate"),
        ({"url": "ftp://gate.example.com/"}, "pattern"),
        ({"url": "https://user:word@gate.example.com/"}, "pattern"),
    ],
)
def test_what_a_webhook_cannot_be(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Webhook.model_validate({**HOOK, **changes})


def test_two_webhooks_cannot_have_one_name() -> None:
    with pytest.raises(ValidationError, match="names of webhooks must differ"):
        Gates.model_validate({"webhooks": [HOOK, HOOK]})


def test_what_is_omitted_is_careful() -> None:
    hook = Webhook.model_validate(HOOK)
    assert (hook.timeout, hook.retries, hook.interval, hook.on_failure) == (10, 3, 60, "Hold")
