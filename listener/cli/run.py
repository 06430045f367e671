"""The command ``run``: a listener until a signal ends it, or it gives up.

The main thread does nothing but wait for signals. Beside it one thread tells systemd how the
listener is, and one ends the wait when the listener ends by itself.
"""

from __future__ import annotations

import os
import signal
import threading
from functools import partial
from pathlib import Path

import click

from listener.cli import say
from listener.cli.options import Command, read_settings, with_settings
from listener.errors import ReaperError
from listener.runtime.command import sweep_command
from listener.runtime.daemon import Listener
from listener.telemetry import logs
from listener.telemetry.lines import standard_error
from listener.telemetry.systemd import Notifier

STOP_WITHIN = 1.5
"""Seconds after which a stop no longer waits for what hangs."""
FLUSH_WITHIN = 0.3
"""Seconds after which the end no longer waits for a reader of standard error."""


@click.command("run", cls=Command)
@with_settings(unused=["timeout"])
def command(config: Path | None, **options: object) -> int:
    """Listen, and remove what loses its row.

    A topology's containers and networks go as soon as its row in the database is gone. That goes on
    until SIGTERM or SIGINT; SIGUSR1 asks for a full sweep now. Docker or a database that cannot be
    reached is waited for. A dry run does everything but remove.

    \b
    Examples:
      topology-reaper run --dry-run --database-url sqlite:////opt/decnet/decnet.db
      topology-reaper run --database-url-file /run/secrets/database-url --log-format json
      REAPER_DATABASE_URL=postgresql://reaper:…@db.example/decnet topology-reaper run
    """  # noqa: D301
    settings = read_settings(config, options)
    logs.set_up(settings.log_level, settings.log_format)
    release = sweep_command(settings, config=config, environment=os.environ)
    listener = Listener(settings, sweep_command=release)
    # Blocked here and so in every thread, a signal waits for sigwait(); as PID 1 too.
    signals = {signal.SIGTERM, signal.SIGINT, signal.SIGUSR1}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    listener.start()
    systemd, stopping = Notifier(os.environ), threading.Event()
    for target in (_end_with, partial(_tell, systemd, stopping)):
        threading.Thread(target=target, args=(listener,), daemon=True).start()
    while (number := signal.sigwait(signals)) == signal.SIGUSR1:
        listener.sweep_now()
    stopping.set()
    systemd.say("STOPPING=1")
    listener.stop(STOP_WITHIN, reason=signal.Signals(number).name)
    status = 0
    try:
        listener.wait()
    except ReaperError as error:
        say(error)
        status = error.exit_status
    # The interpreter would take ten times as long to end as the listener did (0.2 s of CPU), and
    # would wait for a thread in which a request hangs.
    standard_error.flush(FLUSH_WITHIN)
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
