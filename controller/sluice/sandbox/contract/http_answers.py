"""Sends a recorded HTTP request again, and compares the answer with the recorded one."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from . import Difference

_ADDRESS = re.compile(r"(localhost|127(?:\.\d+){3}):\d+")
_LEFT_OUT = ("date",)
_GENERATED = "<id>"
_TIMEOUT_SECONDS = 20.0


@dataclass(frozen=True)
class HttpAnswer:
    """Status, headers by lower-case name, and the body as text."""

    status: int
    headers: dict[str, str]
    body: str


def send(address: str, port: int, recorded: dict[str, Any]) -> HttpAnswer:
    """The answer to a recorded request, sent to another place. Raises OSError."""
    body = recorded.get("request_body")
    payload = body if body is None or isinstance(body, str) else json.dumps(body)
    headers = {} if payload is None else {"Content-Type": "application/json"}
    headers |= recorded.get("request_headers") or {}
    connection = http.client.HTTPConnection(address, port, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request(
            recorded["method"],
            recorded["path"],
            None if payload is None else payload.encode(),
            headers,
        )
        response = connection.getresponse()
        text = response.read().decode()
        return HttpAnswer(
            response.status, {name.lower(): v for name, v in response.getheaders()}, text
        )
    finally:
        connection.close()


def differences(
    recording: str, step: int, recorded: dict[str, Any], found: HttpAnswer, *, body: bool = True
) -> Iterator[Difference]:
    """Status, headers and body. Ports and loopback addresses in messages are made equal first."""
    label = recorded.get("label", "")
    if recorded["status"] != found.status:
        yield Difference(
            recording, step, f"{label}: status", str(recorded["status"]), str(found.status)
        )
    wanted_body, found_body = recorded["response_body"], found.body
    moved = bool(_ADDRESS.search(wanted_body))
    wanted = {name.lower(): value for name, value in recorded["response_headers"].items()}
    for name in sorted(wanted.keys() | found.headers.keys()):
        if name in _LEFT_OUT or (name == "content-length" and (moved or not body)):
            continue
        want, have = wanted.get(name), found.headers.get(name)
        if want == _GENERATED and have:
            continue
        if want != have:
            yield Difference(recording, step, f"{label}: header {name}", str(want), str(have))
    if body and _neutral(wanted_body) != _neutral(found_body):
        yield Difference(recording, step, f"{label}: body", wanted_body, found_body)


def _neutral(text: str) -> str:
    return _ADDRESS.sub("<address>", text)
