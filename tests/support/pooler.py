"""A private PgBouncer in front of a private PostgreSQL."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from tests.support.servers import PrivatePostgres


class PrivatePgBouncer(PrivatePostgres):
    """PgBouncer; URLs of it lead to the databases of the server behind it.

    Args:
        server: stands behind it.
        mode: for how long a client has a connection to the server: ``session``, ``transaction``.
        users: who may connect beside the administrator, with their passwords.
    """

    programs: ClassVar[Mapping[str, str]] = {"pgbouncer": "pgbouncer"}
    root = Path("/")  # also where the server comes from another system

    def __init__(self, server: PrivatePostgres, mode: str, users: Mapping[str, str]) -> None:
        super().__init__()
        self.password = server.password
        users = {self.administrator: self.password, **users}
        quoted = ((name, password.replace('"', '""')) for name, password in users.items())
        self._files = {
            "users.txt": "".join('"{}" "{}"\n'.format(*pair) for pair in quoted),
            "pgbouncer.ini": "\n".join(
                [
                    "[databases]",
                    f"* = host=127.0.0.1 port={server.port}",
                    "[pgbouncer]",
                    "listen_addr = 127.0.0.1",
                    f"listen_port = {self.port}",
                    "unix_socket_dir =",
                    "auth_type = plain",
                    "auth_file = users.txt",
                    f"pool_mode = {mode}",
                ]
            ),
        }

    def _initialise(self) -> Sequence[str]:
        for name, text in self._files.items():
            (self.directory / name).write_text(text)
            shutil.chown(self.directory / name, self.system_user)
        return ("true",)

    def _serve(self) -> Sequence[str]:
        return ("pgbouncer", "--quiet", "pgbouncer.ini")
