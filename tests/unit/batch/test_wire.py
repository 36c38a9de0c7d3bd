"""One exchange: kept connections, bounded times, certificates that are looked at."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sluice.batch import wire
from sluice.batch.wire import Access, NoAnswerError, UntrustedError, Wire
from sluice.sandbox.certificates import Authority

from .small_server import Model, said, serving

BODY = json.dumps({"data": {"ndarray": [[1]]}}).encode()


def to(url: str, *, seconds: float = 20.0, **access: object) -> Wire:
    return Wire(url, access=Access(**access), connections=2, seconds=seconds)  # type: ignore[arg-type]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca", "tests")


@pytest.fixture
def secure(authority: Authority) -> Iterator[str]:
    """The URL of a server whose certificate is for models.example alone."""
    leaf = authority.issue("leaf", "models.example", hosts=["models.example"], server=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(leaf.certificate_file, leaf.key_file)
    with serving(Model(), context) as url:
        yield url


def test_a_certificate_of_an_unknown_authority_ends_the_run(secure: str) -> None:
    with pytest.raises(UntrustedError, match="--ca-file"):
        to(secure)(BODY, "1")


def test_a_certificate_of_another_host_ends_the_run(secure: str, authority: Authority) -> None:
    with pytest.raises(UntrustedError, match="cannot be verified"):
        to(secure, ca_file=authority.own.certificate_file)(BODY, "1")


def test_the_host_that_was_named_is_the_one_that_is_verified(
    secure: str, authority: Authority
) -> None:
    named = {"Host": "models.example"}
    known = to(secure, ca_file=authority.own.certificate_file, headers=named)
    assert known(BODY, "1").status == 200


def test_verification_can_be_left_out_when_asked_for(secure: str) -> None:
    assert to(secure, verify=False)(BODY, "1").status == 200


def test_connections_are_kept(model: Model) -> None:
    ports: set[str] = set()
    target = to(model.url)
    for _ in range(5):
        assert target(BODY, "1").status == 200
    ports = {header["x-port"] for header in model.headers}
    assert len(ports) == 1


def test_an_answer_that_does_not_come_is_not_waited_for(model: Model) -> None:
    go = threading.Event()

    def late(body: object) -> object:
        go.wait(20)
        return said({})

    model.answer = late  # type: ignore[assignment]
    try:
        with pytest.raises(NoAnswerError, match=r"no answer within 0\.1s") as caught:
            to(model.url, seconds=0.1)(BODY, "1")
        assert caught.value.slow
    finally:
        go.set()


def test_an_answer_that_breaks_off_is_none(model: Model) -> None:
    model.answer = lambda body: (200, b"{}", {"Content_Length": "100"})
    with pytest.raises(NoAnswerError, match="IncompleteRead") as caught:
        to(model.url, seconds=5)(BODY, "1")
    assert not caught.value.slow


def test_an_answer_without_end_is_not_taken_into_memory(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "LARGEST_ANSWER", 1000)
    model.answer = lambda body: (200, b"x" * 5000, {})
    with pytest.raises(NoAnswerError, match="more than 1,000 bytes"):
        to(model.url)(BODY, "1")


def test_a_redirect_is_not_followed_with_the_token(model: Model) -> None:
    model.answer = lambda body: (302, b"", {"Location": "http://127.0.0.1:9/"})
    assert to(model.url, token="t")(BODY, "1").status == 302


def test_a_token_file_that_is_renewed_is_read_again(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "_TOKEN_SECONDS", 0.0)
    file = tmp_path / "token"
    file.write_text("old\n")
    target = to(model.url, token_file=file)
    target(BODY, "1")
    file.write_text("new\n")
    target(BODY, "2")
    assert [header["Authorization"] for header in model.headers] == ["Bearer old", "Bearer new"]


def test_a_token_is_not_in_any_representation() -> None:
    assert "s3cret" not in repr(Access(token="s3cret"))
