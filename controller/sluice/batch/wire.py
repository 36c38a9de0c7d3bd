"""One HTTP exchange with the target, over connections that are kept.

By urllib3, which `requests` is built on: connections, TLS, timeouts and nothing else. What
`requests` does on top for each request (cookies, hooks, the environment, a prepared request) costs
as much as all the rest of a small request.
"""

from __future__ import annotations

import email.utils
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import urllib3
from urllib3.util import Timeout, parse_url

from sluice.errors import SluiceError, UsageError

LARGEST_ANSWER = 256 * 2**20
_CHUNK = 2**18
_LONGEST_WAIT = 300.0
_TOKEN_SECONDS = 60.0


class NoAnswerError(SluiceError):
    """No whole answer came. `slow`: the connection stood, but the time ran out."""

    def __init__(self, message: str, *, slow: bool = False) -> None:
        super().__init__(message)
        self.slow = slow


class UntrustedError(SluiceError):
    """The target's certificate is not to be believed; waiting would not help."""


@dataclass(frozen=True)
class Reply:
    """`retry_after`: seconds that the server asks to wait, None if it says none."""

    status: int
    body: bytes
    retry_after: float | None = None


class Exchange(Protocol):
    """Sends a body; `request_id` marks the request in logs. Thread-safe.

    Raises NoAnswerError, or UntrustedError.
    """

    def __call__(self, body: bytes, request_id: str, /) -> Reply: ...


@dataclass(frozen=True)
class Access:
    """How to be let in. A token file is read again every minute: such files are renewed."""

    headers: Mapping[str, str] = field(default_factory=dict)
    token: str | None = field(default=None, repr=False)
    token_file: Path | None = None
    ca_file: Path | None = None
    verify: bool = True


class Wire:
    """An Exchange with one URL. `seconds` bounds connecting, and the whole answer."""

    def __init__(
        self, url: str, *, access: Access, connections: int, seconds: float, connect: float = 5.0
    ) -> None:
        place = parse_url(url)
        if place.scheme not in ("http", "https") or not place.host:
            raise UsageError(
                f"expected http://HOST... or https://HOST..., found {place.host or url}"
            )
        if place.auth:
            raise UsageError("a password in the URL ends in logs: use --token-file or --header")
        self._target = place.request_uri
        self._seconds = seconds
        self._timeout = Timeout(connect=min(connect, seconds), read=seconds)
        self._access = access
        self._token, self._token_until = "", 0.0
        tls: dict[str, Any] = {}
        if place.scheme == "https":
            tls = {"cert_reqs": "CERT_REQUIRED" if access.verify else "CERT_NONE"}
            if access.ca_file is not None:
                if not access.ca_file.is_file():
                    raise UsageError(f"--ca-file {access.ca_file} is not there")
                tls["ca_certs"] = str(access.ca_file)
            if name := access.headers.get("Host"):
                # The certificate is the named host's, whatever address leads there.
                tls |= {"server_hostname": name, "assert_hostname": name}
            if not access.verify:
                urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        kind = urllib3.HTTPSConnectionPool if tls else urllib3.HTTPConnectionPool
        self._pool = kind(place.host, place.port, maxsize=connections, block=False, **tls)
        self._headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "User-Agent": "sluice-batch",
            **access.headers,
        }
        self._authorize()  # a missing token file is told before the first request

    def __call__(self, body: bytes, request_id: str, /) -> Reply:
        headers = {**self._headers, "Seldon-Puid": request_id, **self._authorize()}
        deadline = time.monotonic() + self._seconds
        try:
            answer = self._pool.urlopen(
                "POST", self._target, body=body, headers=headers, retries=False, redirect=False,
                timeout=self._timeout, preload_content=False,
            )  # fmt: skip
            try:
                content = self._read(answer, deadline)
            except BaseException:
                answer.close()
                raise
            answer.release_conn()
        except urllib3.exceptions.ReadTimeoutError as error:
            raise NoAnswerError(f"no answer within {self._seconds:g}s", slow=True) from error
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                raise UntrustedError(
                    f"the target's certificate cannot be verified ({_words(error)}): give its CA "
                    "by --ca-file"
                ) from error
            raise NoAnswerError(_words(error)) from error
        return Reply(answer.status, content, _retry_after(answer.headers.get("Retry-After")))

    def close(self) -> None:
        """Drop the connections; a request under way in another thread ends with NoAnswerError."""
        self._pool.close()

    def _read(self, answer: urllib3.BaseHTTPResponse, deadline: float) -> bytes:
        parts, size = [], 0
        while part := answer.read1(_CHUNK):
            parts.append(part)
            size += len(part)
            if size > LARGEST_ANSWER:
                raise NoAnswerError(f"an answer of more than {LARGEST_ANSWER:,} bytes", slow=True)
            if time.monotonic() > deadline:
                raise NoAnswerError(f"no whole answer within {self._seconds:g}s", slow=True)
        return b"".join(parts)

    def _authorize(self) -> Mapping[str, str]:
        access = self._access
        if access.token_file is not None and time.monotonic() >= self._token_until:
            try:
                self._token = access.token_file.read_text().strip()
            except (OSError, UnicodeDecodeError) as error:
                raise UsageError(f"--token-file {access.token_file} cannot be read") from error
            self._token_until = time.monotonic() + _TOKEN_SECONDS
        token = self._token or access.token
        return {"Authorization": f"Bearer {token}"} if token else {}


def _retry_after(text: str | None, now: Callable[[], float] = time.time) -> float | None:
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(text).timestamp() - now()
        except ValueError:
            return None
    return min(max(seconds, 0.0), _LONGEST_WAIT) if seconds == seconds else None


def _words(error: BaseException) -> str:
    """The innermost cause: urllib3 wraps it in addresses of objects."""
    if isinstance(error, urllib3.exceptions.ConnectTimeoutError) and not isinstance(
        error, urllib3.exceptions.NewConnectionError
    ):
        return "connecting timed out"
    cause = error
    while inner := (cause.__cause__ or cause.__context__):
        cause = inner
    return f"{type(cause).__name__}: {getattr(cause, 'strerror', None) or cause}"
