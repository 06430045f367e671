"""The command ``topology-reaper``, also as ``python -m listener``."""

import os
import signal
import sys


def main() -> None:
    """Run the command line and exit with its status."""
    if os.getpid() == 1:
        # The kernel drops what PID 1 does not handle, and the imports take half a second.
        signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    from listener.cli import main as command_line

    command_line()


if __name__ == "__main__":
    main()
