"""One POST to a host that a rollout's author chose: which hosts, how long, how much.

Whoever may write a ModelRollout may make the controller send a request, from the controller's
place in the network. So hosts are restricted, addresses are looked at after the connection is made
(a name may point anywhere, and at something else a moment later), and nothing is followed.
"""

from __future__ import annotations

import fnmatch
import http.client
import socket
import ssl
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from sluice.addresses import address_of, inside
from sluice.errors import WebhookDeniedError, WebhookError

LONGEST_ANSWER = 64 * 1024  # bytes
_INTERNAL = (".svc", ".svc.cluster.local")


@dataclass(frozen=True)
class Reply:
    """What came back. `truncated`: there was more than LONGEST_ANSWER."""

    status: int
    body: bytes
    truncated: bool = False


class HostRules:
    """Which hosts may be asked.

    Without patterns: cluster-internal names (`*.svc`, `*.svc.cluster.local`) by http and https, and
    any other name by https. With patterns (as the shell's, such as `*.example.com`): these alone,
    by both. An address instead of a name must be listed as it is. Loopback, link-local (where cloud
    metadata is), multicast and unspecified addresses are refused unless listed as an address.
    """

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        self._patterns = [pattern.lower() for pattern in patterns]

    def check(self, scheme: str, host: str) -> None:
        """Raises WebhookDeniedError with what to do."""
        if scheme not in ("http", "https"):
            raise WebhookDeniedError(f"only http and https are allowed, not {scheme!r}")
        if address_of(host) is not None:
            if host not in self._patterns:
                raise WebhookDeniedError(
                    f"the address {host} is not allowed: see --webhook-allow-host"
                )
        elif self._patterns:
            if not any(fnmatch.fnmatchcase(host, pattern) for pattern in self._patterns):
                raise WebhookDeniedError(
                    f"the host {host} is not allowed: see --webhook-allow-host"
                )
        elif not host.endswith(_INTERNAL) and (scheme != "https" or "." not in host):
            raise WebhookDeniedError(
                f"{host} is outside the cluster's services: use https with a full name, or see "
                "--webhook-allow-host"
            )

    def check_address(self, host: str, found: str) -> None:
        """Look at the address a connection to `host` has ended at. Raises WebhookDeniedError."""
        if address_of(host) is not None:
            return  # listed as it is
        if inside(found):
            raise WebhookDeniedError(f"{host} points at {found}, which is not allowed")


class HttpPost:
    """`sluice.loops.webhooks.Post` over the standard library's client."""

    def __init__(self, rules: HostRules, *, ca_file: str | None = None) -> None:
        self._rules = rules
        self._tls = ssl.create_default_context(cafile=ca_file)

    def __call__(
        self, url: str, body: bytes, headers: Mapping[str, str], timeout: float, /
    ) -> Reply:
        """Send it; `timeout` (seconds) is for the connection, and again for all that follows."""
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
        try:
            port = parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError as error:
            raise WebhookDeniedError("the port is not a number below 65536") from error
        self._rules.check(parts.scheme, host)
        target = parts.path or "/"
        if parts.query:
            target += f"?{parts.query}"
        overdue = threading.Event()
        try:
            return self._send(parts.scheme, host, port, target, body, headers, timeout, overdue)
        except (OSError, http.client.HTTPException, ValueError) as error:
            if overdue.is_set() or isinstance(error, TimeoutError):
                raise WebhookError(f"no answer from {host} within {timeout:g}s") from error
            raise WebhookError(f"no answer from {host}: {_reason(error)}") from error

    def _send(
        self,
        scheme: str,
        host: str,
        port: int,
        target: str,
        body: bytes,
        headers: Mapping[str, str],
        timeout: float,
        overdue: threading.Event,
    ) -> Reply:
        live = socket.create_connection((host, port), timeout=timeout)

        # The socket's own timeout is for one piece: a peer that drips could go on for ever.
        def cut() -> None:
            overdue.set()
            with suppress(OSError):
                socket.socket.shutdown(live, socket.SHUT_RDWR)

        watchdog = threading.Timer(timeout, cut)
        watchdog.daemon = True
        watchdog.start()
        try:
            self._rules.check_address(host, live.getpeername()[0])
            connection = http.client.HTTPConnection(host, port, timeout=timeout)
            if scheme == "https":
                live = tls = self._tls.wrap_socket(
                    live, server_hostname=host, do_handshake_on_connect=False
                )
                tls.do_handshake()
                connection.default_port = http.client.HTTPS_PORT
            connection.sock = live
            connection.request("POST", target, body, {**headers, "Connection": "close"})
            answer = connection.getresponse()
            content = answer.read(LONGEST_ANSWER + 1)
            if overdue.is_set():
                raise TimeoutError
            return Reply(answer.status, content[:LONGEST_ANSWER], len(content) > LONGEST_ANSWER)
        finally:
            watchdog.cancel()
            live.close()


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not valid: {error.verify_message}"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return type(error).__name__
