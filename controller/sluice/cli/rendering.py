"""`sluice render` and `sluice diff`: the SeldonDeployment that would result."""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from sluice.cli.manifests import Rendered, first_creation, next_write, rollouts_in
from sluice.cli.options import (
    Context,
    Kubeconfig,
    Namespace,
    Output,
    complete_names,
    connect,
    get_rollout,
)
from sluice.cli.output import print_data
from sluice.errors import SluiceError, UsageError

DIFFERENCES = 1
_TROUBLE = 2

OptionalName = Annotated[
    str | None, typer.Argument(help="The ModelRollout.", autocompletion=complete_names)
]
File = Annotated[
    Path | None, typer.Option("--filename", "-f", help="A file with ModelRollouts instead.")
]
Form = Annotated[Output, typer.Option("--output", "-o", help="yaml or json.")]


def render(
    name: OptionalName = None,
    file: File = None,
    output: Form = Output.YAML,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Print the SeldonDeployment: of a file its first creation, of NAME what comes next."""
    _one_of(name, file)
    if file is not None:
        found = [first_creation(obj) for obj in rollouts_in(file, namespace or "default")]
    else:
        client, namespace = connect(kubeconfig, context, namespace)
        found = [next_write(client, get_rollout(client, str(name), namespace))]
    for one in found:
        if one.note:
            sys.stderr.write(f"note: {one.note}\n")
    if output is Output.JSON:
        wanted = [one.wanted for one in found]
        print_data(wanted[0] if len(wanted) == 1 else _as_list(wanted), output)
    else:
        sys.stdout.write("---\n".join(_yaml(one.wanted) for one in found))


def diff(
    name: OptionalName = None,
    file: File = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Compare with the live SeldonDeployment; exit 0 no difference, 1 some, more than 1 trouble."""
    with _trouble_is_not_a_difference():
        _one_of(name, file)
        client, namespace = connect(kubeconfig, context, namespace)
        if file is not None:
            found = [next_write(client, obj) for obj in rollouts_in(file, namespace)]
        else:
            found = [next_write(client, get_rollout(client, str(name), namespace))]
    differs = False
    for one in found:
        text = unified(one)
        differs = differs or bool(text)
        sys.stdout.write(text)
        if one.note:
            sys.stderr.write(f"note: {one.note}\n")
    if differs:
        raise typer.Exit(DIFFERENCES)


def unified(one: Rendered) -> str:
    """A unified diff from what is live to what would be; "" when they are the same."""
    name = f"SeldonDeployment {one.rollout.namespace}/{one.rollout.deployment_name}"
    live = _yaml(one.live) if one.live is not None else ""
    lines = difflib.unified_diff(
        live.splitlines(keepends=True),
        _yaml(one.wanted).splitlines(keepends=True),
        f"live {name}",
        f"next {name}",
    )
    return "".join(lines)


@contextmanager
def _trouble_is_not_a_difference() -> Iterator[None]:
    """Exit code 1 is taken: errors end with 2, as they do for `kubectl diff`."""
    try:
        yield
    except SluiceError as error:
        error.exit_code = max(error.exit_code, _TROUBLE)
        raise


def _one_of(name: str | None, file: Path | None) -> None:
    if (name is None) == (file is None):
        raise UsageError("give the NAME of a ModelRollout, or a file with -f: one of the two")


def _yaml(obj: Any) -> str:
    # Through JSON, so that parts that are one object in memory are not written as YAML anchors.
    return str(yaml.safe_dump(json.loads(json.dumps(obj)), sort_keys=False))


def _as_list(items: list[Any]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "List", "items": items}
