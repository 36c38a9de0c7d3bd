"""One attempt of a preflight: what is a verdict, and what says nothing of either side."""

from __future__ import annotations

import hashlib
import json
import threading

import pytest

from sluice.api.preflight import PreflightState, PreflightStatus
from sluice.api.status import Verdict
from sluice.clock import SystemClock
from sluice.compare.answers import Answer
from sluice.errors import ApiUnavailableError, ForbiddenError
from sluice.loops.preflight_run import Attempt, Fields
from sluice.testing.clock import ManualClock

from .pretend_models import NOBODY, PretendWays, Said, answer, by_number, lines, packed, wish


class Quick(ManualClock):
    """Waits for what a test does not wait for."""

    def wait(self, event: threading.Event, seconds: float) -> bool:
        if threading.current_thread().name == "preflight-time":
            return super().wait(event, seconds)
        return event.is_set()


def until_waited_for(clock: ManualClock) -> None:
    while not clock.waiting:
        SystemClock().wait(threading.Event(), 0.002)


def run(ways: PretendWays, **spec: object) -> Fields:
    return Attempt(wish(**spec), ways, Quick(), 3).run()  # type: ignore[arg-type]


def status(found: Fields) -> PreflightStatus:
    """As it ends in a status, and is read back from there."""
    base = PreflightStatus(
        state=PreflightState.RUNNING, question="q", revision="b", stable="a", started_at="t"
    )
    return PreflightStatus.model_validate(base.model_copy(update=found).to_dict())


def test_answers_that_agree_pass_with_the_numbers() -> None:
    ways = PretendWays(lines(400))
    found = status(run(ways))
    assert (found.state, found.verdict) == (PreflightState.PASSED, Verdict.PASS)
    assert (found.requests, found.rows, found.agreeing) == (400, 400, 400)
    assert [check.name for check in found.checks] == ["schema", "agreement"]
    assert "100% of 400 rows agree" in found.message
    assert found.requests_hash == hashlib.sha256(lines(400).encode()).hexdigest()
    assert all(side.closed.is_set() for side in ways.sides)


def test_answers_that_differ_fail_with_what_became_of_labels_and_the_worst_pairs() -> None:
    found = status(run(PretendWays(lines(500), candidate=by_number(every=10)), examples=2))
    assert (found.state, found.verdict) == (PreflightState.FAILED, Verdict.HARM)
    assert "90% of 500 rows agree" in found.message
    assert found.message.startswith("agreement: "), "what is harm, and not what passes"
    [moved] = found.moved
    assert (moved.stable, moved.candidate, moved.rows) == ("a", "c", 50)
    assert [(one.line, one.why) for one in found.examples] == [
        (1, "a became c"),
        (11, "a became c"),
    ]
    assert "ndarray" in found.examples[0].request


def test_without_examples_nothing_of_requests_or_answers_is_kept() -> None:
    def secret(body: dict[str, object]) -> Answer:
        return Answer(200, 0.0, json.dumps({"strData": f"secret {body}"}).encode())

    def secret_keys(body: dict[str, object]) -> Answer:
        return Answer(200, 0.0, json.dumps({"jsonData": {f"secret {body}": 1}}).encode())

    for stable, candidate in (
        (by_number(), by_number(every=2)),
        (by_number(), secret),
        (by_number(), secret_keys),
        (secret_keys, by_number()),
    ):
        found = run(PretendWays(lines(400), stable, candidate), examples=0)
        text = json.dumps(status(found).to_dict())
        assert found["state"] is PreflightState.FAILED
        assert "secret" not in text
        assert '"moved": []' in text
        assert '"examples": []' in text


def test_a_schema_of_thousands_of_names_does_not_fill_the_status() -> None:
    def wide(name: str) -> Said:
        content = {f"{name}{n}": n for n in range(5000)}
        return lambda _: Answer(200, 0.0, json.dumps({"jsonData": content}).encode())

    found = status(run(PretendWays(lines(20), wide("a"), wide("b"))))
    assert found.state is PreflightState.FAILED
    assert found.message.startswith("schema: 20 of 20 answers differ in names (20): jsonData")
    assert len(json.dumps(found.to_dict())) < 8_000


def test_free_text_is_no_label() -> None:
    def said(text: str) -> Said:
        return lambda body: Answer(200, 0.0, json.dumps({"strData": f"{text} {body}"}).encode())

    found = run(PretendWays(lines(100), said("one"), said("other")), examples=3)
    assert (found["state"], found["moved"]) == (PreflightState.FAILED, [])


def test_a_candidate_that_fails_where_the_stable_does_not_is_harm() -> None:
    found = status(run(PretendWays(lines(400), candidate=lambda _: Answer(500, 0.0, b"{}"))))
    assert found.state is PreflightState.FAILED
    assert found.answers["candidate"].failed == 400
    slow = status(run(PretendWays(lines(400), candidate=lambda _: Answer(0, 9, trouble="timeout"))))
    assert slow.state is PreflightState.FAILED, "the same requests, and no answer in time"


def test_what_the_stable_fails_is_not_counted_and_all_of_it_is_no_verdict() -> None:
    half: Said = lambda body: (  # noqa: E731
        answer("a") if body["data"]["ndarray"][0][0] % 2 else Answer(400, 0.0, b"{}")
    )
    found = status(run(PretendWays(lines(1000), half)))
    assert (found.state, found.rows) == (PreflightState.PASSED, 500)
    assert found.answers["stable"].failed == 500
    none = status(run(PretendWays(lines(10), lambda _: Answer(400, 0.0, b"{}"))))
    assert (none.state, none.reason, none.verdict) == (
        PreflightState.BLOCKED, "NoAnswers", Verdict.NO_DATA,
    )  # fmt: skip
    assert "10 x 400" in none.message


def test_latency_is_judged_where_that_is_asked_for() -> None:
    slow: Said = lambda _: answer("a", 0.01)  # noqa: E731
    assert status(run(PretendWays(lines(400), candidate=slow))).state is PreflightState.PASSED
    found = status(run(PretendWays(lines(400), candidate=slow), slower=2.0))
    assert found.state is PreflightState.FAILED
    assert "latency" in found.message
    assert found.answers["candidate"].p50 == 10.0


def test_too_few_to_tell_is_undecided_and_says_how_many_it_takes() -> None:
    found = status(run(PretendWays(lines(100))))
    assert (found.state, found.reason) == (PreflightState.UNDECIDED, "NotShown")
    assert "it takes at least 368 rows" in found.message


def rare(of: int, wrong: int = 0) -> tuple[Said, Said]:
    """A stable that says b in every `of`-th request, and a candidate wrong in `wrong` of those."""

    def number(body: dict[str, object]) -> int:
        return int(body["data"]["ndarray"][0][0])  # type: ignore[index]

    def stable(body: dict[str, object]) -> Answer:
        return answer("a" if number(body) % of else "b")

    def candidate(body: dict[str, object]) -> Answer:
        spoilt = number(body) % of == 0 and number(body) < wrong * of
        return answer("c") if spoilt else stable(body)

    return stable, candidate


def test_a_rare_class_that_is_ruined_fails_with_its_name_though_the_whole_agrees() -> None:
    asked = {"agreement": 0.95, "perClass": {"agreement": 0.9}}
    ways = PretendWays(lines(1000), *rare(50, wrong=12))
    assert status(run(ways, agreement=0.95)).state is PreflightState.PASSED
    found = status(run(PretendWays(lines(1000), *rare(50, wrong=12)), **asked))
    assert (found.state, found.verdict) == (PreflightState.FAILED, Verdict.HARM)
    assert found.message.startswith("class b: 8 of 20 rows agree (")
    assert [(one.name, one.verdict.value) for one in found.checks] == [
        ("schema", "Pass"),
        ("agreement", "Pass"),
        ("class a", "Pass"),
        ("class b", "Harm"),
    ]


def test_a_class_with_too_few_rows_holds_nobody_up_unless_that_is_asked_for() -> None:
    ways = PretendWays(lines(400), *rare(40))
    found = status(run(ways, perClass={}))
    assert found.state is PreflightState.PASSED
    assert "classes: at least 90% is shown in 1 of 2, too few rows to show it of b" in found.message
    assert [one.harm_only for one in found.checks] == [False, False, False, True]

    found = status(run(PretendWays(lines(400), *rare(40)), perClass={"leastRows": 1}))
    assert (found.state, found.reason) == (PreflightState.UNDECIDED, "NotShown")
    assert found.message.startswith("class b: 10 of 10 rows agree (")
    assert "it takes at least 36 rows" in found.message


def test_a_stable_without_classes_is_told_from_one_that_shows_too_little() -> None:
    def number(_: dict[str, object]) -> Answer:
        return Answer(200, 0.0, b'{"data": {"ndarray": [0.5]}}')

    found = status(run(PretendWays(lines(400), number, number), perClass={}))
    assert (found.state, found.reason) == (PreflightState.UNDECIDED, "NoClasses")
    assert "classes: there are no classes to judge, the stable predicts numbers" in found.message


def test_without_examples_classes_are_numbered() -> None:
    found = status(run(PretendWays(lines(1000), *rare(50, wrong=20)), perClass={}, examples=0))
    assert found.state is PreflightState.FAILED
    assert [one.name for one in found.checks][2:] == ["class #1", "class #2"]
    assert "class #2: 0 of 20 rows agree" in found.message
    assert "class b" not in json.dumps(found.to_dict())


def test_of_many_classes_the_gravest_are_kept_and_the_status_stays_small() -> None:
    def said(wrong: str) -> Said:
        def say(body: dict[str, object]) -> Answer:
            number = body["data"]["ndarray"][0][0] % 150  # type: ignore[index]
            label = wrong if number in (3, 71, 90, 120) and wrong else f"{number} {'x' * 90}"
            return Answer(200, 0.0, json.dumps({"strData": label}).encode())

        return say

    found = status(run(PretendWays(lines(1500), said(""), said("?")), perClass={}, agreement=0.9))
    assert found.state is PreflightState.FAILED
    classes = [one for one in found.checks if one.name.startswith("class ")]
    assert len(classes) == 20
    assert sum(one.verdict is Verdict.HARM for one in classes) == 4
    assert found.message.count("class ") == 3
    assert "; and 1 more classes" in found.message
    assert len(json.dumps(found.to_dict())) < 12_000


@pytest.mark.parametrize("side", ["stable", "candidate"])
def test_nobody_there_blames_nobody(side: str) -> None:
    ways = PretendWays(lines(400))
    ways.say["v1" if side == "stable" else "v2"] = lambda _: NOBODY
    found = status(run(ways))
    assert (found.state, found.verdict) == (PreflightState.BLOCKED, None)
    assert found.reason == f"{side.capitalize()}Unreachable"
    assert f"the {side} is not reached at http://iris-v1.prod:8000: no connection" in found.message
    assert ways.sent < 60, "given up soon"


def test_a_pod_that_is_away_for_a_moment_is_waited_for() -> None:
    tries = iter(range(10_000))
    flaky: Said = lambda _: NOBODY if next(tries) % 5 else answer("a")  # noqa: E731
    assert run(PretendWays(lines(400), flaky))["state"] is PreflightState.PASSED


def test_gzip_is_unpacked_and_what_is_no_request_is_named_by_its_line() -> None:
    assert run(PretendWays(packed(lines(400))))["state"] is PreflightState.PASSED
    ways = PretendWays(lines(399) + "\n{secret}\n")
    found = status(run(ways))
    assert (found.state, found.reason) == (PreflightState.BLOCKED, "RequestsInvalid")
    assert found.message == (
        "ConfigMap r/requests.jsonl: line 401: expected JSON, found something else at character 2"
    )
    assert ways.sent == 0, "known before anybody is asked"
    assert status(run(PretendWays("\n\n"))).reason == "RequestsInvalid"


def test_a_configmap_that_is_missing_or_may_not_be_read_is_said() -> None:
    ways = PretendWays(None)
    found = status(run(ways))
    assert (found.reason, found.message) == (
        "RequestsNotFound", "there is no ConfigMap prod/r: make it",
    )  # fmt: skip
    ways.trouble = ForbiddenError("may not get configmaps")
    assert status(run(ways)).reason == "RightMissing"
    ways.trouble = ApiUnavailableError("down")
    assert status(run(ways)).reason == "ApiUnavailable"
    other = PretendWays(lines(3))
    spec = {"requests": {"configMap": {"name": "r", "key": "other"}}}
    missing = status(run(other, **spec))
    assert missing.reason == "RequestsNotFound"
    assert "expected other in the ConfigMap r, found requests.jsonl" in missing.message


def test_requests_that_this_pair_has_passed_are_not_sent_again_and_others_are() -> None:
    ways = PretendWays(lines(400))
    digest = hashlib.sha256(lines(400).encode()).hexdigest()
    found = run(ways, passed=digest)
    assert (found["state"], found["requests_hash"]) == (PreflightState.PASSED, digest)
    assert ways.sent == 0
    assert run(ways, passed="ff")["state"] is PreflightState.PASSED
    assert ways.sent == 800


def test_the_time_for_all_is_bounded_even_where_an_answer_never_ends() -> None:
    clock, hanging = ManualClock(), threading.Event()
    ways = PretendWays(lines(400))

    def never(_: object) -> Answer:
        hanging.set()
        for side in ways.sides:
            if side.closed.wait(20):
                return NOBODY
        raise AssertionError("nobody cut it")

    ways.say["v2"] = never
    attempt = Attempt(wish(timeout="30s"), ways, clock, 2)
    done: list[Fields] = []
    thread = threading.Thread(target=lambda: done.append(attempt.run()))
    thread.start()
    assert hanging.wait(20)
    for seconds in (30, 1):
        until_waited_for(clock)
        clock.advance(seconds)
    for _ in range(2000):  # pauses between tries
        if not thread.is_alive():
            break
        clock.advance(5)
        thread.join(0.01)
    assert not thread.is_alive()
    found = status(done[0])
    assert (found.state, found.reason) == (PreflightState.UNDECIDED, "TimedOut")
    assert "of 400 requests were answered within 30s" in found.message


def test_harm_that_is_shown_when_the_time_is_up_is_harm() -> None:
    clock = ManualClock()
    count = iter(range(10_000))

    def late(body: dict[str, object]) -> Answer:
        if next(count) == 200:
            until_waited_for(clock)
            clock.advance(31)
            until_waited_for(clock)  # for those under way, now
        return answer("c")

    ways = PretendWays(lines(4000), candidate=late)
    found = status(Attempt(wish(timeout="30s"), ways, clock, 1).run())
    assert found.state is PreflightState.FAILED
    assert (found.requests or 0) < 4000


def test_cancelled_it_sends_no_more() -> None:
    ways = PretendWays(lines(4000))
    attempt = Attempt(wish(), ways, Quick(), 2)
    seen = iter(range(10_000))

    def cancelling(body: dict[str, object]) -> Answer:
        if next(seen) == 50:
            attempt.cancel()
        return answer("a")

    ways.say["v1"] = cancelling
    attempt.run()
    assert ways.sent < 120
    assert all(side.closed.is_set() for side in ways.sides)
