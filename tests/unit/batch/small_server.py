"""A model server of the tests' own, and what it was asked."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, bytes, dict[str, str]]


@dataclass
class Model:
    """`answer` gets a request's body; by default each row's sum comes back."""

    answer: Callable[[Any], Answer | None] = field(default=lambda body: sums(body))
    asked: list[Any] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    url: str = ""


def said(value: Any, status: int = 200, **headers: str) -> Answer:
    return status, json.dumps(value).encode(), headers


def sums(body: Any) -> Answer:
    rows = body["data"]["ndarray"]
    return said({"data": {"names": ["sum"], "ndarray": [[sum(row)] for row in rows]}, "meta": {}})


def broken(status: int, info: str) -> Answer:
    return said({"status": {"info": info, "status": "FAILURE", "reason": "MODEL"}}, status)


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: Any) -> None:
        """A client that goes is what some tests are about."""

    daemon_threads = True
    request_queue_size = 128


@contextmanager
def serving(model: Model, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """The model's URL, for as long as the block lasts."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1
        disable_nagle_algorithm = True

        def log_message(self, *_: Any) -> None:
            pass

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            model.asked.append(body)
            model.headers.append({**self.headers, "x-port": str(self.client_address[1])})
            model.paths.append(self.path)
            found = model.answer(body)
            if found is None:  # the connection breaks
                self.close_connection = True
                return
            status, content, headers = found
            self.send_response(status)
            whole = {"Content-Length": str(len(content))}
            whole |= {name.replace("_", "-"): value for name, value in headers.items()}
            for name, value in whole.items():
                self.send_header(name, value)
            self.close_connection = whole["Content-Length"] != str(len(content))
            self.end_headers()
            self.wfile.write(content)

    server = _Server(("127.0.0.1", 0), Handler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    model.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
    try:
        yield model.url
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
