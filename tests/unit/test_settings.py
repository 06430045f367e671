"""Every option from every place, and what is said of a value that cannot be used."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listener.errors import ConfigurationError
from listener.settings import Settings
from listener.settings.option import flag_of

# By option: three values as text, and what they are read as.
OPTIONS: dict[str, list[tuple[str, object]]] = {
    "database_url": [(f"sqlite:////{n}.db", (f"sqlite:////{n}.db",)) for n in "abc"],
    "database_url_file": [(f"/run/secrets/{n}", f"/run/secrets/{n}") for n in "abc"],
    "nats_credentials": [(f"/etc/{n}.creds", f"/etc/{n}.creds") for n in "abc"],
    "decnet_config": [(f"/etc/{n}.ini", f"/etc/{n}.ini") for n in "abc"],
    "docker_host": [(f"unix:///run/{n}.sock", f"unix:///run/{n}.sock") for n in "abc"],
    "docker_context": [(n, n) for n in "abc"],
    "docker_timeout": [("0.5", 0.5), ("2", 2.0), ("3e1", 30.0)],
    "feed": [("push", "push"), ("poll", "poll"), ("AUTO", "auto")],
    "poll_interval": [("0.5", 0.5), ("2", 2.0), ("3e1", 30.0)],
    "sweep_interval": [("0.5", 0.5), ("2", 2.0), ("3e1", 30.0)],
    "grace": [("0", 0.0), ("2", 2.0), ("3e1", 30.0)],
    "policy": [("absent", "absent"), ("witnessed", "witnessed"), ("Witnessed", "witnessed")],
    "delay": [("0", 0.0), ("2", 2.0), ("3e1", 30.0)],
    "reap_torn_down": [("10", 10.0), ("off", 0.0), ("3e2", 300.0)],
    "dry_run": [("true", True), ("no", False), ("ON", True)],
    "state_dir": [(f"/var/lib/{n}", f"/var/lib/{n}") for n in "abc"],
    "allow_replica": [("true", True), ("no", False), ("ON", True)],
    "keep_volumes": [("true", True), ("no", False), ("ON", True)],
    "images": [("true", True), ("no", False), ("ON", True)],
    "workers": [("1", 1), ("64", 64), ("7", 7)],
    "timeout": [("0", 0.0), ("2", 2.0), ("3e1", 30.0)],
    "unhealthy_after": [("0", 0.0), ("2", 2.0), ("3e1", 30.0)],
    "http": [("[::1]:0", "[::1]:0"), ("edge-7.lan:80", "edge-7.lan:80"), ("OFF", "off")],
    "nats": [(f"nats://{n}", f"nats://{n}") for n in "abc"],
    "nats_announce": [(f"nats://{n}", f"nats://{n}") for n in "abc"],
    "name": [("lab", "lab"), ("Lab_2", "Lab_2"), ("a-b", "a-b")],
    "log_level": [("debug", "DEBUG"), ("ERROR", "ERROR"), ("Warning", "WARNING")],
    "log_format": [("json", "json"), ("text", "text"), ("JSON", "json")],
}
# By option: what it must not take.
SECONDS: list[object] = ["-1", "soon", "", "nan", "inf", True, None, []]
WRONG: dict[str, list[object]] = {
    "docker_host": [
        *("nonsense://x", "http+unix//", "unix", "ftp://h", "TCP://h:1", " unix:///s"),
        *("unix:///s?q", "tcp://", "tcp://h", "tcp://h:0", "tcp://h:65536", "tcp://u:p@h:1"),
        "tcp://[::1:1",
    ],
    "feed": ["trigger", "", 7],
    "docker_timeout": [*SECONDS, "0", 0],
    "poll_interval": [*SECONDS, "0", 0],
    "sweep_interval": [*SECONDS, 0.0],
    "grace": SECONDS,
    "policy": ["present", "", 7],
    "delay": SECONDS,
    "reap_torn_down": [*SECONDS, "9.9", 9, False],
    "dry_run": ["perhaps", 2],
    "allow_replica": ["perhaps", 2],
    "keep_volumes": ["perhaps", 2],
    "images": ["perhaps", 2],
    "workers": ["0", "65", "many", "1.5", 2.5, True, None, []],
    "timeout": SECONDS,
    "unhealthy_after": SECONDS,
    "http": [
        *("", "9464", ":9464", "127.0.0.1", "http://h:1", "::1:9464", "[::g]:1", "h h:1"),
        *("h:65536", "u@h:1", "h:\uff11", "h:1\n", 9464, False, None),
    ],
    "name": ["", "a.b", "a b", "*", "n" * 65, 7],
    "log_level": ["LOUD", 10],
    "log_format": ["xml", 1],
}
each_option = pytest.mark.parametrize("name", OPTIONS)
each_wrong = pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in WRONG.items() for value in values]
)
MakeFile = Callable[[str], Path]


@pytest.fixture
def toml(tmp_path: Path) -> MakeFile:
    """Makes a TOML file of some text."""

    def make(text: str) -> Path:
        path = tmp_path / "reaper.toml"
        path.write_text(text)
        return path

    return make


def urls(settings: Settings) -> list[str]:
    return [url for _, url in settings.databases]


def variable(name: str) -> str:
    return f"REAPER_{name.upper()}"


def test_the_tests_know_every_option_that_has_a_flag() -> None:
    flagged = {f.name for f in dataclasses.fields(Settings) if f.metadata["flag"]}
    assert flagged == set(OPTIONS)
    assert {f.name for f in dataclasses.fields(Settings)} - flagged == {
        "decnet_variables",
        "docker_config",
        "docker_tls_verify",
        "docker_cert_path",
    }


# Where a value comes from.


@each_option
def test_a_flag_beats_a_variable_which_beats_the_file_which_beats_the_default(
    name: str, toml: MakeFile
) -> None:
    (in_file, of_file), (in_variable, of_variable), (flag, of_flag) = OPTIONS[name]
    config = toml(f"{name} = {json.dumps(in_file)}")
    environment = {variable(name): in_variable}

    def read(environment: dict[str, str], flags: dict[str, object], path: Path | None) -> object:
        return getattr(Settings.from_environment(environment, flags=flags, config=path), name)

    assert read(environment, {name: flag}, config) == of_flag
    assert read(environment, {}, config) == of_variable
    assert read({}, {}, config) == of_file
    assert read({}, {name: flag}, None) == of_flag
    assert read({variable(name): ""}, {}, config) == of_file  # empty is not given
    assert read({}, {}, None) == getattr(Settings(), name)


def test_a_variable_separates_urls_by_white_space_and_a_flag_may_be_repeated() -> None:
    both = ("sqlite:////a", "sqlite:////b")
    environment = {"REAPER_DATABASE_URL": " sqlite:////a \n sqlite:////b "}
    assert urls(Settings.from_environment(environment)) == [*both]
    assert urls(Settings.from_environment({}, flags={"database_url": both})) == [*both]
    assert urls(Settings(database_url="sqlite:////a")) == ["sqlite:////a"]


def test_a_file_holds_a_url_a_line(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("# of the fleet\n\n  sqlite:////a b \nsqlite:////c\n")
    assert Settings(database_url_file=str(secret)).databases == [
        (f"--database-url-file: line 3 of {secret}", "sqlite:////a b"),
        (f"--database-url-file: line 4 of {secret}", "sqlite:////c"),
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "cannot be read"), (b"", "is empty"), (b"# none\n", "is empty"), (b"\xff", "UTF-8")],
)
def test_a_file_without_a_url_is_refused(tmp_path: Path, content: bytes | None, said: str) -> None:
    secret = tmp_path / "secret"
    if content is not None:
        secret.write_bytes(content)
    settings = Settings(database_url_file=str(secret))
    refused = refusal(lambda: settings.databases)
    assert refused.startswith(f"--database-url-file: {secret}")
    assert said in refused


def test_the_urls_come_from_one_place(toml: MakeFile) -> None:
    url, file = {"database_url": ("sqlite:////a",)}, {"database_url_file": "/run/secrets/b"}
    settings = Settings(database_url="sqlite:////a", database_url_file="/run/secrets/b")
    assert refusal(lambda: settings.databases).startswith("--database-url-file: --database-url is")
    settings = Settings.from_environment({"REAPER_DATABASE_URL_FILE": "/run/secrets/b"}, flags=url)
    assert urls(settings) == ["sqlite:////a"]
    settings = Settings.from_environment({"REAPER_DATABASE_URL": "sqlite:////a"}, flags=file)
    assert (settings.database_url, settings.database_url_file) == ((), "/run/secrets/b")
    config = toml('database_url_file = "/run/secrets/b"')
    settings = Settings.from_environment({"REAPER_DATABASE_URL": "sqlite:////a"}, config=config)
    assert urls(settings) == ["sqlite:////a"]


DECNET = {"DECNET_DB_TYPE": "MySQL"}


@pytest.mark.parametrize(
    ("variables", "url"),
    [
        ({}, "mysql://decnet@localhost:3306/decnet"),
        ({"DECNET_DB_URL": "mysql+asyncmy://u:p@h/d"}, "mysql+asyncmy://u:p@h/d"),
        (
            {
                "DECNET_DB_HOST": "db",
                "DECNET_DB_PORT": "3307",
                "DECNET_DB_NAME": "d/n",
                "DECNET_DB_USER": "u@x",
                "DECNET_DB_PASSWORD": "p:/?#@%é",
            },
            "mysql://u%40x:p%3A%2F%3F%23%40%25%C3%A9@db:3307/d%2Fn",
        ),
        ({"DECNET_DB_HOST": "::1"}, "mysql://decnet@[::1]:3306/decnet"),
    ],
)
def test_the_variables_of_decnet_name_its_database(variables: dict[str, str], url: str) -> None:
    settings = Settings.from_environment(DECNET | variables)
    assert settings.databases == [("the variables DECNET_DB_…", url)]
    ours = {"REAPER_DATABASE_URL": "sqlite:////a"}
    assert urls(Settings.from_environment(DECNET | variables | ours)) == ["sqlite:////a"]


def test_whoever_prints_settings_shows_no_password() -> None:
    url = "mysql://decnet:s3cret@db.example/decnet"
    settings = Settings.from_environment(
        {"REAPER_DATABASE_URL": url, "DECNET_DB_TYPE": "mysql", "DECNET_DB_URL": url}
    )
    assert (settings.database_url, settings.decnet_url) == ((url,), url)
    assert "s3cret" not in f"{settings!r} {settings}"
    assert "docker_host" in repr(settings)


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("REAPER_DRYRUN", "REAPER_DRY_RUN"),
        ("REAPER_dry_run_", "REAPER_DRY_RUN"),
        ("REAPER_DATABASE_URLS", "REAPER_DATABASE_URL"),
        ("REAPER_SWEEP_INTERVALL", "REAPER_SWEEP_INTERVAL"),
    ],
)
def test_a_variable_that_is_misspelt_is_refused_with_what_was_meant(
    variable: str, meant: str
) -> None:
    said = refusal(lambda: Settings.from_environment({variable: "1"}))
    assert variable in said
    assert said.endswith(f"did you mean {meant}?")


def test_docker_host_counts_where_nothing_more_specific_does(toml: MakeFile) -> None:
    environment = {"DOCKER_HOST": "tcp://one:1", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": "/c"}
    settings = Settings.from_environment(environment)
    assert (settings.docker_host, settings.docker_tls_verify, settings.docker_cert_path) == (
        "tcp://one:1",
        True,
        "/c",
    )
    environment["REAPER_DOCKER_HOST"] = "tcp://two:2"
    assert Settings.from_environment(environment).docker_host == "tcp://two:2"
    flags = {"docker_host": "tcp://three:3"}
    assert Settings.from_environment(environment, flags=flags).docker_host == "tcp://three:3"
    config = toml('docker_host = "tcp://four:4"')
    del environment["REAPER_DOCKER_HOST"]
    assert Settings.from_environment(environment, config=config).docker_host == "tcp://one:1"


def test_the_defaults_are_those_of_the_interface() -> None:
    settings = Settings()
    read = Settings.from_environment({"HOME": "/home/me"})
    assert read.docker_config == "/home/me/.docker"
    assert settings == dataclasses.replace(read, docker_config="")
    assert (settings.docker_host, settings.docker_context) == ("", "")
    assert (settings.poll_interval, settings.sweep_interval, settings.grace) == (1.0, 300.0, 30.0)
    assert (settings.workers, settings.timeout, settings.feed) == (4, 30.0, "auto")
    assert settings.http_address == ("127.0.0.1", 9464)


@pytest.mark.parametrize(
    ("http", "address"),
    [
        ("off", None),
        ("127.0.0.1:0", ("127.0.0.1", 0)),
        ("localhost:65535", ("localhost", 65535)),
        ("[::]:9464", ("::", 9464)),
        ("[fe80::1%eth0]:9464", ("fe80::1%eth0", 9464)),
    ],
)
def test_the_address_to_serve_at_is_a_host_and_a_port(
    http: str, address: tuple[str, int] | None
) -> None:
    assert Settings(http=http).http_address == address


def test_settings_read_no_environment_unless_they_are_told_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = Settings()
    for name, values in OPTIONS.items():
        monkeypatch.setenv(variable(name), values[0][0])
    monkeypatch.setenv("DOCKER_HOST", "tcp://elsewhere:1")
    assert Settings() == before
    assert Settings.from_environment() != before
    assert Settings.from_environment().docker_host == "unix:///run/a.sock"


# What cannot be used.


def refusal(read: Callable[[], object]) -> str:
    with pytest.raises(ConfigurationError) as caught:
        read()
    assert caught.value.exit_status == 2
    text = str(caught.value)
    assert "\n" not in text
    return text


@each_wrong
def test_a_value_that_cannot_be_used_is_refused_by_the_name_of_its_place(
    name: str, value: object, toml: MakeFile
) -> None:
    said = refusal(lambda: Settings(**{name: value}))  # type: ignore[arg-type]
    assert said.startswith(f"{flag_of(name)}: ")
    said = refusal(lambda: Settings.from_environment({}, flags={name: value}))
    assert said.startswith(f"{flag_of(name)}: ")
    if isinstance(value, str) and value:
        said = refusal(lambda: Settings.from_environment({variable(name): str(value)}))
        assert said.startswith(f"the variable {variable(name)}: ")
    if value is not None:
        config = toml(f"{name} = {json.dumps(value)}")
        said = refusal(lambda: Settings.from_environment({}, config=config))
        assert said.startswith(f"{name} in {config}: ")


@pytest.mark.parametrize("name", [name for name, wrong in WRONG.items() if wrong[0] == "-1"])
def test_a_time_is_refused_with_bounds_that_can_be_given(name: str) -> None:
    said = refusal(lambda: Settings(**{name: -1}))  # type: ignore[arg-type]
    bounds = re.findall(r"(?:from|to) ([\d.e+]+)", said)
    assert bounds[1:] == ["31536000"]
    for bound in bounds:
        assert getattr(Settings(**{name: bound}), name) == float(bound)


@pytest.mark.parametrize("value", [7, None, {"u": "postgresql://u:s3cret@h/d"}])
def test_the_text_of_a_url_is_never_repeated(value: object) -> None:
    said = refusal(lambda: Settings(database_url=value))  # type: ignore[arg-type]
    assert "s3cret" not in said
    assert said.startswith("--database-url: ")


def test_without_a_database_there_is_no_guess() -> None:
    assert refusal(lambda: Settings().databases).startswith("--database-url: no database was given")


@pytest.mark.parametrize(
    ("key", "suggestion"),
    [
        ("sweep_intervall", "did you mean sweep_interval?"),
        ("sweep-interval", "did you mean sweep_interval?"),
        ("databse_url", "did you mean database_url?"),
        ("worker", "did you mean workers?"),
        ("docker_tls_verify", ""),
        ("zzz", "there are database_url, database_url_file, "),
    ],
)
def test_an_unknown_key_is_refused_with_what_was_probably_meant(
    toml: MakeFile, key: str, suggestion: str
) -> None:
    config = toml(f"workers = 2\n{key} = 1\n")
    said = refusal(lambda: Settings.from_environment({}, config=config))
    assert said.startswith(f"--config: {config} has an unknown key {key}; ")
    assert suggestion in said


@pytest.mark.parametrize("text", ["workers", "workers = 1\nworkers = 2"])
def test_a_file_that_is_not_toml_is_refused(toml: MakeFile, text: str) -> None:
    config = toml(text)
    said = refusal(lambda: Settings.from_environment({}, config=config))
    assert said.startswith(f"--config: {config} is not TOML")


@given(st.sampled_from(sorted(OPTIONS)), st.text())
def test_whatever_the_text_is_it_is_read_or_refused(name: str, text: str) -> None:
    said = flag_of(name)
    try:
        Settings.from_environment({}, flags={name: text})
    except ConfigurationError as error:
        said = str(error)
    assert said.startswith(flag_of(name))
