"""`sluice completion`: the script that a shell reads to complete commands, options and names."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from typing import Annotated

import typer

COMPLETE_VARIABLE = "_SLUICE_COMPLETE"


class Shell(StrEnum):
    """Shells with a completion script."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


_BASH = """\
_sluice_completion() {
    local IFS=$'\\n'
    COMPREPLY=($(env COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD="$COMP_CWORD" \\
        %(variable)s=complete_bash sluice 2>/dev/null))
}
complete -o default -F _sluice_completion sluice
"""
_ZSH = """\
#compdef sluice
_sluice_completion() {
    eval "$(env _TYPER_COMPLETE_ARGS="${words[1,$CURRENT]}" \\
        %(variable)s=complete_zsh sluice 2>/dev/null)"
}
compdef _sluice_completion sluice
"""
_FISH = """\
function __sluice_complete
    env %(variable)s=complete_fish _TYPER_COMPLETE_FISH_ACTION=$argv[1] \\
        _TYPER_COMPLETE_ARGS=(commandline -cp) sluice 2>/dev/null
end
complete --command sluice --no-files --condition "__sluice_complete is-args" \\
    --arguments "(__sluice_complete get-args)"
"""
_SCRIPTS = {Shell.BASH: _BASH, Shell.ZSH: _ZSH, Shell.FISH: _FISH}


def prepare() -> None:
    """Let Typer answer a shell that asks; it knows only bash unless told so."""
    if COMPLETE_VARIABLE in os.environ:
        from typer.completion import completion_init  # type: ignore[attr-defined]

        completion_init()


def completion(shell: Annotated[Shell, typer.Argument(help="bash, zsh or fish.")]) -> None:
    """Print a completion script; names of rollouts come from the cluster.

    bash: source <(sluice completion bash). zsh: the same, after compinit. fish: sluice completion
    fish | source.
    """
    sys.stdout.write(_SCRIPTS[shell] % {"variable": COMPLETE_VARIABLE})
