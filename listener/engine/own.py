"""In which container we run ourselves, so that it is never touched.

From inside, a container's id shows in the paths of the files that the engine mounts into it
(``…/containers/<id>/hostname``, Podman's ``…-containers/<id>/userdata/hostname``), and in the names
of its control groups unless they have a namespace of their own. In a container that shares
another's network those files are the other's, so there may be two ids, and both count.
"""

from __future__ import annotations

import re
from pathlib import Path

_MOUNTED = re.compile(
    r"[/-]containers/([0-9a-f]{64})/(?:userdata/)?(?:hostname|hosts|resolv\.conf)\b"
)
_GROUP = re.compile(r"[/-]([0-9a-f]{64})\b")  # whatever the parent is called (--cgroup-parent)


def own_containers(process: Path = Path("/proc/self")) -> frozenset[str]:
    """The ids of the containers that we run in; none outside of one."""
    found: set[str] = set()
    for name, form in (("mountinfo", _MOUNTED), ("cgroup", _GROUP)):
        try:
            found.update(form.findall((process / name).read_text()))
        except OSError:  # no such file on this system
            continue
    return frozenset(found)
