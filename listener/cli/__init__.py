"""The command ``topology-reaper``: words in, exit status out.

The options come from :mod:`listener.settings`; click sees them as plain text, so that one check
reads a value wherever it was given. An error is one sentence on standard error, never a traceback.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from listener.cli import demo as demonstration
from listener.cli import feed as triggers
from listener.cli.doctor import doctor
from listener.cli.explain import explain
from listener.cli.progress import sweep_progress
from listener.core import ownership as naming
from listener.databases.sqlite import table as sqlite
from listener.errors import ConfigurationError, NoListener, ReaperError, presentable
from listener.runtime import command
from listener.runtime.daemon import Listener
from listener.runtime.state import history
from listener.runtime.sweep import sweep
from listener.settings import Settings, default_of, flag_of
from listener.telemetry import logs
from listener.telemetry.healthcheck import read_status
from listener.telemetry.systemd import Notifier

USAGE = 2
WATCH_EVERY = 1.0
"""Seconds between two looks with ``status --watch``."""
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
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""  # none: it was our own output
        _say(f"it cannot go on: {where}{error.strerror or error}")
        status = 1
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
    default = f" Default: {default_of(option)}." if default_of(option) else ""
    return click.option(
        flag_of(option.name),
        option.name,
        is_flag=isinstance(option.default, bool),
        multiple=isinstance(option.default, tuple),
        default=None,
        metavar=metadata["metavar"],
        help=f"{metadata['help']}{default} [REAPER_{option.name.upper()}]",
        shell_complete=partial(_complete, metadata),
    )


def _complete(
    metadata: Mapping[str, Any], _context: click.Context, _option: click.Parameter, begun: str
) -> list[CompletionItem]:
    """What a shell offers for the value of an option of the settings."""
    if path := {"FILE": "file", "FOLDER": "dir"}.get(metadata["metavar"]):
        return [CompletionItem(begun, type=path)]
    return [CompletionItem(w) for w in metadata["words"] if w.lower().startswith(begun.lower())]


def _check_prefix(prefix: str) -> None:
    if not naming.PREFIX.fullmatch(prefix):
        raise ConfigurationError(
            f"--prefix: {prefix!r} is not a prefix; give the first 8 digits of an id, 0-9 a-f"
        )


def _settings(config: Path | None, options: dict[str, object]) -> Settings:
    flags = {name: value for name, value in options.items() if value not in (None, (), False)}
    settings = Settings.from_environment(flags=flags, config=config)
    logs.set_up(settings.log_level, settings.log_format)
    return settings


def _sweep_command(settings: Settings, config: Path | None) -> str:
    return command.sweep_command(settings, config=config, environment=os.environ)


class _Commands(click.Group):
    """All commands; for a reader who has seen enough of the output, such as ``head``, each is done.

    Click would make it a failure.
    """

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())  # else what is left fails as the process ends
            return 0


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="topology-reaper", message="topology-reaper %(version)s")
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


@commands.command()
@_with_settings()
def run(config: Path | None, **options: object) -> int:
    """Listen, and remove what loses its row.

    A topology's containers and networks go as soon as its row in the database is gone. That goes on
    until SIGTERM or SIGINT; SIGUSR1 asks for a full sweep now. Docker or a database that cannot be
    reached is waited for. A dry run does everything but remove.

    \b
    Examples:
      topology-reaper run --dry-run --database-url sqlite:////var/lib/decnet/decnet.db
      topology-reaper run --database-url-file /run/secrets/database-url --log-format json
      REAPER_DATABASE_URL=postgresql://reaper:…@db.example/decnet topology-reaper run
    """  # noqa: D301
    settings = _settings(config, options)
    listener = Listener(settings, sweep_command=_sweep_command(settings, config))
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
    """Remove what has no row, once, and report.

    A sweep looks at every container and network on this host. A dry run only says what it would
    remove; start with one. Exit status: 0 done; 1 done, but something is held or could not be
    removed; 2 a wrong option; 3 Docker or a database could not be reached.

    \b
    Examples:
      topology-reaper sweep --dry-run --database-url sqlite:////var/lib/decnet/decnet.db
      topology-reaper sweep --json --prefix 3c68d34a --database-url-file /run/secrets/database-url
      topology-reaper sweep --confirm 1f2e3d4c5b6a --config /etc/topology-reaper/reaper.toml
    """  # noqa: D301
    for prefix in prefixes:
        _check_prefix(prefix)
    settings = _settings(config, options)
    with sweep_progress(settings.log_format) as progress:
        report = sweep(settings, prefixes=prefixes or None, confirm=confirm, observer=progress)
    again = " ".join([_sweep_command(settings, config), *(f"--prefix {p}" for p in prefixes)])
    text = report.to_json() if as_json else report.to_text(again)
    click.echo(text)
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
    """Say why something stays or goes.

    Give a container's or a network's name or id, or the first 8 digits of a topology's id. It shows
    which labels and names count, what each database answers, and what a sweep would do; it changes
    nothing.

    \b
    Examples:
      topology-reaper explain decky-001-ssh --database-url sqlite:////var/lib/decnet/decnet.db
      topology-reaper explain 3c68d34a --config /etc/topology-reaper/reaper.toml
    """  # noqa: D301
    settings = _settings(config, options)
    click.echo(explain(settings, what, sweep_command=_sweep_command(settings, config)))


@commands.command("status")
@_with_settings("state_dir")
@click.option("--json", "as_json", is_flag=True, help="Print it as one JSON object.")
@click.option("--watch", is_flag=True, help="Go on, once a second, until you press Ctrl-C.")
def status_command(config: Path | None, as_json: bool, watch: bool, **options: object) -> int:
    """Show what a running listener knows.

    It asks the listener with the same state folder, on this host, and shows what it did lately too.
    Exit status: 0 it is well; 1 it is not, or holds something; 3 there is none.

    \b
    Examples:
      topology-reaper status --watch
      topology-reaper status --json --state-dir /var/lib/topology-reaper
    """  # noqa: D301
    folder = _settings(config, options).state_path
    if as_json:
        told = _told(folder)
        click.echo(json.dumps(told))
        while watch:
            time.sleep(WATCH_EVERY)
            click.echo(json.dumps(_told(folder)))
    else:
        # Only where it is needed: Rich takes as long to import as all the rest of the command.
        from rich.console import Console
        from rich.live import Live

        from listener.cli import terminal

        told, console = _told(folder), Console()
        if watch:
            if not console.is_terminal:
                raise ConfigurationError(
                    "--watch: standard output is no terminal; add --json for a line each second"
                )
            with Live(terminal.status(told), console=console, screen=True) as live:
                while True:
                    time.sleep(WATCH_EVERY)
                    try:
                        live.update(terminal.status(_told(folder)))
                    except NoListener as error:
                        live.update(str(error))
        console.print(terminal.status(told))
    return 1 if told["problems"] or told["held"]["prefixes"] else 0


def _told(folder: Path) -> dict[str, Any]:
    try:
        return read_status(folder)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise NoListener(
            f"status: no listener answers in {folder} ({why}); start one with topology-reaper run,"
            " or name its folder with --state-dir"
        ) from error


@commands.command("history")
@_with_settings("state_dir")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@click.option("--prefix", default=None, metavar="PREFIX", help="Of this topology only.")
def history_command(
    config: Path | None, as_json: bool, prefix: str | None, **options: object
) -> None:
    """Show what was removed, and on what evidence.

    It is read from the state folder, whether a listener runs or not; the oldest comes first.

    \b
    Examples:
      topology-reaper history --prefix 3c68d34a
      topology-reaper history --json --state-dir /var/lib/topology-reaper
    """  # noqa: D301
    if prefix is not None:
        _check_prefix(prefix)
    folder = _settings(config, options).state_path
    try:
        entries = list(history.read(folder))
    except FileNotFoundError:
        if not as_json:
            click.echo(f"nothing was removed yet, as far as {folder} knows")
        return
    except OSError as error:
        raise ConfigurationError(
            f"--state-dir: {folder}/{history.NAME} cannot be read: {error.strerror}"
        ) from error
    for entry in entries:
        if prefix in (None, entry["prefix"]):
            click.echo(json.dumps(entry) if as_json else history.line(entry))


@commands.command("doctor")
@_with_settings()
@click.option("--json", "as_json", is_flag=True, help="Print the checks as one JSON object.")
def doctor_command(config: Path | None, as_json: bool, **options: object) -> int:
    """Say what is wrong with the set-up, and what to do.

    It checks Docker, the databases, the feed and all rights, takes the options of run, and changes
    nothing. A DELETE is tried with a random id that the engine does not know; whether it would
    remove what exists is not. Exit status: 0 nothing is at fault; 1 something is; 3 one side could
    not be reached, so that it could not look.

    \b
    Examples:
      topology-reaper doctor --database-url sqlite:////var/lib/decnet/decnet.db
      topology-reaper doctor --json --config /etc/topology-reaper.toml
    """  # noqa: D301
    diagnosis = doctor(_settings(config, options))
    colour = False if os.environ.get("NO_COLOR") else None  # None: on a terminal
    click.echo(diagnosis.to_json() if as_json else diagnosis.to_text(), color=colour)
    return diagnosis.exit_status


@commands.group("feed")
def feed() -> None:
    """Let a database tell of deletions.

    PostgreSQL takes triggers, which these commands install and uninstall with a URL of the table's
    owner. MySQL and MariaDB take settings and rights, which "feed sql" prints for their
    administrator. SQLite takes nothing.
    """


@feed.command()
@_with_settings("database_url", "database_url_file", "timeout")
def install(config: Path | None, **options: object) -> None:
    """Install the triggers in PostgreSQL.

    Doing it again changes nothing.

    \b
    Examples:
      topology-reaper feed install --database-url postgresql://owner:…@db.example/decnet
    """  # noqa: D301
    for name in triggers.change(_settings(config, options), "install"):
        click.echo(f"installed the triggers in {name}")


@feed.command()
@_with_settings("database_url", "database_url_file", "timeout")
def uninstall(config: Path | None, **options: object) -> None:
    """Take the triggers out again.

    Listeners then poll.

    \b
    Examples:
      topology-reaper feed uninstall --database-url postgresql://owner:…@db.example/decnet
    """  # noqa: D301
    for name in triggers.change(_settings(config, options), "uninstall"):
        click.echo(f"took the triggers out of {name}")


@feed.command("sql")
@_with_settings("database_url", "database_url_file")
def sql_command(config: Path | None, **options: object) -> None:
    """Print the SQL for review.

    It is the one for the kind of database that the URL names; no database is reached.

    \b
    Examples:
      topology-reaper feed sql --database-url mysql://db.example/decnet
    """  # noqa: D301
    click.echo(triggers.sql(_settings(config, options)), nl=False)


@commands.command("init-db")
@click.argument("path", type=click.Path(path_type=Path))
def init_db(path: Path) -> None:
    """Create an empty SQLite database.

    It has a table of topologies without a row, to try things with; DECNET makes its own. PATH must
    not exist yet.

    \b
    Examples:
      topology-reaper init-db /tmp/decnet.db
    """  # noqa: D301
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
    """See it work on two small topologies.

    They are deployed, one row is deleted, and what is removed is shown as it goes. It has a
    database and names of its own: nothing else on the host is touched.

    \b
    Examples:
      topology-reaper demo
      topology-reaper demo --docker-host unix:///run/docker.sock --image busybox
    """  # noqa: D301
    logs.set_up("WARNING", "text")
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))  # and clean up
    flags = {"docker_host": docker_host} if docker_host else {}
    demonstration.run(Settings.from_environment(flags=flags), image, click.echo)
