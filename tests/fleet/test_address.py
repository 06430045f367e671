"""What a URL says of brokers and of this host, and what is wrong with one."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from listener.databases.nats.address import Broker, parse, presentable
from listener.databases.urls import open_topologies
from listener.errors import ConfigurationError

SECRETS = ("s3cret", "alice", "internal", "topsecretname")


def test_a_url_has_all_of_it() -> None:
    url = "nats://host-7:a%40b@one.example,[::1]:4333/decnet_2"
    found = parse(url, "/the/file")
    assert (found.name, found.host) == ("decnet_2", "host-7")
    assert found.broker == Broker(
        servers=("one.example:4222", "[::1]:4333"),
        user="host-7",
        password="a@b",
        credentials="/the/file",
    )
    assert "a@b" not in repr(found)
    assert "a%40b" not in presentable(url)


def test_certificates_ask_for_tls() -> None:
    broker = parse("nats://one?sslrootcert=/ca.pem&sslcert=/own.pem&sslkey=/own.key").broker
    assert broker == Broker(
        servers=("one:4222",),
        tls=True,
        authority="/ca.pem",
        certificate="/own.pem",
        key="/own.key",
    )
    assert parse("tls://one").broker.tls


def test_a_host_without_a_user_is_named_by_the_url_or_as_the_machine_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "honeypot.1.example")
    assert parse("nats://one").host == "honeypot-1-example"
    assert parse("nats://one?host=host-7").host == "host-7"


@pytest.mark.parametrize(
    "url",
    [
        *("nats://", "nats:///decnet", "nats://alice:s3cret@internal,/x", "nats://internal:0/x"),
        *("nats://internal:99999", "nats://alice:s3cret@int@ernal/a/b", "nats://internal/a/b"),
        *("nats://internal/topsecretname.x", "nats://internal/x#y", "nats://internal/x?y"),
        *("nats://al.ice:s3cret@internal", "nats://internal?host=al.ice", "nats://[internal/x"),
        *("nats://alice:s3cret@internal?host=bob", "nats://internal?sslkey=/s3cret"),
        "nats://internal?sslrootcerts=/s3cret",
    ],
)
def test_what_is_wrong_is_said_and_nothing_of_it_repeated(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_topologies(url)
    assert not any(secret in str(caught.value) for secret in SECRETS)


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    absent, odd = tmp_path / "absent", tmp_path / "odd"
    odd.write_text("nothing of the kind")
    for file in (absent, odd):
        with pytest.raises(ConfigurationError, match=f"--nats-credentials {file}"):
            open_topologies("nats://one", nats_credentials=str(file))
        with pytest.raises(ConfigurationError, match=str(file)):
            open_topologies(f"tls://one?sslrootcert={file}")
