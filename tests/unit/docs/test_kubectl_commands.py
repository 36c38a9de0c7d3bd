"""The kubectl commands of the pages for operators name verbs and kinds that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
PAGES = ["install.md", "operate.md", "security.md", "upgrade.md"]
VERBS = {
    "apply",
    "auth",
    "create",
    "delete",
    "describe",
    "get",
    "logs",
    "patch",
    "rollout",
    "scale",
    "top",
    "kustomize",
}
NAMES_A_KIND = {"get", "describe", "delete", "patch", "scale"}
WITH_VALUE = {"-n", "-o", "-l", "-f", "-k", "--namespace"}
# Kubernetes' own, then Seldon's.
KINDS = {
    "deploy",
    "deployment",
    "pod",
    "pods",
    "lease",
    "svc",
    "pdb",
    "role",
    "rolebinding",
    "sa",
    "clusterrole",
    "clusterrolebinding",
    "events",
    "endpoints",
    "validatingwebhookconfigurations",
    "sdep",
}


def ours() -> set[str]:
    found = set()
    for path in (ROOT / "manifests" / "crds").glob("*.yaml"):
        names = yaml.safe_load(path.read_text())["spec"]["names"]
        found |= {names["plural"], names["singular"], *names.get("shortNames", [])}
    return found


def commands(text: str) -> list[list[str]]:
    """The words of each, up to a pipe, a comment or the end of its code span."""
    found = re.findall(r"kubectl ([^`\n|#;]+)", text)
    return [line.split() for line in found if line[0] in "-abcdefghijklmnopqrstuvwxyz"]


def arguments(words: list[str]) -> list[str]:
    """Without options and their values."""
    found = []
    skip = False
    for word in words:
        if not skip and not word.startswith("-"):
            found.append(word)
        skip = word in WITH_VALUE
    return found


@pytest.mark.parametrize("page", PAGES)
def test_every_kubectl_command_has_a_verb_and_a_kind_that_exist(page: str) -> None:
    text = (ROOT / "docs" / page).read_text()
    in_code = "\n".join(re.findall(r"```\w*\n(.*?)```", text, re.DOTALL))
    in_code += "\n" + "\n".join(re.findall(r"(?<!`)`([^`]+)`(?!`)", text))
    found = commands(in_code)
    assert found or page == "security.md"
    known = KINDS | ours()
    for words in found:
        verb, *rest = arguments(words)
        assert verb in VERBS, words
        if verb in NAMES_A_KIND and rest and not {"-f", "-k"} & set(words) and "--raw" not in words:
            for kind in rest[0].partition("/")[0].split(","):
                assert kind in known, f"{page}: {' '.join(words)}: no kind {kind}"


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_a_command_applies_is_there(page: str) -> None:
    text = (ROOT / "docs" / page).read_text()
    for path in re.findall(r"-[fk] ((?:manifests|canary_policies|charts)[\w./-]*)", text):
        assert (ROOT / path).exists(), path
