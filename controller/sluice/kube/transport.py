"""One HTTP exchange with the API server: the only module that touches `kubernetes`' client.

It carries plain JSON (`_preload_content=False` in the package's words: its typed models cost ten
times as much to read), puts a timeout on every exchange, never repeats a write, and bounds the
number of open connections.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlencode

import urllib3
from kubernetes.client.api_client import ApiClient
from kubernetes.client.configuration import Configuration
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException

from sluice.errors import ApiUnavailableError

CHUNK = 2**16
# What urllib3 and the sockets below it raise when a connection ends in mid-read, also when another
# thread has shut it down (the last two).
_BROKEN = (urllib3.exceptions.HTTPError, OSError, ValueError, AttributeError)


class Timeout(NamedTuple):
    """Seconds to wait for a connection, and for each piece of the answer."""

    connect: float = 5.0
    read: float = 30.0


DEFAULT_TIMEOUT = Timeout()


@dataclass(frozen=True)
class Call:
    """What is sent. `body` is JSON-ready. `stream`: the answer is read line by line."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: Any = None
    content_type: str = "application/json"
    timeout: Timeout = DEFAULT_TIMEOUT
    stream: bool = False


class Response(Protocol):
    """An answer; whoever gets one calls `close`."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    def read(self) -> bytes:
        """The whole body. Raises ApiUnavailableError if the connection breaks."""
        ...

    def lines(self) -> Iterator[bytes]:
        """The body's lines as they come, until the server ends it, or `interrupt`."""
        ...

    def interrupt(self) -> None:
        """End `lines` from any thread, at once."""
        ...

    def close(self) -> None:
        """Give the connection back. Only from the thread that reads."""
        ...


class Transport(Protocol):
    """Sends a call. Raises ApiUnavailableError when there is no answer. Thread-safe."""

    @property
    def server(self) -> str:
        """The server's URL, for messages."""
        ...

    def send(self, call: Call) -> Response: ...

    def close(self) -> None: ...


class _HttpResponse:
    def __init__(self, raw: urllib3.HTTPResponse, release: threading.Semaphore | None) -> None:
        self._raw = raw
        self._release = release
        self._interrupted = False

    @property
    def status(self) -> int:
        return int(self._raw.status)

    @property
    def headers(self) -> Mapping[str, str]:
        return self._raw.headers

    def read(self) -> bytes:
        try:
            return self._raw.read(decode_content=True)
        except _BROKEN as error:
            raise ApiUnavailableError(f"the answer broke off: {_words(error)}") from error

    def lines(self) -> Iterator[bytes]:
        pending = b""
        try:
            for chunk in self._raw.stream(CHUNK, decode_content=True):
                *whole, pending = (pending + chunk).split(b"\n")
                yield from (line for line in whole if line)
        except _BROKEN as error:
            if self._interrupted:
                return
            raise ApiUnavailableError(f"the stream broke off: {_words(error)}") from error
        if pending and not self._interrupted:
            yield pending

    def interrupt(self) -> None:
        self._interrupted = True
        # Closing would wait for the reader; shutting the socket down wakes it.
        with suppress(*_BROKEN, RuntimeError):
            self._raw.shutdown()

    def close(self) -> None:
        # A response that was not read to its end cannot give its connection back: drop that.
        drained = getattr(self._raw, "_fp", None) is None or self._raw.closed
        if drained:
            self._raw.release_conn()
        else:
            with suppress(*_BROKEN):
                self._raw.close()
        if self._release is not None:
            self._release.release()
            self._release = None


class HttpTransport:
    """The real transport. `connections` bounds ordinary calls in flight; watches come on top."""

    def __init__(
        self, configuration: Configuration, *, user_agent: str, connections: int = 10
    ) -> None:
        # Retries would multiply every timeout, and repeat writes.
        configuration.retries = False
        configuration.connection_pool_maxsize = connections
        self._api = ApiClient(configuration)
        self._api.user_agent = user_agent
        self._slots = threading.BoundedSemaphore(connections)
        self._auth = threading.Lock()

    @property
    def server(self) -> str:
        return str(self._api.configuration.host)

    def send(self, call: Call) -> Response:
        slot = None
        if not call.stream:
            slot = self._slots
            if not slot.acquire(timeout=call.timeout.connect + call.timeout.read):
                raise ApiUnavailableError("all connections to the API server are busy")
        try:
            raw = self._exchange(call)
        except BaseException:
            if slot is not None:
                slot.release()
            raise
        return _HttpResponse(raw, slot)

    def _exchange(self, call: Call) -> urllib3.HTTPResponse:
        try:
            return self._once(call)
        except urllib3.exceptions.ProtocolError as error:
            # A kept connection that the server closed just now. Reading again is harmless;
            # whether a write arrived is for the caller to find out.
            if call.method != "GET":
                raise ApiUnavailableError(_words(error)) from error
        except (urllib3.exceptions.HTTPError, ApiException, OSError) as error:
            raise ApiUnavailableError(_words(error)) from error
        try:
            return self._once(call)
        except (urllib3.exceptions.HTTPError, ApiException, OSError) as error:
            raise ApiUnavailableError(_words(error)) from error

    def _once(self, call: Call) -> urllib3.HTTPResponse:
        headers = {"Accept": "application/json", "User-Agent": self._api.user_agent}
        if call.body is not None:
            headers["Content-Type"] = call.content_type
        self._authenticate(call, headers)
        url = self.server + call.path
        if call.query:
            url += f"?{urlencode(call.query)}"
        answer = self._api.call_api(
            call.method,
            url,
            header_params=headers,
            body=call.body,
            _request_timeout=tuple(call.timeout),
        )
        raw: urllib3.HTTPResponse = answer.response
        return raw

    def _authenticate(self, call: Call, headers: dict[str, str]) -> None:
        # One at a time: a token that has run out is fetched once, not by every thread.
        with self._auth:
            try:
                self._api.update_params_for_auth(
                    headers, [], ["BearerToken"], call.path, call.method, None
                )
            except (ConfigException, OSError) as error:
                raise ApiUnavailableError(f"no credentials: {error}") from error

    def close(self) -> None:
        self._api.close()  # type: ignore[no-untyped-call]


def _words(error: BaseException) -> str:
    """The innermost cause: urllib3 wraps it in object addresses nobody wants to read."""
    refused = isinstance(error, urllib3.exceptions.NewConnectionError)
    if isinstance(error, urllib3.exceptions.ConnectTimeoutError) and not refused:
        return "connecting timed out"
    if isinstance(error, urllib3.exceptions.TimeoutError) and not refused:
        return "the answer timed out"
    cause: BaseException = error
    while inner := (cause.__cause__ or cause.__context__):
        cause = inner
    text = getattr(cause, "reason", None) or getattr(cause, "strerror", None) or str(cause)
    return f"{type(cause).__name__}: {text}"
