"""The shell of the example pipelines, run as their systems run it."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from .judging import ROOT

Object = dict[str, Any]
FOLDER = ROOT / "gitops" / "pipelines"
_WORKSPACE = re.compile(r"\$\(workspaces\.[\w.-]+\)")
_EXPRESSION = re.compile(r"\$\{\{\s*([\w.]+)\s*\}\}|\$\(([\w.-]+)\)")


@dataclass(frozen=True)
class Step:
    """One script with its own variables. `always`: it runs after a failure too."""

    name: str
    script: str
    env: Mapping[str, str]
    always: bool = False
    shell: tuple[str, ...] = ("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c")


@dataclass(frozen=True)
class Ran:
    """How a pipeline ended: the code of the step that failed first, or 0; all that was said."""

    code: int
    failed: str
    output: str
    done: tuple[str, ...]


def github(file: str, values: Mapping[str, str]) -> list[Step]:
    """The `run` steps of the one job."""
    workflow = yaml.safe_load((FOLDER / file).read_text())
    [job] = workflow["jobs"].values()
    assert not any("${{" in step.get("run", "") for step in job["steps"]), "injection"
    return [
        Step(
            step["name"],
            step["run"],
            _filled(workflow["env"] | step.get("env", {}), values),
            "cancelled()" in str(step.get("if", "")),
        )
        for step in job["steps"]
        if "run" in step
    ]


def gitlab(file: str, values: Mapping[str, str]) -> list[Step]:
    """The jobs' scripts and after_scripts. A runner expands variables in variables."""
    pipeline = yaml.safe_load((FOLDER / file).read_text())
    env = {k: os.path.expandvars(v) for k, v in pipeline["variables"].items()}
    env = {key: _expanded(value, values) for key, value in env.items()} | dict(values)
    steps = []
    for name, job in pipeline.items():
        if not isinstance(job, dict) or "script" not in job:
            continue
        steps.append(Step(name, "\n".join(job["script"]), env))
        if after := job.get("after_script"):
            steps.append(Step(f"{name}: after", "\n".join(after), env, always=True))
    return steps


def tekton(file: str, values: Mapping[str, str]) -> list[Step]:
    """The steps of the pipeline's tasks, in its order, with its own parameters."""
    documents = list(yaml.safe_load_all((FOLDER / file).read_text()))
    tasks = {d["metadata"]["name"]: d["spec"] for d in documents if d["kind"] == "Task"}
    [pipeline] = [d["spec"] for d in documents if d["kind"] == "Pipeline"]
    steps = []
    for always, members in ((False, pipeline["tasks"]), (True, pipeline["finally"])):
        for member in members:
            task = tasks[member["taskRef"]["name"]]
            params = {f"params.{p['name']}": p.get("default", "") for p in task["params"]}
            given = {p["name"]: p["value"] for p in member["params"]}
            declared = {p["name"] for p in task["params"]}
            assert given.keys() <= declared, "a parameter that the task does not have"
            mine = _filled({f"params.{k}": v for k, v in given.items()}, values)
            known = params | {k: v for k, v in mine.items() if v} | dict(values)
            for step in task["steps"]:
                both = [*task.get("stepTemplate", {}).get("env", []), *step.get("env", [])]
                # The checkout's parent is the one workspace; an optional one is not given.
                plain = {e["name"]: _WORKSPACE.sub("", e["value"]) for e in both}
                env = _filled(plain, known)
                assert step["script"].startswith("#!/bin/sh\n")
                assert "$(" not in step["script"], "injection"
                steps.append(Step(step["name"], step["script"], env, always, ("sh", "-c")))
    return steps


def run(steps: list[Step], checkout: Path, env: Mapping[str, str]) -> Ran:
    """Each in order; after the first failure only those that run always."""
    code, failed, output, done = 0, "", "", []
    passed_on = checkout.parent / "passed-on"
    passed_on.touch()
    for step in steps:
        if code and not step.always:
            continue
        later = dict(line.split("=", 1) for line in passed_on.read_text().splitlines())
        ended = subprocess.run(
            [*step.shell, step.script],
            cwd=checkout,
            env={**env, **step.env, **later, "GITHUB_ENV": str(passed_on)},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        output += ended.stdout + ended.stderr
        done.append(step.name)
        if ended.returncode and not code:
            code, failed = ended.returncode, step.name
    return Ran(code, failed, output, tuple(done))


def _filled(env: Mapping[str, Any], values: Mapping[str, str]) -> dict[str, str]:
    return {key: _expression(str(value), values) for key, value in env.items()}


def _expression(text: str, values: Mapping[str, str]) -> str:
    return _EXPRESSION.sub(lambda m: values[m.group(1) or m.group(2)], text)


def _expanded(text: str, values: Mapping[str, str]) -> str:
    return re.sub(r"\$(\w+)", lambda m: values.get(m.group(1), m.group(0)), text)
