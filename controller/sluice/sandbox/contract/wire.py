"""Plain HTTP to an API server: status, body and warnings as they came, no error raised.

The recordings hold what the API server answered, refusals included, so the replay needs the answer
itself and not an exception made from it.
"""

from __future__ import annotations

import http.client
import json
import ssl
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

Json = dict[str, Any]

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
# The recordings were made with this client, and a field manager is named after it.
_AGENT = "Python-urllib/3.11"


@dataclass(frozen=True)
class Answer:
    """What the server said. `body` is {} where it sent no JSON."""

    status: int
    body: Json
    warnings: list[str] = field(default_factory=list)

    @property
    def accepted(self) -> bool:
        return self.status < 400


class Wire:
    """Keeps one connection per thread. Raises OSError if the server does not answer."""

    def __init__(self, url: str, certificate: Path, token: str, *, timeout: float = 30.0) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 443
        self._context = ssl.create_default_context(cafile=str(certificate))
        self._token = token
        self._timeout = timeout
        self._local = threading.local()

    def request(
        self,
        verb: str,
        path: str,
        body: Json | list[Any] | None = None,
        content_type: str = "application/json",
    ) -> Answer:
        payload = None if body is None else json.dumps(body).encode()
        headers = {
            "Authorization": f"Bearer {self._token}",
            "User-Agent": _AGENT,
            "Accept": "application/json",
        }
        if payload is not None:
            headers["Content-Type"] = content_type
        try:
            return self._send(verb, path, payload, headers)
        except (http.client.HTTPException, ConnectionError):
            # The server closed an idle connection.
            self._local.connection = None
            return self._send(verb, path, payload, headers)

    def _send(self, verb: str, path: str, payload: bytes | None, headers: dict[str, str]) -> Answer:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = http.client.HTTPSConnection(
                self._host, self._port, timeout=self._timeout, context=self._context
            )
            self._local.connection = connection
        connection.request(verb, path, payload, headers)
        response = connection.getresponse()
        text = response.read()
        warnings = response.headers.get_all("Warning") or []
        try:
            parsed = json.loads(text)
        except ValueError:
            parsed = {}
        return Answer(response.status, parsed if isinstance(parsed, dict) else {}, warnings)
