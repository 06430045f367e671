"""Words, options, variables and files that cannot be used: status 2 and one sentence."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from debian_packages import ensure

from tests.cli.command import Command, call
from tests.support import contexts

URL = "sqlite:////none/decnet.db"
DATABASE = ("--database-url", URL)
SECRET_URL = "oracle://decnet:s3cret@db.example/decnet"

BAD_URLS = [
    SECRET_URL,
    "sqlite+nonsense:////none/decnet.db",
    "http://decnet:s3cret@db.example:port/decnet",
    "://s3cret",
    "/none/decnet.db",
    "",
    "sqlite:///:memory:",
    "sqlite:///file:decnet.db?mode=memory&uri=true",
    "sqlite://decnet:s3cret@none/decnet.db",
]


def test_a_url_that_cannot_be_used(command: Command) -> None:
    calls = [call("sweep", "--database-url", url) for url in BAD_URLS]
    command.refuse(2, *calls, names="--database-url: ")


@pytest.mark.parametrize("which", ["sweep", "run"])
def test_a_value_is_refused_by_the_name_of_its_place(command: Command, which: str) -> None:
    """What each option does not take is in tests/unit/test_settings.py."""
    (command.folder / "reaper.toml").write_text("workers = 1.5\n")
    command.refuse(
        2,
        call(which, *DATABASE, "--workers", 65, names=["--workers: "]),
        call(which, *DATABASE, env={"REAPER_WORKERS": "65"}, names=["REAPER_WORKERS"]),
        call(which, *DATABASE, env={"DOCKER_HOST": "nonsense"}, names=["DOCKER_HOST"]),
        call(which, *DATABASE, "--config", "reaper.toml", names=["workers in "]),
    )


def test_a_relay_without_one_database_and_one_broker(command: Command) -> None:
    broker = ("--nats", "nats://decnet:s3cret@broker.example")
    command.refuse(
        2,
        call("relay", *broker, names=["--database-url: "]),
        call("relay", *DATABASE, "--database-url", "sqlite:////b", *broker, names=["one database"]),
        call("relay", "--database-url", broker[1], *broker, names=["--database-url: "]),
        call("relay", *DATABASE, names=["--nats: "]),
        call("relay", *DATABASE, "--nats", "http://decnet:s3cret@broker", names=["--nats: "]),
        call("relay", *DATABASE, "--nats", "nats://broker:0", names=["--nats: "]),
        call("relay", *DATABASE, "--nats", "nats://broker/lab", names=["--nats: ", "--name"]),
        call("relay", *DATABASE, *broker, "--nats-announce", "x", names=["--nats-announce: "]),
        call("relay", *DATABASE, *broker, "--name", "a.b", names=["--name: "]),
    )


@pytest.mark.parametrize("which", ["sweep", "run"])
def test_a_database_is_never_guessed_and_none_is_given_twice(command: Command, which: str) -> None:
    calls = [
        call(which),
        call(which, env={"REAPER_DATABASE_URL": "", "DECNET_DB_TYPE": "sqlite"}),
        call(which, *DATABASE, *DATABASE),
        call(which, env={"REAPER_DATABASE_URL": f"{URL} {URL}"}),
    ]
    command.refuse(2, *calls, names="--database-url: ")


USAGE: list[tuple[Sequence[str], str]] = [
    (["sweep", *DATABASE, "--nope"], "--nope"),
    (["run", *DATABASE, "--json"], "--json"),
    (["explain", *DATABASE], "PREFIX"),
    (["doctor", *DATABASE, "more"], "more"),
    (["feed", "nope"], "nope"),
    (["sweep", "--database-url"], "--database-url"),
    (["demo", "--docker-host", "nonsense"], "--docker-host: "),
    (["init-db"], "PATH"),
    (["--nope"], "--nope"),
    (["nope"], "nope"),
    (["sweep", *DATABASE, "--prefix", "ABCDEF12"], "--prefix: "),
    (["sweep", *DATABASE, "--prefix", "12345678", "--prefix", ""], "--prefix: "),
]


def test_usage(command: Command) -> None:
    command.refuse(2, *[call(*words, names=[name]) for words, name in USAGE])


def test_confirm_that_fits_nothing(command: Command, database: str, engine: str) -> None:
    options = ("--database-url", database, "--docker-host", engine, "--confirm", "abc")
    command.refuse(2, call("sweep", *options), names=["--confirm: ", "nothing is held"])


FILES: dict[str, tuple[bytes, Sequence[str]]] = {
    "syntax": (b"feed = = 3\n", ["--config: ", "line 1"]),
    "not UTF-8": (b"feed = '\xe9'\n", ["--config: "]),
    "misspelt": (b"sweep_intervall = 3\n", ["sweep_intervall", "did you mean sweep_interval?"]),
    "table": (b"[run]\nfeed = 'poll'\n", ["run"]),
    "one twice": (b"database_url = ['sqlite:////a', 'sqlite:////a']\n", ["--database-url: "]),
    "secret": (b"database_url = 'oracle://decnet:s3cret@db/decnet'\n", ["--database-url: "]),
}


def test_toml_file(command: Command) -> None:
    calls = []
    for case, (content, names) in FILES.items():
        (command.folder / f"{case}.toml").write_bytes(content)
        # What the file gives besides a database must not be hidden by the want of one.
        env = {} if b"database_url" in content else {"REAPER_DATABASE_URL": URL}
        calls.append(call("sweep", "--config", f"{case}.toml", env=env, names=names))
    command.refuse(2, *calls)


@pytest.mark.parametrize("which", ["sweep", "run"])
def test_decnets_own_file(command: Command, which: str) -> None:
    """What else it can hold is in tests/unit/test_decnet_config.py."""
    (command.folder / "sqlite.ini").write_text("[database]\ntype = sqlite\n")
    (command.folder / "port.ini").write_text("[database]\ntype = mysql\nport = many\n")
    command.refuse(
        2,
        call(which, "--decnet-config", "none.ini", names=["none.ini cannot be read"]),
        call(which, "--decnet-config", "sqlite.ini", names=["sqlite:////opt/decnet/decnet.db"]),
        call(which, env={"REAPER_DECNET_CONFIG": "port.ini"}, names=["port.ini", "is not a port"]),
        names="--decnet-config: ",
    )


def test_toml_file_that_cannot_be_read(command: Command) -> None:
    (command.folder / "closed.toml").write_text("feed = 'poll'\n")
    (command.folder / "closed.toml").chmod(0)
    command.refuse(
        2,
        call("sweep", *DATABASE, "--config", "none.toml"),
        call("sweep", *DATABASE, env={"REAPER_CONFIG": "none.toml"}),
        names=["--config", "none.toml"],
    )
    command.refuse(2, call("run", *DATABASE, "--config", "."), names="--config")
    closed = call("sweep", *DATABASE, "--config", "closed.toml", confined=True)
    command.refuse(2, closed, names=["--config", "closed.toml"])


def test_a_context_that_cannot_be_used(command: Command) -> None:
    folder, broken = command.folder / "docker", command.folder / "broken"
    contexts.create(folder, "remote", "ssh://decnet@edge-7")
    contexts.create(folder, "pipe", "npipe:////./pipe/docker_engine")
    contexts.create(folder, "url", SECRET_URL)
    contexts.use(folder, "gone")
    broken.mkdir()
    (broken / "config.json").write_text("{")
    env = {"DOCKER_CONFIG": str(folder)}
    given = ("--docker-context", "remote")
    command.refuse(
        2,
        call("sweep", *DATABASE, env=env, names=["no context 'gone'", "--docker-host"]),
        call("run", *DATABASE, env=env, names=["no context 'gone'", "--docker-host"]),
        call("sweep", *DATABASE, *given, env=env, names=["edge-7", "ssh -L"]),
        call("demo", *given, env=env, names=["edge-7", "ssh -L"]),
        call("explain", "x", *DATABASE, *given, env=env, names=["ssh://", "ssh -L"]),
        call("sweep", *DATABASE, env={**env, "DOCKER_CONTEXT": "pipe"}, names=["npipe", "'pipe'"]),
        call("sweep", *DATABASE, env={**env, "DOCKER_CONTEXT": "url"}, names=["'url'"]),
        call("sweep", *DATABASE, "--docker-context", "\udcff", env=env, names=["no context"]),
        call("run", *DATABASE, *given, "--docker-host", "tcp://h:1", env=env, names=["give one"]),
        call("sweep", *DATABASE, env={"DOCKER_CONFIG": str(broken)}, names=["config.json", "mend"]),
        names="--docker-context: ",
    )


def test_certificates_that_are_missing(command: Command) -> None:
    tcp = (*DATABASE, "--docker-host", "tcp://127.0.0.1:1")
    verify = {"DOCKER_TLS_VERIFY": "1"}
    command.refuse(
        2,
        call("sweep", *tcp, env=verify),
        call("sweep", *tcp, env=verify | {"DOCKER_CERT_PATH": str(command.folder)}),
        call("demo", env=verify | {"DOCKER_HOST": "tcp://127.0.0.1:1"}),
        call("sweep", *tcp, env=verify, stranger=True),
        names="DOCKER_CERT_PATH",
    )


def test_a_key_under_a_passphrase_is_refused_and_nobody_is_asked_for_it(command: Command) -> None:
    ensure({"openssl": "openssl"}, "a certificate")
    request = "req -newkey rsa:2048 -x509 -subj /CN=x -passout pass:secret"
    files = "-keyout key.pem -out cert.pem"
    arguments = ["openssl", *request.split(), *files.split()]
    subprocess.run(arguments, cwd=command.folder, check=True, capture_output=True)
    shutil.copy(command.folder / "cert.pem", command.folder / "ca.pem")
    env = {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(command.folder)}
    tcp = ("--docker-host", "tcp://127.0.0.1:1")
    command.refuse(2, call("sweep", *DATABASE, *tcp, env=env), names="DOCKER_CERT_PATH")


def test_password_in_the_wrong_place_is_not_shown(command: Command) -> None:
    url = SECRET_URL
    (command.folder / "reaper.toml").write_text(f"docker_host = {url!r}\n")
    calls = [
        call("sweep", *DATABASE, "--docker-host", url),
        call("sweep", *DATABASE, "--config", "reaper.toml"),
        call("run", *DATABASE, env={"DOCKER_HOST": url}),
        call("demo", "--docker-host", "tcp://decnet:s3cret@127.0.0.1"),
        call("sweep", *DATABASE, "--feed", url),
        call("run", *DATABASE, "--grace", url),
        call("sweep", *DATABASE, "--prefix", url),
        call("sweep", url),
        call("init-db", url),
    ]
    command.refuse(2, *calls)


def test_init_db_spares_what_is_there_and_makes_no_folder(command: Command) -> None:
    (command.folder / "text").write_text("precious")
    closed = command.folder / "closed"
    closed.mkdir(mode=0)
    paths = ("text", ".", "none/decnet.db", "text/decnet.db")
    command.refuse(2, *[call("init-db", path, names=[path]) for path in paths])
    denied = call("init-db", "closed/decnet.db", confined=True)
    command.refuse(2, denied, names="closed/decnet.db")
    closed.chmod(0o700)
    assert (command.folder / "text").read_text() == "precious"
    assert Path(command.folder, "none").exists() is False
