"""The command's entry point: `sluice` and `kubectl sluice`."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from sluice.cli import (
    batch,
    capture,
    commands,
    compare,
    completion,
    controller,
    convert,
    doctor,
    history,
    lint,
    rendering,
    replay,
    report,
    rollouts,
    sandbox,
    set_image,
    simulate,
    undoing,
    version,
    wait,
)
from sluice.errors import SluiceError, UsageError

app = typer.Typer(
    name="sluice",
    help="Progressive delivery for models on Seldon Core.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    # `sluice completion` is the one way, as with kubectl and helm.
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command("list")(rollouts.list_rollouts)
app.command("status")(rollouts.status)
app.command("wait")(wait.wait)
app.command("history")(history.history)
app.command("set-image")(set_image.set_image)
app.command("render")(rendering.render)
app.command("diff")(rendering.diff)
app.command("convert")(convert.convert)
app.command("report")(report.report)
app.command("promote")(commands.promote)
app.command("pause")(commands.pause)
app.command("resume")(commands.resume)
app.command("abort")(commands.abort)
app.command("retry")(commands.retry)
app.command("retrain")(commands.retrain)
app.command("undo")(undoing.undo)
app.command("restart")(undoing.restart)
app.command("controller")(controller.run)
app.command("simulate")(simulate.simulate)
app.command("lint")(lint.lint)
app.command("replay")(replay.replay)
app.command("batch")(batch.batch)
app.command("capture")(capture.capture)
app.command("compare")(compare.compare)
app.command("doctor")(doctor.doctor)
app.command("demo")(sandbox.demo)
app.add_typer(sandbox.app, name="sandbox")
app.command("completion")(completion.completion)
app.command("version")(version.version)

# What Typer raises for a wrong command line. It carries click inside itself in newer versions and
# beside itself in older ones, and gives the class no public name.
_WRONG_USAGE: type[Exception] = next(
    c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException"
)
_PLUGIN = "kubectl-sluice"


def program_name(argv0: str) -> str:
    """How the person called us: a plugin's executable is ``kubectl-sluice``."""
    return "kubectl sluice" if Path(argv0).name.startswith(_PLUGIN) else "sluice"


def main() -> None:
    """Run the command; every error of ours ends in one clear line and its exit code."""
    program = program_name(sys.argv[0])
    completion.prepare()
    try:
        code = app(
            prog_name=program, complete_var=completion.COMPLETE_VARIABLE, standalone_mode=False
        )
        sys.exit(code if isinstance(code, int) else 0)
    except SluiceError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        sys.stderr.write("interrupted\n")
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(0)
    except _WRONG_USAGE as error:
        sys.exit(_say_usage(error, program))


def _say_usage(error: Exception, program: str) -> int:
    if type(error).__name__ == "NoArgsIsHelpError":
        sys.stderr.write(f"{error}\n")
        return UsageError.exit_code
    context = getattr(error, "ctx", None)
    where = context.command_path if context is not None else program
    text = str(getattr(error, "format_message", lambda: error)()).rstrip(".")
    sys.stderr.write(f"error: {' '.join(text.split())}; see `{where} --help`\n")
    return UsageError.exit_code


if __name__ == "__main__":
    main()
