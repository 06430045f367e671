"""Servers that all processes of a test run share.

The first process of a run owns them: it starts a server when it is first asked for, and ends them
all. The others, the workers of pytest-xdist, find it by a variable, and get a server that they can
use and cannot stop. For MariaDB it keeps some databases whose tables may be asked at once.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Client, Listener
from typing import Any

from tests.support.rows import TABLES
from tests.support.servers import (
    PrivateMariaDB,
    PrivateNats,
    PrivatePostgres,
    PrivateProgram,
    PrivateServer,
)

VARIABLE = "SHARED_SERVERS"
"""Names the socket of the process that owns them."""
KINDS: dict[str, type[PrivateProgram]] = {
    kind.scheme: kind for kind in (PrivatePostgres, PrivateMariaDB, PrivateNats)
}
"""By their schemes; a run may choose other ones."""
READY = 8
"""So many databases are made ahead."""


class Owner:
    """Owns the servers, and answers all processes of the run."""

    def __init__(self) -> None:
        self._servers: dict[str, PrivateProgram] = {}
        self._ready: deque[str] = deque()
        self._ended = False
        self._listener = Listener(family="AF_UNIX")
        os.environ[VARIABLE] = str(self._listener.address)
        self._thread = threading.Thread(target=self._serve, name="shared servers", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the servers."""
        self._ended = True
        Client(os.environ.pop(VARIABLE)).close()
        self._thread.join()
        self._listener.close()
        for server in self._servers.values():
            server.stop()

    def _serve(self) -> None:
        while True:
            with self._listener.accept() as connection:
                if self._ended:
                    return
                try:
                    connection.send(self._answer(connection.recv()))
                except Exception as error:
                    connection.send(error)
            if PrivateMariaDB.scheme in self._servers:
                self._make_ready()

    def _answer(self, asked: str) -> Any:
        if asked == "database":
            self._make_ready()
            return self._ready.popleft()
        if asked not in self._servers:
            server = KINDS[asked]()
            server.start()
            self._servers[asked] = server
        return self._servers[asked]

    def _make_ready(self) -> None:
        server: PrivateServer = self._answer(PrivateMariaDB.scheme)
        while len(self._ready) < READY:
            name = server.create_database()
            for table in TABLES:
                server.execute(table.format(id="VARCHAR(36)", attack="SERIAL"), database=name)
            self._ready.append(name)


def shared_server(scheme: str) -> Any:
    """The server of this kind that all share."""
    return _ask(scheme)


@contextmanager
def ready_database(mariadb: PrivateServer) -> Iterator[str]:
    """The name of a database with empty tables on the shared MariaDB; dropped afterwards."""
    name = _ask("database")
    yield name
    mariadb.drop_database(name)


def _ask(what: str) -> Any:
    with Client(os.environ[VARIABLE]) as connection:
        connection.send(what)
        answer = connection.recv()
    if isinstance(answer, Exception):
        raise answer
    return answer
