"""The anonymous volumes that removed containers have left.

Compose hands a container's anonymous volumes on to the one that it makes in its place, by name, and
the engine does not take along what was mounted by name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from listener.core.outcome import Removal, Result
from listener.errors import EngineError, TimedOut, presentable


def remove_inherited_volumes(
    prefix: str, removals: dict[str, Removal], remove_volume: Callable[[str], bool]
) -> str:
    """Remove them, as far as it can be.

    Args:
        prefix: of the topology.
        removals: by resource id; those that volumes went with are brought up to date.
        remove_volume: removes a volume by its name if it is anonymous and no container uses it;
            returns whether it did.

    Returns:
        Why others of them may be left, as a sentence; empty when none are.
    """
    tried: set[str] = set()
    left: EngineError | None = None  # after a time-out it would take as long over the others
    for id_, removal in removals.items():
        mine = set(removal.resource.volumes) - tried
        if removal.result is not Result.REMOVED or not mine:
            continue
        tried |= mine
        gone: list[str] = []
        for name in sorted(mine):
            try:
                if not isinstance(left, TimedOut) and remove_volume(name):
                    gone.append(name)
            except EngineError as error:
                left = error
        removals[id_] = replace(removal, volumes=gone)
    said = f"anonymous volumes of topology {prefix} may be left: {presentable(left)}"
    return said if left is not None else ""
