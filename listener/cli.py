"""The command ``topology-reaper``: words in, exit status out.

The options come from :mod:`listener.settings`; click sees them as plain text, so that one check
reads a value wherever it was given. An error is one sentence on standard error, never a traceback.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click

from listener import demo as demonstration
from listener import naming, triggers
from listener.database import sqlite
from listener.doctor import doctor
from listener.errors import ConfigurationError, ReaperError, presentable
from listener.explain import explain
from listener.oneshot import sweep
from listener.service import Listener
from listener.settings import Settings, flag_of
from listener.telemetry import logs
from listener.telemetry.systemd import Notifier

USAGE = 2
STOP_WITHIN = 1.5
"""Seconds after which a stop no longer waits for what hangs."""


def main() -> None:
    """Run the command line and exit with its status."""
    try:
        status = commands.main(prog_name="topology-reaper", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help())
        status = USAGE
    except click.ClickException as error:
        _say(error.format_message())
        status = USAGE
    except ReaperError as error:
        _say(error)
        status = error.exit_status
    except (click.Abort, KeyboardInterrupt):
        status = 128 + signal.SIGINT
    except BrokenPipeError:
        status = 0  # whoever read the output has seen enough of it
    sys.exit(status)


def _say(error: object) -> None:
    click.echo(f"topology-reaper: {presentable(error)}", err=True)


def _with_settings(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command these options of the settings, or all of them, and ``--config``."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed([o for o in dataclasses.fields(Settings) if o.metadata["flag"]]):
            if option.name in names or not names:
                command = _click_option(option)(command)
        return click.option(
            "--config",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="A TOML file with any of these options, for example sweep_interval = 60."
            " [REAPER_CONFIG]",
            envvar="REAPER_CONFIG",
        )(command)

    return decorate


def _click_option(option: dataclasses.Field[Any]) -> Callable[[Callable[..., Any]], Any]:
    metadata = option.metadata
    switch = isinstance(option.default, bool)
    default = f" Default: {option.default}." if option.default and not switch else ""
    return click.option(
        flag_of(option.name),
        option.name,
        is_flag=switch,
        multiple=isinstance(option.default, tuple),
        default=None,
        metavar=metadata["metavar"],
        help=f"{metadata['help']}{default} [REAPER_{option.name.upper()}]",
    )


def _settings(config: Path | None, options: dict[str, object]) -> Settings:
    flags = {name: value for name, value in options.items() if value not in (None, (), False)}
    settings = Settings.from_environment(flags=flags, config=config)
    logs.set_up(settings.log_level, settings.log_format)
    return settings


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="topology-reaper", message="topology-reaper %(version)s")
def commands() -> None:
    """Remove a DECNET topology's containers and networks the moment its database row is gone.

    \b
    Try it:            topology-reaper demo
    Look, don't touch: topology-reaper sweep --dry-run --database-url sqlite:////path/decnet.db
    Go on listening:   topology-reaper run --database-url sqlite:////path/decnet.db
    """  # noqa: D301 - click's own mark for "leave these lines alone"


@commands.command()
@_with_settings()
def run(config: Path | None, **options: object) -> int:
    """Listen until SIGTERM or SIGINT; SIGUSR1 asks for a full sweep now."""
    listener = Listener(_settings(config, options))
    # Blocked here and so in every thread, a signal waits for sigwait(); as PID 1 too.
    signals = {signal.SIGTERM, signal.SIGINT, signal.SIGUSR1}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    listener.start()
    systemd, stopping = Notifier(os.environ), threading.Event()
    for target in (_end_with, partial(_tell, systemd, stopping)):
        threading.Thread(target=target, args=(listener,), daemon=True).start()
    while signal.sigwait(signals) == signal.SIGUSR1:
        listener.sweep_now()
    stopping.set()
    systemd.say("STOPPING=1")
    listener.stop(STOP_WITHIN)
    status = 0
    try:
        listener.wait()
    except ReaperError as error:
        _say(error)
        status = error.exit_status
    # The interpreter would take ten times as long to end as the listener did (0.2 s of CPU), and
    # would wait for a thread in which a request hangs.
    sys.stderr.flush()
    os._exit(status)


def _tell(systemd: Notifier, stopping: threading.Event, listener: Listener) -> None:
    """Say that we are ready once the first sweep is done, then that we are alive."""
    listener.wait_ready()
    systemd.say("READY=1")
    systemd.keep_alive(listener.stuck, stopping)


def _end_with(listener: Listener) -> None:
    """End our wait for a signal when the listener gives up by itself."""
    try:
        listener.wait()
    except ReaperError:
        os.kill(os.getpid(), signal.SIGTERM)


@commands.command("sweep")
@_with_settings()
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON object.")
@click.option(
    "--prefix", "prefixes", multiple=True, metavar="PREFIX", help="Look at this topology only."
)
@click.option(
    "--confirm", default=None, metavar="TOKEN", help="Remove what is held under this token."
)
def sweep_command(
    config: Path | None,
    as_json: bool,
    prefixes: tuple[str, ...],
    confirm: str | None,
    **options: object,
) -> int:
    """Sweep once: remove everything on this host whose topology has no row, and report."""
    for prefix in prefixes:
        if not naming.PREFIX.fullmatch(prefix):
            raise ConfigurationError(
                f"--prefix: {prefix!r} is not a prefix; give the first 8 digits of an id, 0-9 a-f"
            )
    report = sweep(_settings(config, options), prefixes=prefixes or None, confirm=confirm)
    click.echo(report.to_json() if as_json else report.to_text())
    return 0 if report.complete else 1


@commands.command("explain")
@_with_settings(
    "database_url",
    "database_url_file",
    "docker_host",
    "grace",
    "policy",
    "delay",
    "allow_replica",
    "state_dir",
    "timeout",
)
@click.argument("what", metavar="NAME|ID|PREFIX")
def explain_command(config: Path | None, what: str, **options: object) -> None:
    """Say why a container, a network or a topology stays or goes; nothing is changed."""
    click.echo(explain(_settings(config, options), what))


@commands.command("doctor")
@_with_settings()
@click.option("--json", "as_json", is_flag=True, help="Print the checks as one JSON object.")
def doctor_command(config: Path | None, as_json: bool, **options: object) -> int:
    """Check Docker, the databases, the feed and all rights, with a remedy for what is wrong.

    Takes the options of run, and changes nothing. A DELETE is tried with a random id that the
    engine does not know; whether it would remove what exists is not.
    """
    diagnosis = doctor(_settings(config, options))
    colour = False if os.environ.get("NO_COLOR") else None  # None: on a terminal
    click.echo(diagnosis.to_json() if as_json else diagnosis.to_text(), color=colour)
    return diagnosis.exit_status


@commands.group("feed")
def feed() -> None:
    """Let the database tell of deletions by itself, with a URL of the table's owner."""


@feed.command()
@_with_settings("database_url", "database_url_file", "timeout")
def install(config: Path | None, **options: object) -> None:
    """Install the triggers in PostgreSQL."""
    for name in triggers.change(_settings(config, options), "install"):
        click.echo(f"installed the triggers in {name}")


@feed.command()
@_with_settings("database_url", "database_url_file", "timeout")
def uninstall(config: Path | None, **options: object) -> None:
    """Take the triggers out again."""
    for name in triggers.change(_settings(config, options), "uninstall"):
        click.echo(f"took the triggers out of {name}")


@feed.command("sql")
@_with_settings("database_url", "database_url_file")
def sql_command(config: Path | None, **options: object) -> None:
    """Print the SQL for review."""
    click.echo(triggers.sql(_settings(config, options)), nl=False)


@commands.command("init-db")
@click.argument("path", type=click.Path(path_type=Path))
def init_db(path: Path) -> None:
    """Create a SQLite database with an empty table of topologies; PATH must not exist yet."""
    if "?" in str(path):
        raise ConfigurationError("init-db: a URL cannot name a path with a ? in it; choose another")
    sqlite.create(path)
    click.echo(f"created {path}; use it with --database-url sqlite:///{path.absolute()}")


@commands.command()
@click.option("--docker-host", metavar="HOST", help="The Docker Engine, instead of DOCKER_HOST.")
@click.option(
    "--image",
    default="busybox",
    show_default=True,
    help="An image that can sleep; pulled if absent.",
)
def demo(docker_host: str | None, image: str) -> None:
    """Deploy two small topologies, delete one row, and show what is reaped and how fast.

    A database of its own and names of its own: nothing else on the host is looked at.
    """
    logs.set_up("WARNING", "text")
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))  # and clean up
    flags = {"docker_host": docker_host} if docker_host else {}
    demonstration.run(Settings.from_environment(flags=flags), image, click.echo)
