"""`sluice replay` as it is typed, and as docs/replay.md shows it."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml
from click.testing import Result
from typer.testing import CliRunner

from sluice.cli import replay as command
from sluice.cli.main import app
from sluice.errors import MetricsUnavailableError, UsageError
from sluice.metrics.client import PrometheusClient

from .canary import Past, canary

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = "docs/examples/iris-canaries.jsonl.gz"
ANSWERING = "docs/examples/iris-answers.jsonl.gz"


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("SLUICE_DIALECT", raising=False)


def run(*args: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["replay", *args])
    assert result.exit_code == code, result.output
    return result


def refused(*args: str) -> str:
    result = CliRunner().invoke(app, ["replay", *args])
    assert isinstance(result.exception, UsageError), result.output
    return str(result.exception)


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch) -> Past:
    """A Prometheus behind --prometheus, with a harmful canary."""
    past = canary(seconds=600, errors=0.1)
    past_transport = past.prometheus

    def client(url: str, **how: object) -> PrometheusClient:
        assert url == past_transport.url
        return PrometheusClient(url, **how, adapter=past_transport.adapter())  # type: ignore[arg-type]

    monkeypatch.setattr(command, "PrometheusClient", client)
    return past


WHEN = ("--start", "2026-03-01T10:00:00Z", "--end", "2026-03-01T10:10:00Z")
PAIR = ("--stable", "main", "--candidate", "next")


def test_the_documented_commands_give_the_documented_outcomes() -> None:
    text = (ROOT / "docs" / "replay.md").read_text()
    shown = re.findall(
        r"^    \$ sluice (replay (?:.*\\\n)*.*)\n((?:    .+\n)+)", text, re.MULTILINE
    )
    assert len(shown) == 4
    for typed, output in shown:
        words = shlex.split(typed.replace("\\\n", " "))
        result = CliRunner().invoke(app, words)
        expected = 3 if "--fail-on-rollback" in words else 0
        assert result.exit_code == expected, result.output
        said = [line.split() for line in result.stdout.splitlines()]
        for line in output.splitlines():
            if line.strip() and line.strip() != "...":
                assert line.split() in said, line


def test_the_documented_fields_are_those_that_come_out() -> None:
    text = (ROOT / "docs" / "replay.md").read_text()
    found = json.loads(
        run("--file", EXAMPLE, "--stable", "v1", "--candidate", "v3", "-o", "json").stdout
    )
    documented = set(re.findall(r"`(\w+)`", text))
    result = found["results"][0]
    for part in (found, found["recording"], result, result["timeline"][0], result["events"][0]):
        assert set(part) <= documented, set(part) - documented


def test_checks_of_answers_are_said_not_to_be_in_a_recording(tmp_path: Path) -> None:
    document = yaml.safe_load((ROOT / "canary_policies" / "balanced.yaml").read_text())
    answers = {"name": "answers", "metric": "predictions", "difference": {}}
    document["spec"]["checks"].append(answers)
    path = tmp_path / "answers.yaml"
    path.write_text(yaml.safe_dump(document))
    typed = ("--file", EXAMPLE, "--stable", "v1", "--candidate", "v3", "--policy", str(path))
    (found,) = json.loads(run(*typed, "-o", "json").stdout)["results"]
    assert found["notReplayed"] == ["answers"]
    assert [c["name"] for c in found["checks"]] == ["errors", "latency"]
    assert "answers: the recording has no counters of the model kit" in run(*typed).stdout


@pytest.mark.parametrize("example", [EXAMPLE, ANSWERING])
def test_the_example_is_small(example: str) -> None:
    assert (ROOT / example).stat().st_size < 60_000


def test_what_models_answered_is_drawn_where_a_policy_asks(tmp_path: Path) -> None:
    sides = ("--file", ANSWERING, "--stable", "v1", "--candidate", "v2")
    drawn = []
    for name in ("answers", "balanced"):
        path = tmp_path / f"{name}.svg"
        run(*sides, "--policy", f"canary_policies/{name}.yaml", "--plot", str(path))
        drawn.append(path.read_text())
    for said in ("Predicted virginica, %", "Wrong answers of those with a truth, %"):
        assert [said in text for text in drawn] == [True, False]


def test_prometheus_is_asked_and_the_dump_gives_the_same_answer(live: Past, tmp_path: Path) -> None:
    path = tmp_path / "canary.jsonl.gz"
    url = ("--prometheus", live.prometheus.url)
    asked = run(*url, *WHEN, *PAIR, "--dump", str(path), "-o", "json")
    assert "recording written to" in asked.stderr
    again = run("--file", str(path), *PAIR, "-o", "json")
    assert json.loads(again.stdout) == json.loads(asked.stdout)
    assert json.loads(again.stdout)["results"][0]["outcome"] == "rolledBack"
    assert yaml.safe_load(run("--file", str(path), *PAIR, "-o", "yaml").stdout) == json.loads(
        asked.stdout
    )


def test_a_dump_holds_no_address_and_no_credentials(live: Past, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("hush-hush")
    path = tmp_path / "canary.jsonl"
    run(
        "--prometheus", live.prometheus.url, *WHEN, "--dump", str(path),
        "--prometheus-token-file", str(token), "--prometheus-header", "X-Scope-OrgID=tenant-7",
    )  # fmt: skip
    assert live.prometheus.headers["Authorization"] == "Bearer hush-hush"
    assert live.prometheus.headers["X-Scope-OrgID"] == "tenant-7"
    for secret in ("hush-hush", "tenant-7", "prometheus.test", str(token)):
        assert secret not in path.read_text()


def test_what_prometheus_warns_of_is_told_once(live: Past) -> None:
    live.prometheus.warnings = ["store-7 did not answer"]
    result = run("--prometheus", live.prometheus.url, *WHEN, *PAIR)
    assert result.stderr.count("store-7 did not answer") == 1


def test_prometheus_that_does_not_answer_is_exit_code_1(live: Past) -> None:
    live.prometheus.down = True
    result = CliRunner().invoke(app, ["replay", "--prometheus", live.prometheus.url, *WHEN, *PAIR])
    assert isinstance(result.exception, MetricsUnavailableError)
    assert result.exception.exit_code == 1


def test_a_dump_without_a_pair_has_all_predictors(live: Past, tmp_path: Path) -> None:
    path = tmp_path / "all.jsonl"
    run("--prometheus", live.prometheus.url, *WHEN, "--dump", str(path))
    listed = json.loads(run("--file", str(path), "-o", "json").stdout)
    assert [p["predictor"] for p in listed["predictors"]] == ["main", "next"]


def test_without_a_pair_it_lists_what_there_is_and_says_what_to_type(live: Past) -> None:
    result = run("--prometheus", live.prometheus.url, *WHEN)
    assert [line.split()[2] for line in result.stdout.splitlines()] == ["PREDICTOR", "main", "next"]
    typed = re.search(r"add for example: (.+)", result.stderr)
    assert typed is not None
    assert shlex.split(typed[1]) == ["-n", "prod", "--deployment", "iris", *PAIR]
    run("--prometheus", live.prometheus.url, *WHEN, *shlex.split(typed[1]))
    listed = json.loads(run("--prometheus", live.prometheus.url, *WHEN, "-o", "json").stdout)
    assert [p["predictor"] for p in listed["predictors"]] == ["main", "next"]


def test_policies_are_compared_side_by_side() -> None:
    files = [f"canary_policies/{name}.yaml" for name in ("balanced", "fast", "cautious")]
    options = [word for path in files for word in ("--policy", path)]
    args = ("--file", EXAMPLE, "--stable", "v1", "--candidate", "v3", *options)
    found = json.loads(run(*args, "-o", "json").stdout)
    assert [(r["policy"], r["outcome"]) for r in found["results"]] == [
        ("balanced", "promoted"),
        ("fast", "promoted"),
        ("cautious", "undecided"),
    ]
    # Each as if it were alone.
    alone = run(*args[:6], "--policy", files[1], "-o", "json").stdout
    assert json.loads(alone)["results"][0] == found["results"][1]


def test_a_pipeline_can_fail_on_a_rollback() -> None:
    args = ("--file", EXAMPLE, "--stable", "v1", "--fail-on-rollback", "--candidate")
    run(*args, "v2", code=3)
    run(*args, "v3")


@pytest.mark.parametrize("name", ["a.png", "a.svg", "a.html"])
def test_it_draws(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    run("--file", EXAMPLE, "--stable", "v1", "--candidate", "v2", "--plot", str(path))
    content = path.read_bytes()
    if name == "a.png":
        assert content[:8] == b"\x89PNG\r\n\x1a\n"
        return
    text = content.decode()
    for said in ("rolled back", "balanced (built in): log10 evidence for harm", "candidate v2"):
        assert said in text
    assert not re.search(r'(src|href)="http', text)
    assert ("What is assumed" in text) == (name == "a.html")


def test_one_policy_file_twice_is_told_apart_by_its_path(tmp_path: Path) -> None:
    other = tmp_path / "mine.yaml"
    other.write_text((ROOT / "canary_policies" / "fast.yaml").read_text())
    files = ("--policy", "canary_policies/fast.yaml", "--policy", str(other))
    args = ("--file", EXAMPLE, "--stable", "v1", "--candidate", "v3", "-o", "json")
    names = [r["policy"] for r in json.loads(run(*args, *files).stdout)["results"]]
    assert names == ["fast (canary_policies/fast.yaml)", f"fast ({other})"]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((), "either --prometheus URL or --file DUMP"),
        (("--file", EXAMPLE, "--prometheus", "http://x"), "either --prometheus URL or --file"),
        (("--file", EXAMPLE, "--plot", "x.pdf"), "ends in .svg, .png or .html"),
        (("--file", EXAMPLE, "--policy", "README.md"), "README.md"),
        (("--file", "README.md"), "expected a recording"),
        (("--file", EXAMPLE, "--candidate", "v2"), "give both --stable and --candidate"),
        (("--file", EXAMPLE, "-n", "stage"), "no predictor in namespace stage"),
    ],
)
def test_what_cannot_be_is_refused(args: tuple[str, ...], said: str) -> None:
    assert said in refused(*args)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--dialect", "linkerd"), "expected a metrics dialect of seldon, istio, envoy"),
        (("--dialect", "istio"), "does not tell which predictors there are: name them"),
        (("--step", "1ms"), "expected at least 100ms"),
        (("-n", "stage"), "no request to any predictor in namespace stage"),
        (("--start", "2026-03-01T11:00:00Z"), "s apart"),
        (("--namespace-label", "kubernetes_namespace"), "--namespace-label"),
        (("--prometheus-header", "secret"), "expected NAME=VALUE"),
    ],
)
def test_what_prometheus_cannot_answer_is_refused(
    live: Past, args: tuple[str, ...], said: str
) -> None:
    assert said in refused("--prometheus", live.prometheus.url, *WHEN, *args)
