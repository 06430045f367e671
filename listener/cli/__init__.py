"""The command ``topology-reaper``: words in, exit status out.

Each command is a module of its own, which is imported when the command is named: the list of them
needs neither the Docker SDK nor SQLAlchemy. An error is one sentence on standard error, never a
traceback.
"""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module
from typing import Any

import click

from listener.errors import ReaperError, presentable
from listener.telemetry.lines import standard_error

USAGE = 2
LAST_LINES = 0.3
"""Seconds for which an interrupted command waits until its log is written."""
COMMANDS = {
    "demo": "See it work on two small topologies.",
    "doctor": "Say what is wrong with the set-up, and what to do.",
    "explain": "Say why something stays or goes.",
    "feed": "Let a database tell of deletions.",
    "history": "Show what was removed, and on what evidence.",
    "init-db": "Create an empty SQLite database.",
    "relay": "Ask a database for many hosts, which need no account on it.",
    "run": "Listen, and remove what loses its row.",
    "status": "Show what a running listener knows.",
    "sweep": "Remove what has no row, once, and report.",
}
"""Every command, with the first sentence of its help."""


def main() -> None:
    """Run the command line and exit with its status."""
    try:
        status = commands.main(prog_name="topology-reaper", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help())
        status = USAGE
    except click.ClickException as error:
        say(error.format_message())
        status = USAGE
    except ReaperError as error:
        say(error)
        status = error.exit_status
    except (click.Abort, KeyboardInterrupt):
        status = 128 + signal.SIGINT
        if not standard_error.flush(LAST_LINES):
            os._exit(status)  # nobody reads what was to be said, and wants to wait for that
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""  # none: it was our own output
        say(f"it cannot go on: {where}{error.strerror or error}")
        status = 1
    finally:
        standard_error.flush()
    sys.exit(status)


def say(error: object) -> None:
    """Have an error told on standard error, after what is in the log already."""
    standard_error.put(f"topology-reaper: {presentable(error)}\n")


def load(name: str) -> click.Command:
    """The command of this name, imported."""
    module = import_module(f"{__name__}.{name.replace('-', '_')}")
    command: click.Command = module.command
    return command


def _show_version(ctx: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if wanted:
        # Here, for it takes 40 ms to import them.
        from importlib.metadata import version

        from listener.commit import commit

        click.echo(f"topology-reaper {version('topology-reaper')} (commit {commit()})")
        ctx.exit()


class _Commands(click.Group):
    """All commands: listed as in :data:`COMMANDS`, and imported when one is named.

    For a reader who has seen enough of the output, such as ``head``, each is done; click would make
    it a failure.
    """

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, _, rest = super().resolve_command(ctx, args)
        return name, load(name) if name else None, rest

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())  # else what is left fails as the process ends
            return 0


@click.group(
    cls=_Commands,
    commands=[click.Command(name, short_help=said) for name, said in COMMANDS.items()],
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version and the commit, and exit.",
)
def commands() -> None:
    """Remove a DECNET topology's containers and networks the moment its database row is gone.

    \b
    Try it:            topology-reaper demo
    Look, don't touch: topology-reaper sweep --dry-run --database-url sqlite:////path/decnet.db
    Go on listening:   topology-reaper run --database-url sqlite:////path/decnet.db
    Ask why:           topology-reaper explain decky-001-ssh --database-url sqlite:////path/decnet.db

    Each command says more with --help. The TAB key completes words once ~/.bashrc has this line (or
    ~/.zshrc, with zsh_source):

    \b
    eval "$(_TOPOLOGY_REAPER_COMPLETE=bash_source topology-reaper)"
    """  # noqa: D301 - click's own mark for "leave these lines alone"
