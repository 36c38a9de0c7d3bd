"""`sluice compare` by class, as it is called: its options and its exit codes."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from sluice.cli.main import app
from sluice.errors import UsageError

_RARE = 20


@contextmanager
def model(rare: str) -> Iterator[str]:
    """Says "common", and of each twentieth request `rare`."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            found = "common" if body["number"] % _RARE else rare
            content = json.dumps({"strData": found}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    # Every connection has its own; that of a kept-alive one ends with the client.
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def requests(tmp_path: Path) -> Path:
    file = tmp_path / "requests.jsonl"
    file.write_text("".join(json.dumps({"number": n}) + "\n" for n in range(400)))
    return file


def compared(file: Path, candidate_says: str, *words: str) -> tuple[int, str]:
    with model("rare") as stable, model(candidate_says) as candidate:
        given = ["--stable", stable, "--candidate", candidate, "--requests", str(file)]
        done = CliRunner().invoke(app, ["compare", *given, "--agreement", "0.9", *words])
    return done.exit_code, done.output


def test_a_class_decides_only_where_that_is_asked_for(requests: Path) -> None:
    assert compared(requests, "common")[0] == 0, "95% agree, and 90% is wanted"
    code, text = compared(requests, "common", "--class-agreement", "0.9")
    assert code == 3
    assert "class rare    Harm       0 of 20 rows agree (0% to " in text


def test_a_class_with_too_few_rows_is_waited_for_where_that_is_asked_for(requests: Path) -> None:
    code, text = compared(requests, "rare", "--class-agreement", "0.9", "-o", "json")
    assert code == 0
    found = {one["name"]: one["harmOnly"] for one in json.loads(text)["checks"]}
    assert found == {
        "schema": False, "agreement": False, "class common": False, "class rare": True,
    }  # fmt: skip
    words = ("--class-agreement", "0.9", "--class-rows", "20")
    assert compared(requests, "rare", *words)[0] == 5


def test_rows_of_a_class_need_an_agreement_of_classes(requests: Path) -> None:
    words = ["compare", "--stable", "http://a", "--candidate", "http://b", "--class-rows", "20"]
    done = CliRunner().invoke(app, [*words, "--requests", str(requests)])
    assert isinstance(done.exception, UsageError)
    assert str(done.exception) == "--class-rows goes with --class-agreement"
