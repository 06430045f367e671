"""``python -m listener`` is the command ``topology-reaper``."""

from listener.cli import main

if __name__ == "__main__":
    main()
