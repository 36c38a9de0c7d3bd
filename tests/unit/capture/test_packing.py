"""The same requests are the same bytes, as many as fit, and a preflight reads them."""

from __future__ import annotations

import gzip
import random

from sluice.capture.packing import packed
from sluice.compare.lines import requests_in

BODIES = [b'{"data":{"ndarray":[[%d]]}}' % n for n in range(500)]
NOISE = [random.Random(n).randbytes(300).hex().encode() for n in range(200)]


def test_the_same_requests_are_the_same_bytes() -> None:
    one = packed(BODIES, zipped=True, most=None)
    assert one == packed(list(BODIES), zipped=True, most=None)
    assert one.count == 500
    # Neither a time nor a name in the header of gzip.
    assert one.content[3:8] == bytes(5)
    assert [request.body.encode() for request in requests_in(one.content)] == BODIES


def test_plain_is_a_line_each() -> None:
    assert packed(BODIES[:2], zipped=False, most=None).content == b"\n".join(BODIES[:2]) + b"\n"


def test_only_the_first_are_taken_where_there_is_no_room_for_all() -> None:
    found = packed(NOISE, zipped=True, most=20_000)
    assert 40 < found.count < 200
    assert len(found.content) <= 20_000
    assert gzip.decompress(found.content).split() == NOISE[: found.count]
    assert len(found.content) > 15_000, "most of the room is used"


def test_no_room_and_no_requests_are_nothing() -> None:
    assert packed(NOISE, zipped=True, most=10).count == 0
    assert packed([], zipped=True, most=None) == packed(NOISE, zipped=True, most=0)
