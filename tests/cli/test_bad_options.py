"""Words, options, variables and files that cannot be used: status 2 and one sentence."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

import pytest
from debian_packages import ensure

from tests.cli.command import Command, call

URL = "sqlite:////none/decnet.db"
DATABASE = ("--database-url", URL)
SECRET_URL = "oracle://decnet:s3cret@db.example/decnet"

BAD_VALUES = {
    "--database-url": [
        SECRET_URL,
        "oracle+nonsense://decnet:s3cret@db.example/decnet",
        "sqlite+nonsense:////none/decnet.db",
        "http://decnet:s3cret@db.example:port/decnet",
        "decnet:s3cret@db.example",
        "://s3cret",
        "s3cret",
        "/none/decnet.db",
        "",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite:///file:decnet.db?mode=rwc&uri=true",
        "sqlite://none/decnet.db",
        "sqlite://decnet:s3cret@none/decnet.db",
    ],
    "--docker-host": ["nonsense", "ftp://x", "/run/docker.sock", "tcp://", "tcp://x:99999", " "],
    "--workers": ["0", "-1", "65", "1.5", "many", ""],
    "--feed": ["loud", ""],
    "--http": ["9464", ":9464", "localhost", "::1:9464", "localhost:99999", "http://x:1", ""],
    "--log-level": ["loud", ""],
    "--log-format": ["xml", ""],
}
INTERVALS = {"--poll-interval": "0", "--sweep-interval": "0", "--grace": "", "--timeout": ""}
"""With one more value that does not do: zero where it would mean all the time."""
BAD_SECONDS = ["-1", "-0.001", "nan", "inf", "-inf", "1e300", "soon", "5 s"]


@pytest.mark.parametrize("option", BAD_VALUES)
def test_value(command: Command, option: str) -> None:
    first = () if option == "--database-url" else DATABASE
    values = BAD_VALUES[option]
    calls = [call("sweep", *first, option, value) for value in values]
    calls.append(call("run", *first, option, values[0]))
    command.refuse(2, *calls, names=f"{option}: ")


@pytest.mark.parametrize("option", INTERVALS)
def test_interval(command: Command, option: str) -> None:
    calls = [call("sweep", *DATABASE, option, bad) for bad in [*BAD_SECONDS, INTERVALS[option]]]
    command.refuse(2, *calls, call("run", *DATABASE, option, -1), names=f"{option}: ")


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
    (["run", *DATABASE, "--nope"], "--nope"),
    (["run", *DATABASE, "--json"], "--json"),
    (["explain", *DATABASE], "PREFIX"),
    (["doctor", *DATABASE, "--feed", "loud"], "--feed: "),
    (["doctor", *DATABASE, "more"], "more"),
    (["feed", "nope"], "nope"),
    (["sweep", "--database-url"], "--database-url"),
    (["sweep", *DATABASE, "--json=3"], "--json"),
    (["run", *DATABASE, "more"], "more"),
    (["demo", "--nope"], "--nope"),
    (["demo", "--docker-host", "nonsense"], "--docker-host: "),
    (["demo", "more"], "more"),
    (["init-db"], "PATH"),
    (["init-db", "a", "b"], "b"),
    (["--nope"], "--nope"),
    (["nope"], "nope"),
    (["sweep", *DATABASE, "--prefix", "zz"], "--prefix: "),
    (["sweep", *DATABASE, "--prefix", "ABCDEF12"], "--prefix: "),
    (["sweep", *DATABASE, "--prefix", "123456789"], "--prefix: "),
    (["sweep", *DATABASE, "--prefix", "12345678", "--prefix", ""], "--prefix: "),
]


def test_usage(command: Command) -> None:
    command.refuse(2, *[call(*words, names=[name]) for words, name in USAGE])


def test_confirm_that_fits_nothing(command: Command, database: str, engine: str) -> None:
    options = ("--database-url", database, "--docker-host", engine, "--confirm", "abc")
    command.refuse(2, call("sweep", *options), names=["--confirm: ", "nothing is held"])


VARIABLES = {
    "REAPER_DOCKER_HOST": "nonsense",
    "DOCKER_HOST": "nonsense",
    "REAPER_FEED": "loud",
    "REAPER_POLL_INTERVAL": "0",
    "REAPER_SWEEP_INTERVAL": "soon",
    "REAPER_GRACE": "-1",
    "REAPER_KEEP_VOLUMES": "perhaps",
    "REAPER_POLICY": "perhaps",
    "REAPER_DELAY": "later",
    "REAPER_DRY_RUN": "perhaps",
    "REAPER_ALLOW_REPLICA": "perhaps",
    "REAPER_WORKERS": "65",
    "REAPER_TIMEOUT": "nan",
    "REAPER_HTTP": "9464",
    "REAPER_LOG_LEVEL": "loud",
    "REAPER_LOG_FORMAT": "xml",
}


def test_variables(command: Command) -> None:
    calls = [
        call(which, env={"REAPER_DATABASE_URL": URL, variable: value}, names=[variable])
        for (variable, value), which in zip(
            VARIABLES.items(), cycle(["sweep", "run"]), strict=False
        )
    ]
    command.refuse(2, *calls)
    command.refuse(2, call("run", env={"REAPER_DATABASE_URL": SECRET_URL}))


FILES: dict[str, tuple[bytes, Sequence[str]]] = {
    "syntax": (b"feed = = 3\n", ["--config: ", "line 1"]),
    "not UTF-8": (b"feed = '\xe9'\n", ["--config: "]),
    "misspelt": (b"sweep_intervall = 3\n", ["sweep_intervall", "did you mean sweep_interval?"]),
    "dashes": (b"sweep-interval = 3\n", ["sweep-interval", "did you mean sweep_interval?"]),
    "unknown": (b"zzz = 3\n", ["zzz", "sweep_interval"]),
    "table": (b"[run]\nfeed = 'poll'\n", ["run"]),
    "interval is true": (b"sweep_interval = true\n", ["sweep_interval in "]),
    "interval is a list": (b"grace = [1]\n", ["grace in "]),
    "interval is infinite": (b"grace = inf\n", ["grace in "]),
    "count is true": (b"workers = true\n", ["workers in "]),
    "count is broken": (b"workers = 1.5\n", ["workers in "]),
    "switch is a word": (b"keep_volumes = 'perhaps'\n", ["keep_volumes in "]),
    "switch is a number": (b"keep_volumes = 2\n", ["keep_volumes in "]),
    "choice is a list": (b"log_level = ['INFO']\n", ["log_level in "]),
    "address is a number": (b"docker_host = 3\n", ["docker_host in "]),
    "address is a list": (b"docker_host = ['unix:///x']\n", ["docker_host in "]),
    "place to serve at is a number": (b"http = 9464\n", ["http in "]),
    "URL is a number": (b"database_url = 3\n", ["database_url in "]),
    "URLs are numbers": (b"database_url = [3]\n", ["database_url in "]),
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


def test_toml_file_that_cannot_be_read(command: Command) -> None:
    (command.folder / "closed.toml").write_text("feed = 'poll'\n")
    (command.folder / "closed.toml").chmod(0)
    command.refuse(
        2,
        call("sweep", *DATABASE, "--config", "none.toml"),
        call("run", *DATABASE, "--config", "none.toml"),
        call("sweep", *DATABASE, env={"REAPER_CONFIG": "none.toml"}),
        names=["--config", "none.toml"],
    )
    command.refuse(2, call("run", *DATABASE, "--config", "."), names="--config")
    closed = call("sweep", *DATABASE, "--config", "closed.toml", confined=True)
    command.refuse(2, closed, names=["--config", "closed.toml"])


def test_command_line_wins_over_variable_and_variable_over_file(command: Command) -> None:
    (command.folder / "reaper.toml").write_text(f"database_url = {URL!r}\nworkers = 'file'\n")
    file = ("--config", "reaper.toml")
    env = {"REAPER_WORKERS": "variable"}
    command.refuse(2, call("run", *file), names="'file'")
    command.refuse(2, call("run", *file, env=env), names="'variable'")
    command.refuse(2, call("run", *file, "--workers", "flag", env=env), names="'flag'")


def test_certificates_that_are_missing(command: Command) -> None:
    tcp = (*DATABASE, "--docker-host", "tcp://127.0.0.1:1")
    verify = {"DOCKER_TLS_VERIFY": "1"}
    command.refuse(
        2,
        call("sweep", *tcp, env=verify),
        call("sweep", *tcp, env=verify | {"HOME": "/none"}),
        call("sweep", *tcp, env=verify | {"DOCKER_CERT_PATH": str(command.folder)}),
        call("run", *tcp, env={"DOCKER_CERT_PATH": "/none"}),
        call("demo", env=verify | {"DOCKER_HOST": "tcp://127.0.0.1:1"}),
        call("sweep", *tcp, env=verify, stranger=True),
        names="DOCKER_CERT_PATH",
    )


def test_certificates_that_are_none(command: Command) -> None:
    for name in ("ca.pem", "cert.pem", "key.pem"):
        (command.folder / name).write_text("rubbish")
    env = {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(command.folder)}
    tcp = ("--docker-host", "tcp://127.0.0.1:1")
    command.refuse(2, call("sweep", *DATABASE, *tcp, env=env), names="DOCKER_CERT_PATH")


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
        call("run", *DATABASE, "--workers", url),
        call("run", *DATABASE, "--grace", url),
        call("sweep", *DATABASE, "--prefix", url),
        call("sweep", *DATABASE, "--config", url),
        call("sweep", url),
        call(url),
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
