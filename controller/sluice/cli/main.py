"""The command's entry point: `sluice` and `kubectl sluice`."""

from __future__ import annotations

import sys

import click
import typer

from sluice._version import __version__
from sluice.cli import commands, controller, lint, rollouts, sandbox, simulate, undoing
from sluice.errors import SluiceError

app = typer.Typer(
    name="sluice",
    help="Progressive delivery for models on Seldon Core.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command("list")(rollouts.list_rollouts)
app.command("status")(rollouts.status)
app.command("promote")(commands.promote)
app.command("pause")(commands.pause)
app.command("resume")(commands.resume)
app.command("abort")(commands.abort)
app.command("retry")(commands.retry)
app.command("undo")(undoing.undo)
app.command("restart")(undoing.restart)
app.command("controller")(controller.run)
app.command("simulate")(simulate.simulate)
app.command("lint")(lint.lint)
app.command("demo")(sandbox.demo)
app.add_typer(sandbox.app, name="sandbox")


@app.command()
def version() -> None:
    """Print the version."""
    sys.stdout.write(f"sluice {__version__}\n")


def main() -> None:
    """Run the command; every error of ours ends in one clear line and its exit code."""
    try:
        app()
    except SluiceError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        sys.stderr.write("interrupted\n")
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(0)


if __name__ == "__main__":
    main()
