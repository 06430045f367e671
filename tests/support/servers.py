"""Private servers, of databases and of messages: real, disposable, and gone without a trace.

Every program runs under a *holder*, pid 1 of a PID and IPC namespace of its own, as a system user
and in an environment that names no server. When the holder ends the kernel ends everything in
there, backends and shared memory included. It ends with its server, or when its standard input
does, that is, also when we are killed; it then removes the directory, all that there is outside.
What it reads there are the numbers of signals for the server.

    with PrivatePostgres() as server:
        server.execute("CREATE DATABASE decnet")
        url = server.url(database="decnet")
"""

from __future__ import annotations

import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar, Self

import sqlalchemy as sa
from debian_packages import PackageError, ensure, system_environment, which

from tests.support.rows import AT_ONCE

START_TIMEOUT = 60.0
STOP_TIMEOUT = 60.0
FOREIGN = ("PG", "MYSQL", "MARIADB")
"""How the variables begin that would lead a client to another server."""

HOLDER = """
import os, select, shutil, signal, subprocess, sys
root, directory, user, *argv = sys.argv[1:]
if root != "/":  # its programs and what they load; the users, and the data, are ours
    subprocess.run(["mount", "--bind", root + "/usr", "/usr"], check=True)
server = subprocess.Popen(
    argv, cwd=directory, stdin=subprocess.DEVNULL, user=user, group=user, extra_groups=[]
)
ended = os.pidfd_open(server.pid)
while ended not in select.select([0, ended], [], [])[0]:
    number = os.read(0, 1)
    if not number:
        os.kill(-1, signal.SIGKILL)
        server.wait()
        shutil.rmtree(directory, ignore_errors=True)
        break
    server.send_signal(number[0])
sys.exit(server.wait() & 255)
"""


class ServerError(RuntimeError):
    """The server cannot be had; the message says why."""


class PrivateProgram(ABC):
    """One server, on a port of the loopback.

    Args:
        options: added to the server's command line; they win over the defaults here.
    """

    programs: ClassVar[Mapping[str, str]]
    """What it takes, and Debian's package of each."""
    root: ClassVar[Path] = Path("/")
    """The system whose server it is, such as `debian_root.py` makes; this one by default."""
    system_user: ClassVar[str]
    scheme: ClassVar[str]
    quick_stop: ClassVar[signal.Signals]
    """Ends connections, then the server in good order."""

    def __init__(self, *, options: Sequence[str] = ()) -> None:
        name = f"private-{self.scheme}-{secrets.token_hex(4)}"
        self.directory = Path(tempfile.gettempdir()).resolve() / name
        self.log = self.directory / "server.log"
        self.port = free_port()
        self._options = tuple(options)
        self._holder: subprocess.Popen[bytes] | None = None
        self.is_shared = False

    def __getstate__(self) -> dict[str, Any]:
        """For another process, which may use the server and not stop it."""
        return {**vars(self), "_holder": None, "is_shared": True}

    def __enter__(self) -> Self:
        """Start the server."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the server, whatever happened."""
        self.stop()

    def start(self) -> None:
        """Start the server, or start it again with its data; returns once it answers.

        Raises:
            ServerError: something is missing, or the server ended or did not answer in time.
        """
        if self.is_running:
            return
        try:
            if not self.directory.exists():
                self._make()
            self._run()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End everything at once and remove every trace. May be called at any time, and twice."""
        self._release()
        if self.directory.exists():
            shutil.rmtree(self.directory)

    def terminate(self) -> None:
        """Stop the server in good order; the data stay."""
        self.send_signal(self.quick_stop)
        self._wait()

    def kill(self) -> None:
        """SIGKILL the server and every process of it; the data stay."""
        self.send_signal(signal.SIGKILL)
        self._wait()

    def restart(self) -> None:
        """Stop the server in good order and start it again, on the same port."""
        self.terminate()
        self.start()

    def send_signal(self, number: signal.Signals) -> None:
        """Send the server's main process a signal."""
        if self.is_shared:
            raise ServerError("others use this server too; take one of your own")
        if self._holder is not None and self._holder.stdin is not None:
            with suppress(BrokenPipeError):
                self._holder.stdin.write(bytes([number]))

    @property
    def is_running(self) -> bool:
        """Whether the server runs."""
        return self.is_shared or (self._holder is not None and self._holder.poll() is None)

    @abstractmethod
    def _initialise(self) -> Sequence[str]:
        """The command that makes the data; may first write files that it or the server reads."""

    @abstractmethod
    def _serve(self) -> Sequence[str]:
        """The command that serves it, without the caller's options."""

    @abstractmethod
    def _answers(self) -> bool:
        """Whether it takes connections."""

    def _make(self) -> None:
        if os.geteuid() != 0:
            raise ServerError(f"a private {self.scheme} server is started as root")
        try:
            ensure(self.programs, f"a private {self.scheme} server")
        except PackageError as error:
            raise ServerError(str(error)) from error
        self.directory.mkdir(mode=0o700)
        shutil.chown(self.directory, self.system_user, self.system_user)
        self._hold(self._initialise())
        if status := self._wait():
            raise self._error(f"making its data ended with status {status}")

    def _run(self) -> None:
        self._hold([*self._serve(), *self._options])
        deadline = time.monotonic() + START_TIMEOUT
        while not self._answers():
            if not self.is_running:
                raise self._error(f"it ended with status {self._wait()}")
            if time.monotonic() > deadline:
                raise self._error(f"it did not answer within {START_TIMEOUT:.0f} s")
            time.sleep(0.01)

    def _hold(self, argv: Sequence[str]) -> None:
        self._release()
        into = ["--fork", "--kill-child", "--pid", "--ipc", "--mount", "--"]
        holder = [sys.executable, "-I", "-S", "-c", HOLDER, str(self.root)]
        # MariaDB names its temporary files by its process, and each server is in a namespace of its
        # own where the numbers are the same: in one folder they would take each other's.
        own = dict.fromkeys(("HOME", "TMPDIR"), str(self.directory))
        environment = {**system_environment(*FOREIGN), **own, "LC_ALL": "C.UTF-8"}
        with self.log.open("ab") as log:
            self._holder = subprocess.Popen(
                ["unshare", *into, *holder, str(self.directory), self.system_user, *argv],
                bufsize=0,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,  # an interrupt at the terminal is not for it
            )

    def _wait(self) -> int:
        """Wait for the end of the server, and with it of all that ran under the holder."""
        if self._holder is None:
            return 0
        status = self._holder.wait(STOP_TIMEOUT)
        self._release()
        return status

    def _release(self) -> None:
        """Let the holder end, if it has not."""
        holder, self._holder = self._holder, None
        if holder is not None and holder.stdin is not None:
            holder.stdin.close()
            holder.wait(STOP_TIMEOUT)

    def _error(self, what: str) -> ServerError:
        tail = self.log.read_text(errors="replace").splitlines()[-15:]
        return ServerError("\n".join([f"the private {self.scheme} server: {what}", *tail]))


class PrivateServer(PrivateProgram):
    """One server of databases, with a socket of its own beside the port."""

    driver: ClassVar[str]
    connect_args: ClassVar[Mapping[str, Any]] = {}
    """What else its driver takes."""
    home: ClassVar[str]
    """The administrator's own database."""

    def __init__(self, *, options: Sequence[str] = ()) -> None:
        super().__init__(options=options)
        self.data = self.directory / "data"
        self.administrator = "administrator"
        self.password = secrets.token_hex(8)

    def url(
        self, *, user: str | None = None, password: str | None = None, database: str | None = None
    ) -> str:
        """The URL as users write it; the administrator's and of no special database by default."""
        return self._url(self.scheme, user, password, database).render_as_string(
            hide_password=False
        )

    def execute(self, sql: str, *parameters: Any, database: str | None = None) -> list[Any]:
        """Execute one statement as administrator, which commits itself; the rows it returns."""
        engine = sa.create_engine(
            self._url(f"{self.scheme}+{self.driver}", None, None, database),
            poolclass=sa.NullPool,
            connect_args={**self.connect_args},
            isolation_level="AUTOCOMMIT",
            execution_options={"no_parameters": True},
        )
        with engine.connect() as connection:
            result = connection.exec_driver_sql(sql, parameters)
            return list(result) if result.returns_rows else []

    @property
    def version(self) -> str:
        """The version, as the server says it."""
        return str(self.execute("SELECT version()")[0][0])

    @contextmanager
    def fresh_database(self, options: str = "") -> Iterator[str]:
        """The name of a new, empty database; dropped afterwards, with the server running again.

        Args:
            options: SQL that follows its name.
        """
        name = self.create_database(options)
        try:
            yield name
        finally:
            self.start()
            self.drop_database(name)

    def create_database(self, options: str = "") -> str:
        """Create an empty database; returns its name."""
        name = f"decnet_{secrets.token_hex(4)}"
        self.execute(f"CREATE DATABASE {name} {options}")
        return name

    @abstractmethod
    def drop_database(self, name: str) -> None:
        """Drop a database that may be in use."""

    def _url(
        self, drivername: str, user: str | None, password: str | None, database: str | None
    ) -> sa.URL:
        return sa.URL.create(
            drivername,
            username=user or self.administrator,
            password=self.password if password is None else password,
            host="127.0.0.1",
            port=self.port,
            database=database or self.home,
        )

    def _answers(self) -> bool:
        try:
            self.execute("SELECT 1")
        except sa.exc.DBAPIError:
            return False
        return True


class PrivatePostgres(PrivateServer):
    """PostgreSQL, with ICU's collations, in a C locale by default.

    Args:
        options: added to the command line, such as ``-c wal_level=logical``.
        primary: makes this a standby that follows it, on a copy of its data.
    """

    programs: ClassVar[Mapping[str, str]] = {
        f"/usr/lib/postgresql/*/bin/{name}": "postgresql"
        for name in ("initdb", "postgres", "pg_basebackup")
    }
    system_user = "postgres"
    scheme = "postgresql"
    driver = "psycopg"
    home = "postgres"
    quick_stop = signal.SIGINT

    def __init__(
        self, *, options: Sequence[str] = (), primary: PrivatePostgres | None = None
    ) -> None:
        super().__init__(options=options)
        self._primary = primary
        if primary is not None:
            self.password = primary.password

    def _initialise(self) -> Sequence[str]:
        if self._primary is not None:
            return (
                *(self._program("pg_basebackup"), "--pgdata", str(self.data)),
                "--write-recovery-conf",
                *("--dbname", self._primary.url(), "--checkpoint=fast", "--no-sync"),
            )
        secret = self.directory / "password"
        secret.write_text(self.password)
        shutil.chown(secret, self.system_user)
        return (
            *(self._program("initdb"), "--pgdata", str(self.data), "--encoding=UTF8"),
            *("--username", self.administrator, "--pwfile", str(secret)),
            *("--locale=C.UTF-8", "--auth=scram-sha-256", "--no-sync"),
        )

    def _serve(self) -> Sequence[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": self.directory,
            "fsync": "off",
            "full_page_writes": "off",
            "wal_level": "logical",  # for subscriptions
            "max_connections": 300,
        }
        options = (option for item in settings.items() for option in ("-c", "{}={}".format(*item)))
        return (self._program("postgres"), "-D", str(self.data), *options)

    def drop_database(self, name: str) -> None:
        self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _program(self, name: str) -> str:
        found = which(str(self.root / f"usr/lib/postgresql/*/bin/{name}"))
        return f"/{Path(found).relative_to(self.root)}" if found else name


class PrivateMariaDB(PrivateServer):
    """MariaDB, with a binary log in ROW format and a server id of its own."""

    programs: ClassVar[Mapping[str, str]] = {
        "mariadbd": "mariadb-server",
        "mariadb-install-db": "mariadb-server",
    }
    system_user = "mysql"
    scheme = "mysql"
    driver = "pymysql"
    connect_args = AT_ONCE
    home = ""
    quick_stop = signal.SIGTERM
    idle: ClassVar[str] = "time_ms"
    """In its list of processes, the milliseconds for which one has done nothing."""

    def follow(self, primary: PrivateMariaDB, name: str = "") -> None:
        """Give it a source, by a connection of this name; it does not start to replicate."""
        self.execute(
            f"CHANGE MASTER '{name}' TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {primary.port},"
            f" MASTER_USER = '{primary.administrator}', MASTER_PASSWORD = '{primary.password}',"
            " MASTER_USE_GTID = slave_pos"
        )

    def _initialise(self) -> Sequence[str]:
        (self.directory / "init.sql").write_text(
            "SET SESSION sql_log_bin = 0;\n"
            f"CREATE USER IF NOT EXISTS {self.administrator} IDENTIFIED BY '{self.password}';\n"
            f"GRANT ALL ON *.* TO {self.administrator} WITH GRANT OPTION;\n"
        )
        shutil.chown(self.directory / "init.sql", self.system_user)
        # root has no password there: only root itself is let in, and only through the socket.
        return (
            *("mariadb-install-db", "--no-defaults", f"--datadir={self.data}"),
            *("--auth-root-authentication-method=socket", "--skip-test-db"),
        )

    def _serve(self) -> Sequence[str]:
        return (
            *("mariadbd", "--no-defaults", f"--datadir={self.data}", f"--tmpdir={self.directory}"),
            *("--bind-address=127.0.0.1", f"--port={self.port}", "--skip-name-resolve"),
            *(f"--socket={self.directory / 'server.sock'}", f"--pid-file={self.directory / 'pid'}"),
            *(f"--init-file={self.directory / 'init.sql'}", "--innodb-flush-log-at-trx-commit=2"),
            *("--character-set-server=utf8mb4", "--collation-server=utf8mb4_unicode_ci"),
            *("--log-bin=binlog", "--binlog-format=ROW", f"--server-id={self.port}"),
            "--innodb-buffer-pool-size=64M",
        )

    def drop_database(self, name: str) -> None:
        self.execute(f"DROP DATABASE {name}")


class PrivateMySQL(PrivateMariaDB):
    """MySQL in MariaDB's place, from another system: this one has none."""

    idle = "time * 1000"

    def follow(self, primary: PrivateMariaDB, name: str = "") -> None:
        self.execute(
            f"CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = {primary.port},"
            f" SOURCE_USER = '{primary.administrator}', SOURCE_PASSWORD = '{primary.password}',"
            f" GET_SOURCE_PUBLIC_KEY = 1 FOR CHANNEL '{name}'"
        )

    def _initialise(self) -> Sequence[str]:
        super()._initialise()
        return ("mysqld", "--no-defaults", f"--datadir={self.data}", "--initialize-insecure")

    def _serve(self) -> Sequence[str]:
        _, *options = super()._serve()
        return ("mysqld", *options, "--mysqlx=OFF", "--secure-file-priv=NULL")


class PrivateGalera(PrivateMariaDB):
    """A node of a Galera cluster of MariaDB.

    Args:
        peer: makes this a node of its cluster; it must have replicated nothing yet that lasts.
    """

    programs: ClassVar[Mapping[str, str]] = {
        **PrivateMariaDB.programs,
        "/usr/lib/galera/libgalera_smm.so": "galera-4",
    }

    def __init__(self, *, peer: PrivateGalera | None = None) -> None:
        super().__init__()
        self._peer = peer
        self._cluster_port = free_port()
        if peer is not None:
            self.password = peer.password

    def _serve(self) -> Sequence[str]:
        ports = {
            "gmcast.listen_addr": f"tcp://127.0.0.1:{self._cluster_port}",
            "ist.recv_addr": f"127.0.0.1:{free_port()}",
        }
        provider = ";".join(f"{name}={value}" for name, value in ports.items())
        return (
            *(*super()._serve(), "--wsrep-on=ON", "--innodb-autoinc-lock-mode=2"),
            *("--wsrep-provider=/usr/lib/galera/libgalera_smm.so", *self._join()),
            *("--wsrep-node-address=127.0.0.1", f"--wsrep-provider-options={provider}"),
            # Newer ones have a plug-in, with a variable for each of these instead of one for all.
            "--loose-plugin-wsrep-provider=OFF",
        )

    def _join(self) -> Sequence[str]:
        """The options that make a cluster, or lead to the peer's.

        No copy of its data is taken, for they are alike when both are new: this says that it has
        them up to now, and is sent what follows.
        """
        if self._peer is None:
            return ("--wsrep-cluster-address=gcomm://", "--wsrep-new-cluster")
        status = dict(self._peer.execute("SHOW GLOBAL STATUS LIKE 'wsrep%'"))
        cluster, position = status["wsrep_local_state_uuid"], status["wsrep_last_committed"]
        saved = self.data / "grastate.dat"
        saved.write_text(f"version: 2.1\nuuid: {cluster}\nseqno: {position}\n")
        shutil.chown(saved, self.system_user)
        return (f"--wsrep-cluster-address=gcomm://127.0.0.1:{self._peer._cluster_port}",)


class PrivateNats(PrivateProgram):
    """A NATS broker, to which anybody may say anything unless it is configured otherwise.

    Args:
        configuration: in its own language, beside the address.
    """

    programs: ClassVar[Mapping[str, str]] = {"nats-server": "nats-server"}
    system_user = "nats"
    scheme = "nats"
    quick_stop = signal.SIGTERM

    def __init__(self, configuration: str = "") -> None:
        super().__init__()
        self._configuration = configuration

    @property
    def address(self) -> str:
        """Its host and port."""
        return f"127.0.0.1:{self.port}"

    def url(self, name: str, *, host: str = "") -> str:
        """The URL of a database behind the relays of this name, for the host of that one."""
        return f"nats://{self.address}/{name}" + (f"?host={host}" if host else "")

    def reload(self, configuration: str) -> None:
        """Take another configuration, as an administrator has it done."""
        self._configure(configuration)
        self.send_signal(signal.SIGHUP)

    def _initialise(self) -> Sequence[str]:
        self._configure(self._configuration)
        return ("true",)

    def _configure(self, configuration: str) -> None:
        file = self.directory / "nats.conf"
        file.write_text(f"listen: {self.address}\n{configuration}")
        shutil.chown(file, self.system_user)

    def _serve(self) -> Sequence[str]:
        return ("nats-server", "--config", str(self.directory / "nats.conf"))

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1.0) as tried:
            return tried.recv(4) == b"INFO"
        return False


def free_port() -> int:
    """A port that is free now; not one of those that outgoing connections are given."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as tried, suppress(OSError):
            tried.bind(("127.0.0.1", port))
            return port
