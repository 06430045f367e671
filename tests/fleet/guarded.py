"""The broker as contrib/nats sets it up, and somebody who speaks to it by hand.

Whoever was given a host's password is not bound to any client, so here is none: what is said is
said byte by byte. The broker does what a connection asks in its order, so what it refused, and what
it delivered to others, has been said and delivered when it answers the next ``PING``.
"""

from __future__ import annotations

import json
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from typing import ClassVar, NamedTuple
from urllib.parse import urlsplit

from debian_packages import system_environment

from tests.documentation.pages import TREE
from tests.support.process import PATIENCE, eventually
from tests.support.servers import PrivateNats

NAME = "decnet"
RELAY = ("relay-answers", "relay-announces")
FOLDER = TREE / "contrib" / "nats"
KEY = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc -days 2"


class GuardedNats(PrivateNats):
    """A broker with the configuration that contrib/nats has, which lets in the relays and hosts.

    Args:
        hosts: who may connect from the beginning.
    """

    programs: ClassVar[Mapping[str, str]] = {
        **PrivateNats.programs,
        "openssl": "openssl",
        "mkpasswd": "whois",
    }

    def __init__(self, *hosts: str) -> None:
        super().__init__()
        self._hosts = hosts
        self.urls: dict[str, str] = {}
        """By user, as contrib/nats/users has printed them; a user's last one."""
        text = (FOLDER / "nats-server.conf").read_text()
        text = re.sub(r"^listen:.*", "", text, flags=re.MULTILINE)  # it has a port of its own
        text = text.replace("/etc/nats/", f"{self.directory}/")
        self._configuration = text.replace("nats/users.conf", "users.conf")

    @property
    def authority(self) -> str:
        """The file with the certificate of whoever has signed the broker's."""
        return f"{self.directory}/ca.pem"

    def users(self, *arguments: str) -> None:
        """Run contrib/nats/users."""
        own = {"USERS": f"{self.directory}/users.conf", "NAME": NAME, "BROKER": self.address}
        own["CA"] = self.authority
        command = [str(FOLDER / "users"), *arguments]
        printed = subprocess.run(
            command, env={**system_environment(), **own}, check=True, capture_output=True, text=True
        )
        for url in re.findall(r"tls://[^\s\"]+", printed.stdout):
            self.urls[url.partition("://")[2].partition(":")[0]] = url

    def take_users(self) -> None:
        """Have it read its users anew."""
        self.reload(self._configuration)

    def _initialise(self) -> Sequence[str]:
        ends = f"-addext subjectAltName=IP:127.0.0.1 -keyout {self.directory}/server.key"
        authority = f"{self.authority} -CAkey {self.directory}/ca.key"
        for line in (
            f"{KEY} -subj /CN=authority -keyout {self.directory}/ca.key -out {self.authority}",
            f"{KEY} -subj /CN=broker -CA {authority} {ends} -out {self.directory}/server.pem",
        ):
            subprocess.run(f"openssl req -x509 {line}".split(), check=True, capture_output=True)
        (self.directory / "users.conf").touch()
        for file in self.directory.iterdir():
            shutil.chown(file, self.system_user)
        self.users("relay")
        self.users("add", *self._hosts)
        return super()._initialise()


class Heard(NamedTuple):
    """A message."""

    subject: str
    data: bytes


class Refused(Exception):
    """The broker does not let this user in, or has put it out."""


class Speaker(AbstractContextManager["Speaker"]):
    """A connection to a broker.

    Args:
        url: of the user, as contrib/nats/users prints it.
        source: the address that it is made from.

    Raises:
        Refused: it is not let in.
    """

    def __init__(self, url: str, source: str = "127.0.0.1") -> None:
        self.errors: list[str] = []
        self.heard: list[Heard] = []
        self._subscriptions = 0
        at = urlsplit(url)
        where = str(at.hostname), at.port or 4222
        self._socket = socket.create_connection(where, PATIENCE, (source, 0))
        while not self._socket.recv(1).endswith(b"\n"):  # the rest of that line is encrypted
            pass
        context = ssl.create_default_context(cafile=at.query.removeprefix("sslrootcert="))
        self._socket = context.wrap_socket(self._socket, server_hostname=where[0])
        self._lines = self._socket.makefile("rb")
        known = {"user": at.username, "pass": at.password, "headers": True, "no_responders": True}
        self.say(f"CONNECT {json.dumps({**known, 'verbose': False, 'pedantic': False})}")
        try:
            self.fence()
        except Refused:
            self.__exit__()
            raise

    def publish(self, subject: str, data: bytes = b"", reply: str = "") -> None:
        """Say something there."""
        self.say(f"PUB {subject} {reply} {len(data)}", data)

    def subscribe(self, *subjects: str, queue: str = "") -> None:
        """Ask to hear what is said there."""
        for subject in subjects:
            self._subscriptions += 1
            self.say(f"SUB {subject} {queue} {self._subscriptions}")

    def say(self, line: str, data: bytes | None = None) -> None:
        """Say this."""
        end = b"" if data is None else data + b"\r\n"
        with suppress(ConnectionError, ssl.SSLError):  # why, is read
            self._socket.sendall(line.encode() + b"\r\n" + end)

    def fence(self) -> None:
        """Wait until the broker has done all that, and hear what was said before.

        Raises:
            Refused: it has ended the connection.
        """
        self.say("PING")
        while True:
            try:
                line = self._lines.readline().decode().split()
            except (ConnectionError, ssl.SSLError):
                line = []
            match line:
                case []:
                    raise Refused(self.errors)
                case ["PONG"]:
                    return
                case ["PING"]:
                    self.say("PONG")
                case ["-ERR", *words]:
                    self.errors.append(" ".join(words).strip("'"))
                case ["MSG" | "HMSG", subject, *_, size]:
                    self.heard.append(Heard(subject, self._lines.read(int(size) + 2)[:-2]))

    def await_end(self) -> str:
        """Wait until the broker has ended the connection; returns why."""

        def is_ended() -> bool:
            try:
                self.fence()
            except Refused:
                return True
            return False

        eventually(is_ended, "the broker ends it")
        return ", ".join(self.errors)

    def __exit__(self, *_: object) -> None:
        self._lines.close()
        self._socket.close()
