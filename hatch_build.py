"""Leaves the commit in what is built, as listener/COMMIT: see listener/commit.py.

An unpacked sdist has that file, a checkout has none. Either way it takes the same place among the
other files of an archive, so that a wheel made from an sdist is that of the checkout to the byte.
"""

from __future__ import annotations

import runpy
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Commit(BuildHookInterface[Any]):
    """The hook that hatchling calls before it builds."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the file, unless it is for an editable installation: a checkout asks git."""
        if version == "editable":
            return
        commit = runpy.run_path(str(Path(self.root, "listener", "commit.py")))["commit"]
        self._file = NamedTemporaryFile("w")  # noqa: SIM115 - for as long as the build lasts
        self._file.write(f"{commit()}\n")
        self._file.flush()
        build_data["force_include"][self._file.name] = "listener/COMMIT"
