"""Every command, every way it can go wrong: one clear line and the right exit code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from sluice.cli.main import program_name
from sluice.cli.options import complete_names, duration
from sluice.resources import MODEL_ROLLOUTS

from .stage import Play, ScriptedKube, rollout

Sluice = Callable[..., int]
Capture = pytest.CaptureFixture[str]

# Every command that talks to an API server, as briefly as it can be called.
REMOTE = [
    ["list"],
    ["status", "iris"],
    ["status", "iris", "-w"],
    ["wait", "iris"],
    ["history", "iris"],
    ["set-image", "iris", "repo/iris:2"],
    ["render", "iris"],
    ["diff", "iris"],
    ["promote", "iris"],
    ["pause", "iris"],
    ["resume", "iris"],
    ["abort", "iris"],
    ["retry", "iris"],
]
NAMED = [words for words in REMOTE if len(words) > 1]
WRONG_VALUES = [
    ["list", "-o", "poem"],
    ["list", "--nope"],
    ["lst"],
    ["status"],
    ["status", "iris", "--timeout", "soon"],
    ["wait", "iris", "--for", "gone"],
    ["wait", "iris", "--timeout", "-3s"],
    ["wait", "iris", "--timeout", "5 parsecs"],
    ["history", "iris", "--at", "yesterday"],
    ["set-image", "iris"],
    ["set-image", "iris", "x", "--source", "y"],
    ["render"],
    ["diff"],
    ["render", "-f", "not-there.yaml"],
    ["promote"],
    ["promote", "iris", "--timeout", "a while"],
    ["completion", "tcsh"],
    ["lint", "not-there.yaml"],
    ["simulate", "--policy", "not-there.yaml", "--scenario", "not-there.yaml"],
    ["controller", "--workers", "0"],
    ["controller", "--pulse", "0"],
    ["controller", "--prometheus-header", "nonsense"],
    ["sandbox", "up", "--scrape-interval", "often"],
]


def one_line(capsys: Capture) -> str:
    said = capsys.readouterr()
    assert said.err.startswith("error: "), said.err
    assert said.err.count("\n") == 1, f"more than one line: {said.err}"
    assert "Traceback" not in said.err
    return said.err


def expected(words: list[str], code: int) -> int:
    """`diff` has 1 for a difference, so its errors begin at 2, as those of `kubectl diff` do."""
    return max(code, 2) if words[0] == "diff" else code


@pytest.mark.parametrize("words", REMOTE, ids=" ".join)
def test_without_a_kubeconfig(
    words: list[str],
    sluice: Sluice,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert sluice(*words) == 2
    assert "Give --kubeconfig FILE" in one_line(capsys)


@pytest.mark.parametrize("words", REMOTE, ids=" ".join)
def test_with_a_kubeconfig_that_is_not_there_or_none(
    words: list[str], sluice: Sluice, capsys: Capture, tmp_path: Path
) -> None:
    assert sluice(*words, "--kubeconfig", str(tmp_path / "gone")) == 2
    assert "cannot be used" in one_line(capsys)
    (tmp_path / "odd").write_text("- not\n- a kubeconfig\n")
    assert sluice(*words, "--kubeconfig", str(tmp_path / "odd")) == 2
    one_line(capsys)


@pytest.mark.parametrize("words", REMOTE, ids=" ".join)
def test_with_an_unreachable_server(
    words: list[str], sluice: Sluice, capsys: Capture, tmp_path: Path
) -> None:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:9"}}],
        "users": [{"name": "u", "user": {}}],
    }
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(config))
    assert sluice(*words, "--kubeconfig", str(path)) == expected(words, 1)
    assert "Is the API server up" in one_line(capsys)


@pytest.mark.parametrize("words", REMOTE, ids=" ".join)
@pytest.mark.parametrize("status", [401, 403])
def test_without_the_right(
    words: list[str], status: int, scripted: ScriptedKube, sluice: Sluice, capsys: Capture
) -> None:
    scripted.fail_next("get", status=status, times=9)
    scripted.fail_next("list", status=status, times=9)
    assert sluice(*words) == expected(words, 1)
    assert ("not allowed" if status == 403 else "not accepted") in one_line(capsys)


@pytest.mark.parametrize("words", NAMED, ids=" ".join)
def test_with_a_name_that_is_not_there_the_nearest_is_suggested(
    words: list[str], scripted: ScriptedKube, sluice: Sluice, capsys: Capture
) -> None:
    scripted.client().create(MODEL_ROLLOUTS, rollout("irish"), "prod")
    assert sluice(*words) == expected(words, 1)
    said = one_line(capsys)
    assert said == "error: there is no ModelRollout prod/iris: did you mean irish?\n"


def test_a_name_of_another_namespace_is_found_there(
    scripted: ScriptedKube, sluice: Sluice, capsys: Capture
) -> None:
    body = rollout()
    body["metadata"]["namespace"] = "stage"
    scripted.client().create(MODEL_ROLLOUTS, body, "stage")
    assert sluice("status", "iris") == 1
    assert "one in namespace stage: give -n stage" in one_line(capsys)


def test_what_there_is_is_listed_when_nothing_is_near(
    scripted: ScriptedKube, sluice: Sluice, capsys: Capture
) -> None:
    assert sluice("status", "iris") == 1
    assert "namespace prod has none at all" in one_line(capsys)
    for n in range(10):
        scripted.client().create(MODEL_ROLLOUTS, rollout(f"tulip-{n}"), "prod")
    assert sluice("status", "iris") == 1
    assert "there are tulip-0" in (said := one_line(capsys))
    assert said.endswith("and 2 more\n")


@pytest.mark.parametrize("words", WRONG_VALUES, ids=" ".join)
def test_with_a_wrong_value(
    words: list[str], scripted: ScriptedKube, sluice: Sluice, capsys: Capture
) -> None:
    assert sluice(*words) == 2
    one_line(capsys)


@pytest.mark.parametrize(
    "words", [["promote"], ["pause"], ["resume"], ["abort"], ["retry"]], ids=" ".join
)
def test_what_is_not_possible_now(
    words: list[str], play: Play, sluice: Sluice, capsys: Capture
) -> None:
    assert sluice(*words, "iris") == 4
    one_line(capsys)


def test_a_missing_kind_says_what_to_install(
    scripted: ScriptedKube, sluice: Sluice, capsys: Capture
) -> None:
    text = "it does not serve this kind at all. Is its CustomResourceDefinition installed?"
    scripted.fail_next("get", status=404, message=text)
    assert sluice("status", "iris") == 1
    assert "CustomResourceDefinition installed?" in one_line(capsys)


def test_ctrl_c_ends_with_130(
    play: Play, scripted: ScriptedKube, sluice: Sluice, capsys: Capture
) -> None:
    def ctrl_c() -> None:
        raise KeyboardInterrupt

    play.push("repo/iris:2")
    scripted.acts = [ctrl_c]
    assert sluice("wait", "iris") == 130


def test_as_a_plugin_it_is_called_kubectl_sluice(sluice: Sluice, capsys: Capture) -> None:
    assert sluice("wait", "--help", program="/usr/bin/kubectl-sluice") == 0
    assert capsys.readouterr().out.startswith("Usage: kubectl sluice wait ")
    assert sluice("wait", program="/usr/bin/kubectl-sluice") == 2
    assert "see `kubectl sluice wait --help`" in one_line(capsys)
    assert program_name("/x/kubectl-sluice.exe") == "kubectl sluice"
    assert program_name("/x/sluice") == program_name("-m") == "sluice"


def test_without_words_the_help_is_shown(sluice: Sluice, capsys: Capture) -> None:
    assert sluice() == 2
    assert "Commands:" in capsys.readouterr().err


def test_durations_are_read_as_people_write_them() -> None:
    assert [duration(t) for t in ("90s", "30m", "1h30m", "90", "0")] == [90, 1800, 5400, 90, 0]


def test_names_complete_from_the_cluster_and_errors_complete_to_nothing(
    scripted: ScriptedKube,
) -> None:
    class Given:
        params: dict[str, str | None]

    given = Given()
    given.params = {"namespace": None, "kubeconfig": None, "context": None}
    for name in ("iris", "iris-2", "tulip"):
        scripted.client().create(MODEL_ROLLOUTS, rollout(name), "prod")
    assert complete_names(given, "ir") == ["iris", "iris-2"]  # type: ignore[arg-type]
    scripted.fail_next("list", status=403)
    assert complete_names(given, "ir") == []  # type: ignore[arg-type]
