"""topology-reaper: removes a DECNET topology's Docker resources once its database row is gone.

As a library: :func:`sweep` does one full sweep and returns its :class:`Report`, and
:class:`Listener` goes on until it is stopped. Both take :class:`Settings`, which read no
environment unless :meth:`Settings.from_environment` is called, and neither installs signal handlers
or log sinks.

    with Listener(Settings(database_url="sqlite:////var/lib/decnet/decnet.db")) as listener:
        listener.wait()
"""

from listener.errors import ConfigurationError, EngineError, NoAnswer, ReaperError
from listener.oneshot import sweep
from listener.report import Report
from listener.service import Listener
from listener.settings import Settings

__all__ = [
    "ConfigurationError",
    "EngineError",
    "Listener",
    "NoAnswer",
    "ReaperError",
    "Report",
    "Settings",
    "sweep",
]
