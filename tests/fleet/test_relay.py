"""A relay as a process, between a real broker and a real database; hosts say what a test says."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from listener.cli.doctor.host import state
from listener.cli.explain import _asked
from listener.telemetry.healthcheck import read_status
from tests.conftest import make_table
from tests.fleet.raw import RawHost
from tests.support.decnet import new_id
from tests.support.process import RelayProcess, call, eventually
from tests.support.rows import Rows
from tests.support.schema import DOCS, check
from tests.support.servers import PrivateNats, PrivatePostgres

A, B = new_id("aaaaaaaa"), new_id("bbbbbbbb")
on_postgres = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


class Fleet:
    """Relays of one name, and hosts."""

    def __init__(self, nats: PrivateNats, name: str, folder: Path, stack: ExitStack) -> None:
        self.name = name
        self._nats, self._folder, self._stack = nats, folder, stack
        self._relays = 0

    def relay(self, url: str, *options: str) -> Relay:
        """A relay that is ready."""
        self._relays += 1
        folder = self._folder / f"relay-{self._relays}"
        process = RelayProcess(
            url, f"nats://{self._nats.address}", self.name, "--state-dir", str(folder), *options
        )
        self._stack.enter_context(process)
        return Relay(process, folder)

    def host(self, name: str) -> RawHost:
        """A host that is connected."""
        return self._stack.enter_context(closing(RawHost(self._nats, self.name, name)))


class Relay:
    """One of them."""

    def __init__(self, process: RelayProcess, folder: Path) -> None:
        self.process, self.folder = process, folder
        self.name = str(process.logged("started")[-1]["relay"])

    def status(self) -> dict[str, Any]:
        return read_status(self.folder)


Fleets = Callable[[PrivateNats], Fleet]


@pytest.fixture
def table(database_url: str) -> Iterator[Rows]:
    """The writer of the table that the relay asks, and not what a host sees of it."""
    with Rows(database_url) as rows:
        make_table(rows, database_url)
        yield rows


@pytest.fixture
def fleets(fleet: str, tmp_path: Path) -> Iterator[Fleets]:
    with ExitStack() as stack:
        yield lambda nats: Fleet(nats, fleet, tmp_path, stack)


@pytest.fixture
def lab(fleets: Fleets, nats: PrivateNats) -> Fleet:
    return fleets(nats)


def test_questions_are_answered_and_deletions_announced_to_whom_they_concern(
    lab: Fleet, database_url: str, table: Rows
) -> None:
    table.insert(A, B)
    relay = lab.relay(database_url)
    one, two = lab.host("one"), lab.host("two")
    one.name_interest("aaaaaaaa")
    answer = two.ask("bbbbbbbb", "cccccccc")
    assert answer["kind"] == "answer"
    assert [row[0] for row in answer["ids"]] == [B]
    assert answer["relay"] == relay.name
    table.delete(A)
    table.delete(B)
    two.await_heard(lambda m: m["kind"] == "deleted", "what was deleted")
    one.await_heard(lambda m: m["kind"] == "deleted", "what was deleted")
    assert (one.deleted(), two.deleted()) == ([[A]], [[B]])
    assert two.ask("bbbbbbbb")["deleted"] == [B]
    assert relay.process.stop() == 0
    assert relay.process.logged("stopped")[-1]["reason"] == "SIGTERM"
    assert relay.process.logged("defect") == []


@on_postgres
def test_those_who_wait_are_answered_by_one_question(
    lab: Fleet, database_url: str, table: Rows
) -> None:
    table.insert(A)
    relay = lab.relay(database_url)
    hosts = [lab.host(f"host-{number}") for number in range(6)]
    first, *others = hosts
    with ThreadPoolExecutor(len(hosts)) as pool, psycopg.connect(database_url) as owner:
        eventually(lambda: relay.status()["ready"], "it is ready")
        before = relay.status()["gathered"]
        owner.execute("LOCK TABLE topologies IN ACCESS EXCLUSIVE MODE")
        pending = [pool.submit(first.ask, "aaaaaaaa")]
        eventually(lambda: relay.status()["gathered"] == before + 1, "the database is asked")
        pending += [pool.submit(host.ask, "aaaaaaaa") for host in others]
        eventually(lambda: relay.status()["asked"] == len(hosts), "the others wait")
        owner.rollback()
        answers = [each.result() for each in pending]
    assert all([row[0] for row in answer["ids"]] == [A] for answer in answers)
    assert relay.status()["gathered"] == before + 2


@on_postgres
def test_a_refusal_comes_with_its_sentence_and_without_an_address(
    lab: Fleet, database_url: str, table: Rows
) -> None:
    lab.relay(database_url)
    host = lab.host("one")
    table.execute("ALTER TABLE topologies RENAME TO elsewhere")
    answer = host.ask("aaaaaaaa")
    assert (answer["kind"], answer["aspect"]) == ("refusal", "table")
    assert "has no table 'topologies'" in answer["refused"]
    assert "127.0.0.1" not in answer["refused"]
    table.execute("ALTER TABLE elsewhere RENAME TO topologies")
    assert host.ask("aaaaaaaa")["kind"] == "answer"
    table.execute("ALTER TABLE topologies DROP COLUMN id CASCADE")
    assert host.ask("aaaaaaaa")["refused"].endswith("gave no answer; the relay's log says why")


@pytest.mark.parametrize("database_url", ["mariadb"], indirect=True)
def test_what_cannot_be_read_is_said_without_an_account(
    lab: Fleet, database_url: str, table: Rows
) -> None:
    url = sa.make_url(database_url)
    reader = url.set(username=f"reader_{lab.name[6:]}", password="r")
    account = f"'{reader.username}'@'127.0.0.1'"
    table.execute(f"CREATE USER {account} IDENTIFIED BY 'r'")
    table.execute(f"GRANT SELECT (id) ON topologies TO {account}")
    lab.relay(reader.render_as_string(hide_password=False), "--feed", "poll")
    said = lab.host("one").ask("aaaaaaaa")["no_status"]
    assert "run GRANT SELECT (id, status) ON" in said
    assert "reader" not in said
    assert "127.0.0.1" not in said


@on_postgres
def test_two_relays_of_one_database_by_two_urls_both_answer(
    lab: Fleet, database_url: str, table: Rows
) -> None:
    table.insert(A)
    elsewhere = database_url.replace("127.0.0.1", "localhost") + "?application_name=other"
    assert elsewhere.count("localhost") == 1
    relays = [lab.relay(database_url)]
    relays.append(lab.relay(elsewhere, "--state-dir", str(relays[0].folder)))
    assert "another" in relays[1].process.logged("state")[0]["error"]
    host, answers = lab.host("one"), {}
    host.name_interest("aaaaaaaa")

    def both_answered() -> bool:
        answer = host.ask("aaaaaaaa")
        answers[answer["relay"]] = answer
        return len(answers) == 2

    eventually(both_answered, "both answer")
    assert {relay.name for relay in relays} == set(answers)
    assert len({answer["identity"] for answer in answers.values()}) == 1
    assert all(answer["ids"] for answer in answers.values())


@on_postgres
def test_two_relays_of_two_databases_both_refuse_until_one_is_gone(
    lab: Fleet, database_url: str, table: Rows, postgres: PrivatePostgres
) -> None:
    table.insert(A)
    host = lab.host("one")
    with postgres.fresh_database() as name, Rows(postgres.url(database=name)) as other_rows:
        make_table(other_rows, postgres.url(database=name))
        right, wrong = lab.relay(database_url), lab.relay(postgres.url(database=name))
        both_refuse(host)
        assert not right.status()["ready"]
        assert len(right.process.await_log("conflict")) == 1
        assert wrong.process.stop() == 0
    eventually(lambda: host.ask("aaaaaaaa")["kind"] == "answer", "the one that is left answers")
    assert right.process.await_log("conflict", 2)[-1]["level"] == "INFO"
    host.name_interest("aaaaaaaa")
    table.delete(A)
    host.await_heard(lambda m: m["kind"] == "deleted", "what was deleted")


def both_refuse(host: RawHost) -> None:
    """Await that two relays say of each other that they serve two databases."""
    refusals: dict[str, str] = {}

    def said() -> bool:
        answer = host.ask("aaaaaaaa")
        refusals[answer["relay"]] = answer.get("refused", "")
        return len(refusals) == 2 and all(refusals.values())

    eventually(said, "both refuse")
    assert all("two different databases" in why for why in refusals.values())


class CopyOfPostgres(PrivatePostgres):
    """One that runs beside the original, and does not know that it is a copy."""

    def _serve(self) -> Sequence[str]:
        (self.data / "standby.signal").unlink(missing_ok=True)
        return super()._serve()


def test_a_copy_of_a_server_is_another_database(lab: Fleet, own_postgres: PrivatePostgres) -> None:
    with own_postgres.fresh_database() as name:
        url = own_postgres.url(database=name)
        with Rows(url) as rows:
            make_table(rows, url)
            rows.insert(A)
        with CopyOfPostgres(primary=own_postgres) as copy:
            lab.relay(url)
            lab.relay(copy.url(database=name))
            both_refuse(lab.host("one"))


@on_postgres
def test_after_the_broker_was_away_hosts_are_told_to_ask(
    fleets: Fleets, own_nats: PrivateNats, database_url: str, table: Rows
) -> None:
    table.insert(A)
    lab = fleets(own_nats)
    relay = lab.relay(database_url)
    before = lab.host("one").await_heard(lambda m: m["kind"] == "heartbeat", "a heartbeat")
    own_nats.kill()
    relay.process.await_log("lost", 2)
    own_nats.start()
    host = lab.host("two")
    after = host.await_heard(lambda m: m["kind"] == "heartbeat", "a heartbeat")
    assert after["relay"] == before["relay"]
    assert after["any"] > before["any"]
    eventually(lambda: relay.status()["answers"]["connections"] == 2, "both are connected")
    assert host.ask("aaaaaaaa")["ids"]


@on_postgres
def test_what_it_tells_of_itself(lab: Fleet, database_url: str, table: Rows) -> None:
    assert table
    relay = lab.relay(database_url, "--http", "127.0.0.1:0")
    host = lab.host("one")
    host.name_interest("aaaaaaaa", "bbbbbbbb")
    host.ask("cccccccc")
    eventually(lambda: relay.status()["ready"], "it is ready")
    told = relay.status()
    check("relay", told)
    assert (told["hosts"], told["interests"], told["asked"]) == (1, 3, 1)
    shown = call("status", "--state-dir", str(relay.folder))
    assert (shown.returncode, shown.stderr) == (0, "")
    assert f"relay {relay.name} named {lab.name}" in shown.stdout
    assert "1 hosts, interested in 3 prefixes" in shown.stdout
    assert _asked(relay.folder)[0] is None, "what it tells is no listener's"
    assert any(f.message.startswith("a relay runs with") for f in state(relay.folder))
    address = relay.process.await_log("http")[-1]["address"]
    for path in ("healthz", "readyz", "livez"):
        assert page(address, path) == "ok\n"
    exposed = set(re.findall(r"^topology_reaper_relay_\w+", page(address, "metrics"), re.M))
    documented = (DOCS / "metrics.md").read_text()
    assert exposed == set(re.findall(r"`(topology_reaper_relay_\w+)`", documented))


def page(address: str, path: str) -> str:
    with urllib.request.urlopen(f"http://{address}/{path}") as answer:
        text: str = answer.read().decode()
    return text


USERS = """
    authorization {
      users: [
        {user: answers, password: s3cret, permissions: {
          publish: "_INBOX.>", subscribe: "*.ask.* relays"}}
        {user: announces, password: s3cret, permissions: {
          publish: ["*.host.*", "*.all"], subscribe: ["*.ask.*", "*.all"]}}
      ]
    }
"""


@on_postgres
def test_doctor_sees_what_a_relay_needs(
    nats: PrivateNats, fleet: str, database_url: str, table: Rows
) -> None:
    assert table

    def found(broker: str, *options: str) -> tuple[int, dict[str, str]]:
        given = ("--database-url", database_url, "--nats", broker, "--name", fleet, *options)
        done = call("doctor", "--json", "--timeout", "0", *given)
        assert "s3cret" not in done.stdout + done.stderr
        checks = json.loads(done.stdout)["checks"]
        return done.returncode, {check["id"]: check["status"] for check in checks}

    status, checks = found(f"nats://{nats.address}")
    assert (status, checks["database.table"], checks["feed.push"]) == (0, "ok", "ok")
    assert (checks["relay.answers"], checks["relay.users"]) == ("ok", "warning")
    assert not [id_ for id_ in checks if id_.startswith(("docker", "state"))]
    assert found("nats://127.0.0.1:1")[0] == 3
    assert found("http://127.0.0.1")[0] == 2
    with PrivateNats(USERS) as guarded:
        answers, announces = (
            f"nats://{user}:s3cret@{guarded.address}" for user in ("answers", "announces")
        )
        status, checks = found(answers, "--nats-announce", announces)
        assert (status, checks["relay.announces"], checks["relay.users"]) == (0, "ok", "ok")
        status, checks = found(announces, "--nats-announce", answers)
        assert (status, checks["relay.answers"], checks["relay.announces"]) == (3, *["fault"] * 2)
