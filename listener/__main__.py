"""The command ``topology-reaper``, also as ``python -m listener``."""

import io
import os
import signal
import sys


def main() -> None:
    """Run the command line and exit with its status."""
    if os.getpid() == 1:
        # The kernel drops what PID 1 does not handle. Not by an exception: it could come up where
        # the interpreter ignores it, and would wait for threads.
        signal.signal(signal.SIGTERM, lambda number, _frame: os._exit(128 + number))
    # The image's entry point blocks it until here, so that none is lost in the very first moments.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    if isinstance(sys.stdout, io.TextIOWrapper):  # it may be closed
        # As standard error does: a path need not be UTF-8, nor a terminal know every character.
        sys.stdout.reconfigure(errors="backslashreplace")
    from listener.cli import main as command_line

    command_line()


if __name__ == "__main__":
    main()
