"""A minimal Debian of another release, for versions of programs that this one has not.

debootstrap makes it in the user's folder for caches, once (53 s for sid with its Docker 28.5 and
compose, 600 MB), and whatever is run in it by `chroot` sees that release. It is a `root` for
private engines, which write to directories of their own.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Sequence
from pathlib import Path

from debian_packages import ensure
from local_base import CACHE, NEEDLESS, mirror, run


def debian_root(release: str, packages: Sequence[str]) -> Path:
    """Where it is; made unless it is there.

    Args:
        release: its code name; sid's Release file may be out of date, and is taken all the same.
        packages: what it has besides the least.

    Raises:
        PackageError: it cannot be made.
    """
    root = CACHE / "topology-reaper" / "-".join(["root", release, *packages])
    root.parent.mkdir(parents=True, exist_ok=True)
    with root.with_name(f"{root.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # side by side: one makes it, the others wait
        if not root.exists():
            ensure({"debootstrap": "debootstrap"}, "a Debian of another release")
            unfinished = root.with_name(f"{root.name}.part")
            shutil.rmtree(unfinished, ignore_errors=True)
            include = f"--include={','.join(packages)}"
            make = ("debootstrap", "--variant=minbase", include, release, unfinished, mirror())
            run("unshare", "--mount", *make)  # what it mounts goes with it, also when it fails
            for path in NEEDLESS:
                run("find", unfinished / path, "-mindepth", "1", "-delete")
            unfinished.rename(root)
    return root
