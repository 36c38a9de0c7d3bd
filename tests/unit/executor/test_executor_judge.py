"""The contract's judge of metrics and answers sees what differs, and only that."""

import pytest

from sluice.sandbox.contract import exposition, http_answers
from sluice.sandbox.contract.http_answers import HttpAnswer

NAME = "seldon_api_executor_server_requests_seconds"
TEXT = f"""# HELP {NAME} A histogram.
# TYPE {NAME} histogram
{NAME}_bucket{{code="200",le="0.005"}} 1
{NAME}_bucket{{code="200",le="+Inf"}} 2
{NAME}_sum{{code="200"}} 0.02
{NAME}_count{{code="200"}} 2
go_threads 9
"""


def judged(recorded, found):
    prefixes = ("seldon_",)
    return [
        each.what
        for each in exposition.differences(
            "r", exposition.parse(recorded, prefixes), exposition.parse(found, prefixes)
        )
    ]


def test_the_same_text_agrees():
    assert judged(TEXT, TEXT) == []


def test_durations_and_the_runtimes_figures_do_not_matter():
    assert judged(TEXT, TEXT.replace("} 0.02", "} 0.7").replace("go_threads 9", "")) == []


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ('_count{code="200"} 2', '_count{code="200"} 3', "_count"),
        ('_sum{code="200"} 0.02\n', "", "_sum"),
        ('{code="200",le="0.005"} 1', '{code="200",le="0.005"} 5', "requests_seconds{"),
        ("histogram\n", "summary\n", "TYPE"),
    ],
)
def test_what_differs_is_found(old, new, what):
    found = judged(TEXT, TEXT.replace(old, new))
    assert found
    assert any(what in each for each in found)


def test_a_recording_without_buckets_does_not_ask_for_them():
    reduced = "\n".join(line for line in TEXT.splitlines() if "_bucket" not in line)
    assert judged(reduced, TEXT) == []


RECORDED = {
    "label": "success",
    "status": 500,
    "response_headers": {"Seldon-Puid": "<id>", "Content-Length": "40"},
    "response_body": "dial tcp 127.0.0.1:56900: refused",
}


def test_addresses_and_made_up_ids_do_not_matter():
    found = HttpAnswer(
        500,
        {"seldon-puid": "abc", "content-length": "41", "date": "today"},
        "dial tcp 127.70.0.3:9000: refused",
    )
    assert list(http_answers.differences("r", 0, RECORDED, found)) == []


def test_status_headers_and_body_do():
    found = HttpAnswer(200, {"server": "x"}, "other")
    whats = [each.what for each in http_answers.differences("r", 0, RECORDED, found)]
    assert whats == [
        "success: status",
        "success: header seldon-puid",
        "success: header server",
        "success: body",
    ]
