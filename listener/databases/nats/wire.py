"""What hosts and relays say to each other: subjects and messages, version 1.

A message is a JSON object in ASCII with ``"v": 1``. A field that is not known is passed over; one
that is missing, or not of exactly its type, or out of bounds, makes the message
:class:`Malformed`, and whoever reads it refuses it and counts that. No message is believed for its
sender's sake: a host may have been taken over.

| subject | published by | heard by | messages |
| --- | --- | --- | --- |
| ``NAME.ask.HOST`` | that host | relays | :class:`Question`, :class:`Interest` |
| ``_INBOX.HOST.…`` | relays | that host | :class:`Reply`, :class:`Refusal` |
| ``NAME.host.HOST`` | relays | that host | :class:`Deleted`, :class:`Acknowledged` |
| ``NAME.all`` | relays | hosts, relays | :class:`Heartbeat` |

The broker sees to who may publish what. So a relay takes the host from the subject that a question
came on, and answers to nothing but an inbox of that host (:meth:`Subjects.inbox_of`), whatever else
it was told.

A host's prefixes are its *interests*. A question adds its own to them; an :class:`Interest`
replaces them, or with ``adds`` adds the rest of more than fit into one message. Every relay
acknowledges it, and from then on announces what is deleted among them. ``any`` grows whenever a
relay may have missed or lost an announcement: who sees another number has to ask about everything.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from math import isfinite
from typing import Any, TypeVar

from listener.core.ownership import ID
from listener.core.resources import PREFIX_LENGTH, prefix_of

VERSION = 1
MOST_PREFIXES = 2_000
"""In one message."""
MOST_FROM_HOST = 64 * 1024
"""Bytes of a message; 2,000 prefixes take 24 KiB."""
MOST_FROM_RELAY = 1_000_000
"""Bytes; what a broker takes without another setting is 1 MiB. An answer about 2,000 prefixes takes
130 KB where each has one row."""
MOST_DELETED = 1_000
"""Ids in one announcement, and in one answer beside its rows."""
LONGEST_ID, LONGEST_TEXT = 255, 2_000
"""Characters of a row's id, and of a sentence or an identity."""
KINDS = ("sqlite", "postgresql", "mysql")

TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""A name or a host, as a part of a subject."""
_PREFIX = re.compile(rf"[0-9a-f]{{{PREFIX_LENGTH}}}")
_INBOX = re.compile(r"_INBOX\.([A-Za-z0-9_-]{1,64})(?:\.[A-Za-z0-9_-]{1,64}){1,4}")

Value = TypeVar("Value")


class Malformed(ValueError):
    """A message that is not as described; it says what is not, in a few words."""


@dataclass(frozen=True, slots=True)
class Subjects:
    """The subjects of the relays with one name."""

    name: str

    @property
    def heartbeats(self) -> str:
        """Where all relays say that they are there."""
        return f"{self.name}.all"

    @property
    def questions(self) -> str:
        """What relays subscribe to."""
        return f"{self.name}.ask.*"

    def ask(self, host: str) -> str:
        """Where a host asks."""
        return f"{self.name}.ask.{host}"

    def host(self, host: str) -> str:
        """Where a host hears of what concerns it alone."""
        return f"{self.name}.host.{host}"

    def asked_by(self, subject: str) -> str:
        """The host that asks on this subject.

        Raises:
            Malformed: there is none.
        """
        host = subject.removeprefix(f"{self.name}.ask.")
        if host == subject or not TOKEN.fullmatch(host):
            raise Malformed("no host's subject")
        return host

    @staticmethod
    def inbox_of(host: str, reply: str) -> str:
        """The subject that a host wants its answer on, if it is an inbox of its own.

        Raises:
            Malformed: it is not.
        """
        inbox = _INBOX.fullmatch(reply)
        if not inbox or inbox[1] != host:
            raise Malformed("a reply to another subject than the host's inbox")
        return reply


def inbox(host: str) -> str:
    """What the subjects of a host's answers begin with, before a dot."""
    return f"_INBOX.{host}"


@dataclass(frozen=True, slots=True)
class Question:
    """Which rows begin with any of these prefixes?

    Attributes:
        nonce: comes back with the answer.
        prefixes: at most MOST_PREFIXES; without any: can the table be asked at all?
        expect: the identity of the database that answered before; empty if none has.
    """

    nonce: str
    prefixes: frozenset[str]
    expect: str = ""


@dataclass(frozen=True, slots=True)
class Interest:
    """Whose deletions are to be announced to this host.

    Attributes:
        nonce: comes back with the acknowledgement.
        prefixes: at most MOST_PREFIXES.
        adds: to those that the relay has of this host; else instead of them.
    """

    nonce: str
    prefixes: frozenset[str]
    adds: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: what :class:`~listener.core.evidence.Answer` has, but for its time.

    Attributes:
        nonce: of the question.
        relay: the process that answers.
        identity: of the database and the table, without where the database is.
        runs: which run of the database's server or machine, as two relays have to agree.
        changed: the question expected another identity.
        kind: of the database, one of KINDS.
        generation: of the table, as this relay counts it.
        position: how far the database has come.
        behind: why it may be behind its origin; empty when it is not.
        no_status: why the statuses could not be read.
        prefixes: of the question, all of them.
        ids: of the rows.
        deployed: which of these had a status that is written after a deploy.
        torn_down: which of these are torn down.
        deleted: other ids with these prefixes that were lately announced as deleted.
    """

    nonce: str
    relay: str
    identity: str
    runs: str
    changed: bool
    kind: str
    generation: int
    position: int
    behind: str
    no_status: str
    prefixes: frozenset[str]
    ids: frozenset[str]
    deployed: frozenset[str] = frozenset()
    torn_down: frozenset[str] = frozenset()
    deleted: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Refusal:
    """No answer.

    Attributes:
        nonce: of the question.
        relay: the process that refuses.
        refused: why, a sentence.
        aspect: what of the database does not hold, as in :class:`~listener.errors.NoAnswer`.
    """

    nonce: str
    relay: str
    refused: str
    aspect: str = "reachable"


@dataclass(frozen=True, slots=True)
class Deleted:
    """These rows were deleted, or have become torn down.

    Attributes:
        relay: the process that announces it.
        ids: each with a prefix that this host is interested in; at most MOST_DELETED.
        torn_down: they are not deleted; it is their status that became that.
    """

    relay: str
    ids: frozenset[str]
    torn_down: bool = False


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """An interest was taken: what is deleted from now on is announced.

    Attributes:
        nonce: of the interest.
        relay: the process that acknowledges.
        any: its number, as in its heartbeat, read after the interest was taken.
    """

    nonce: str
    relay: str
    any: int


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A relay is there, and its announcements come through; sent every HEARTBEAT seconds.

    Attributes:
        relay: the process, by a random name.
        kind: of its database, one of KINDS.
        identity: of its database, as in its answers; empty as long as it does not know.
        runs: likewise.
        any: grows when any row may have gone, or an announcement have been lost.
        within: seconds over which hosts spread what they ask because of that.
        reading: why it hears nothing from its database; empty when it does.
    """

    relay: str
    kind: str
    identity: str
    runs: str
    any: int
    within: float
    reading: str = ""


FromHost = Question | Interest
Answering = Reply | Refusal
Announcing = Deleted | Acknowledged
Message = FromHost | Answering | Announcing | Heartbeat

HEARTBEAT = 5.0
"""Seconds between two heartbeats of a relay."""
SILENCE = 15.0
"""Seconds without one after which a relay is not there."""
_KIND_OF = {
    Question: "ask",
    Interest: "interest",
    Reply: "answer",
    Refusal: "refusal",
    Deleted: "deleted",
    Acknowledged: "ack",
    Heartbeat: "heartbeat",
}
"""What the field ``kind`` says of each; the kind of a database is in the field ``database``."""


def encode(message: Message) -> bytes:
    """A message as it is sent.

    Raises:
        Malformed: it is larger than anybody would take.
    """
    fields: dict[str, Any] = {"v": VERSION, "kind": _KIND_OF[type(message)]}
    for name in message.__slots__:
        value = getattr(message, name)
        fields["database" if name == "kind" else name] = (
            sorted(value) if isinstance(value, frozenset) else value
        )
    if isinstance(message, Reply):
        del fields["deployed"], fields["torn_down"]
        fields["ids"] = [
            [id_, id_ in message.deployed, id_ in message.torn_down] for id_ in sorted(message.ids)
        ]
    data = json.dumps(fields, separators=(",", ":")).encode("ascii")
    most = MOST_FROM_HOST if isinstance(message, FromHost) else MOST_FROM_RELAY
    if len(data) > most:
        raise Malformed(f"larger than {most:,} bytes")
    return data


def from_host(data: bytes) -> FromHost:
    """What a host says on its subject.

    Raises:
        Malformed: it is nothing of the kind.
    """
    fields = _Fields(data, MOST_FROM_HOST)
    nonce, prefixes = fields.token("nonce"), fields.prefixes()
    match fields.kind:
        case "ask":
            return Question(nonce, prefixes, fields.text("expect"))
        case "interest":
            return Interest(nonce, prefixes, fields.get("adds", bool))
    raise Malformed("of no known kind")


def answer_to(question: Question, data: bytes) -> Answering:
    """What a relay answers to a question.

    Raises:
        Malformed: it is no answer, or one to something else.
    """
    fields = _Fields(data, MOST_FROM_RELAY)
    nonce, relay = fields.token("nonce"), fields.token("relay")
    if nonce != question.nonce:
        raise Malformed("an answer to another question")
    if fields.kind == "refusal":
        return Refusal(nonce, relay, fields.text("refused"), fields.token("aspect"))
    if fields.kind != "answer" or fields.prefixes() != question.prefixes:
        raise Malformed("no answer about the prefixes that were asked about")
    rows = fields.items("ids", MOST_FROM_RELAY, _row)
    identity, changed = fields.text("identity"), fields.get("changed", bool)
    if not identity or changed != (question.expect not in ("", identity)):
        raise Malformed("an answer that does not fit the identity that was expected")
    reply = Reply(
        nonce,
        relay,
        identity,
        fields.text("runs"),
        changed,
        fields.database(),
        fields.number("generation"),
        fields.number("position"),
        fields.text("behind"),
        fields.text("no_status"),
        question.prefixes,
        frozenset(id_ for id_, _, _ in rows),
        frozenset(id_ for id_, deployed, _ in rows if deployed),
        frozenset(id_ for id_, _, torn_down in rows if torn_down),
        fields.ids("deleted"),
    )
    if len(reply.ids) < len(rows) or not reply.ids.isdisjoint(reply.deleted):
        raise Malformed("an id twice")
    if not question.prefixes.issuperset(map(prefix_of, reply.ids | reply.deleted)):
        raise Malformed("an id that was not asked about")
    return reply


def to_host(data: bytes) -> Announcing:
    """What a relay says to one host.

    Raises:
        Malformed: it is nothing of the kind.
    """
    fields = _Fields(data, MOST_FROM_RELAY)
    relay = fields.token("relay")
    match fields.kind:
        case "deleted":
            return Deleted(relay, fields.ids("ids"), fields.get("torn_down", bool))
        case "ack":
            return Acknowledged(fields.token("nonce"), relay, fields.number("any"))
    raise Malformed("of no known kind")


def heartbeat(data: bytes) -> Heartbeat:
    """What a relay says to all.

    Raises:
        Malformed: it is nothing of the kind.
    """
    fields = _Fields(data, MOST_FROM_HOST)
    if fields.kind != "heartbeat":
        raise Malformed("of no known kind")
    within = fields.fields.get("within")
    if type(within) not in (int, float) or not isfinite(within) or within < 0:
        raise Malformed("within: no number of seconds")
    return Heartbeat(
        fields.token("relay"),
        fields.database(),
        fields.text("identity"),
        fields.text("runs"),
        fields.number("any"),
        float(within),
        fields.text("reading"),
    )


def in_messages(prefixes: Iterable[str]) -> list[frozenset[str]]:
    """Prefixes in as many parts as it takes messages; one that is empty if there are none."""
    ordered = sorted(prefixes)
    starts = range(0, len(ordered) or 1, MOST_PREFIXES)
    return [frozenset(ordered[start : start + MOST_PREFIXES]) for start in starts]


class _Fields:
    """The fields of a message, each read as what it has to be; raises Malformed."""

    def __init__(self, data: bytes, most: int) -> None:
        if len(data) > most:
            raise Malformed(f"larger than {most:,} bytes")
        try:
            self.fields = json.loads(data.decode("ascii"))
        except (ValueError, RecursionError):
            raise Malformed("no JSON") from None
        if type(self.fields) is not dict:
            raise Malformed("no object")
        if self.get("v", int) != VERSION:
            raise Malformed(f"not of version {VERSION}")
        self.kind = self.get("kind", str)

    def get(self, name: str, kind: type[Value]) -> Value:
        value = self.fields.get(name)
        if type(value) is not kind:
            raise Malformed(f"{name}: missing, or no {kind.__name__}")
        return value

    def number(self, name: str) -> int:
        value = self.get(name, int)
        if not 0 <= value < 2**64:
            raise Malformed(f"{name}: out of bounds")
        return value

    def text(self, name: str) -> str:
        value = self.get(name, str)
        if len(value) > LONGEST_TEXT or not value.isprintable():
            raise Malformed(f"{name}: too long, or not to be printed")
        return value

    def token(self, name: str) -> str:
        value = self.get(name, str)
        if not TOKEN.fullmatch(value):
            raise Malformed(f"{name}: no token")
        return value

    def database(self) -> str:
        value = self.get("database", str)
        if value not in KINDS:
            raise Malformed("database: of no known kind")
        return value

    def items(self, name: str, most: int, read: Callable[[Any], Value]) -> Collection[Value]:
        values = self.get(name, list)
        if len(values) > most:
            raise Malformed(f"{name}: more than {most:,}")
        return [read(value) for value in values]

    def prefixes(self) -> frozenset[str]:
        return frozenset(self.items("prefixes", MOST_PREFIXES, _prefix))

    def ids(self, name: str) -> frozenset[str]:
        return frozenset(self.items(name, MOST_DELETED, _id))


def _prefix(value: Any) -> str:
    if type(value) is not str or not _PREFIX.fullmatch(value):
        raise Malformed("what is no prefix")
    return value


def _id(value: Any) -> str:
    if type(value) is not str or not ID.fullmatch(value):
        raise Malformed("what is no id")
    return value


def _row(value: Any) -> tuple[str, bool, bool]:
    """The id of a row, which may be written in any way, and what its status says."""
    match value:
        case [str(id_), bool(deployed), bool(torn_down)] if len(id_) <= LONGEST_ID:
            return id_, deployed, torn_down
    raise Malformed("what is no row")
