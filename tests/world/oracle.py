"""What may be removed, told apart from the code that removes.

It reads the design and the simulated truth, and nothing of ``naming``, the judge or the reconciler:
who owns a thing is found out here once more, from what it was made with; who knows what of a
database is kept here once more, from the answers that a process was given. Where the design leaves
room it lets a listener hold, and does not let it remove.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from .engine import EPOCH, Container, Daemon, Network, Thing, Watcher

FRESH = 1.0
REPORT_LASTS = 600.0
PROTECT = "topology-reaper.protect"
MARK = "decnet.topology."
LEEWAY = 1e-6
"""Seconds by which sums of floating point numbers may be off."""


class Violation(AssertionError):
    """A promise was broken."""


# Whose a thing is.


def owners_of(thing: Thing) -> frozenset[str]:
    """The full ids and prefixes that it belongs to, as it is named now; empty: it is not ours."""
    if isinstance(thing, Network):
        prefix = _named(thing.name)
        local_bridge = (thing.driver, thing.scope) == ("bridge", "local")
        return frozenset({prefix} if prefix and local_bridge else ())
    if thing.labels.get(PROTECT) == "true":
        return frozenset()
    own = own_labels(thing)
    owners = set()
    if "decnet.topology.id" in own:
        if not _is_id(own["decnet.topology.id"]):
            return frozenset()
        owners.add(own["decnet.topology.id"])
    head, _, tail = own.get("com.docker.compose.project", "").partition("decnet-topo-")
    for prefix in (tail if not head and _is_prefix(tail) else "", _named(thing.name)):
        if prefix and prefix not in {owner[:8] for owner in owners}:
            owners.add(prefix)
    return frozenset(owners)


def own_labels(container: Container) -> dict[str, str]:
    """The labels that its image does not carry as well."""
    inherited = container.image_labels.items()
    return {key: value for key, value in container.labels.items() if (key, value) not in inherited}


def plain(thing: Thing) -> bool:
    """Whether what an event tells of it, which knows nothing of images, is the truth about it."""
    return isinstance(thing, Network) or owners_of(thing) == owners_of(
        replace(thing, image_labels={})
    )


def stays_connected(container: Container) -> bool:
    """Whether nobody but its owner may take it off a network."""
    return (
        container.labels.get(PROTECT) == "true"
        or any(label.startswith(MARK) for label in own_labels(container))
        or bool(owners_of(container))
    )


def _is_hex(text: str) -> bool:
    return bool(text) and set(text) <= set("0123456789abcdef")


def _is_prefix(text: str) -> bool:
    return len(text) == 8 and _is_hex(text)


def _is_id(text: str) -> bool:
    groups = text.split("-")
    return [len(group) for group in groups] == [8, 4, 4, 4, 12] and all(map(_is_hex, groups))


def _named(name: str) -> str:
    if not name.startswith("decnet_t_"):
        return ""
    prefix, _, rest = name.removeprefix("decnet_t_").partition("_")
    legal = all(c.isascii() and (c.isalnum() or c in "_.-") for c in rest)
    return prefix if _is_prefix(prefix) and rest and legal else ""


def _has_row(owner: str, rows: Iterable[str]) -> bool:
    return any(row == owner or (len(owner) == 8 and row[:8] == owner) for row in rows)


# Who knows what of a database.


@dataclass(frozen=True)
class Question:
    """A question that a process was given an answer to.

    Attributes:
        at: when it was asked.
        tick: the same, as a moment.
        rows: every row that could be seen in the table when it was read.
        prefixes: what was asked about.
    """

    at: float
    tick: int
    rows: frozenset[str]
    prefixes: frozenset[str]


@dataclass
class Known:
    """What one process can know of one database.

    Attributes:
        table: identity and generation of the table that it is about.
        seen: ids that had a row in it, with the last time.
        before: ids that had a row in the tables whose place it took.
        vouched: one of its rows owned something on this host.
        doubtful: owners of what was here when the table took another's place.
        changed: it did so once.
        reports: ids that a feed reported as deleted, with the last time.
        questions: the answered ones, about this table.
    """

    table: tuple[str, int] | None = None
    seen: dict[str, float] = field(default_factory=dict)
    before: frozenset[str] = frozenset()
    vouched: bool = False
    doubtful: frozenset[str] = frozenset()
    changed: bool = False
    reports: dict[str, float] = field(default_factory=dict)
    questions: list[Question] = field(default_factory=list)

    def for_the_next_run(self) -> Known:
        """What outlives the process."""
        return replace(self, seen=dict(self.seen), reports={}, questions=[])

    def saw(self, owner: str, since: float = 0.0) -> bool:
        """Whether the owner had a row in this table, not longer ago than this."""
        return _has_row(owner, (row for row, at in self.seen.items() if at >= since))

    def lost(self, owner: str) -> bool:
        """Whether what had a row in an earlier table has had none in this one."""
        return owner in self.before and not self.saw(owner)

    def absent_for(self, owner: str, until: float) -> float:
        """For how many seconds every answer up to then has shown no row of the owner."""
        about = sorted(
            (q for q in self.questions if owner[:8] in q.prefixes and q.at <= until),
            key=lambda question: question.at,
        )
        since = last = 0.0
        for question in reversed(about):
            if _has_row(owner, question.rows):
                break
            since = question.at
        if about:
            last = about[-1].at
        return last - since if since else -1.0


@dataclass
class Frame:
    """One piece of work of one process.

    Attributes:
        asked: by database, the last question that was answered in it.
        round: the answers to the same question, of all databases so far.
        known: what was known after the last round of them.
        looked: by thing and way of looking, when it was last shown.
    """

    process: Process
    asked: dict[int, Question] = field(default_factory=dict)
    round: list[tuple[Question, tuple[str, int]]] = field(default_factory=list)
    known: list[Known] = field(default_factory=list)
    looked: dict[tuple[str, str], int] = field(default_factory=dict)


@dataclass(eq=False)
class Process:
    """One run of a listener, or of a one-shot sweep.

    Attributes:
        known: by database.
        engine_now: of a one-shot sweep, the engine's time when it began.
        confirmed: the prefixes that an operator released by a token that fits.
        looked: by thing, when it was last shown, and whose it was then.
    """

    name: str
    known: list[Known]
    engine_now: float | None = None
    confirmed: frozenset[str] = frozenset()
    looked: dict[str, tuple[int, frozenset[str]]] = field(default_factory=dict)


class Oracle(Watcher):
    """Is told of everything, and objects.

    Args:
        daemon: the engine, as it really is.
        databases: how many there are.
    """

    def __init__(
        self,
        daemon: Daemon,
        *,
        grace: float,
        delay: float,
        witnessed_only: bool,
        databases: int,
    ) -> None:
        self.violations: list[str] = []
        self.frames: list[Frame] = []
        self._daemon = daemon
        self._clock = daemon.clock
        self._grace, self._delay, self._witnessed_only = grace, delay, witnessed_only
        self._databases = range(databases)
        self._ever: set[str] = set()  # owners of anything that ever was on this host
        self._removed_by: dict[str, object] = {}

    @contextmanager
    def frame(self, process: Process) -> Iterator[None]:
        """A piece of work."""
        self.frames.append(Frame(process))
        try:
            yield
        finally:
            self.frames.pop()

    # What happens in the world.

    def changed(self, thing: Thing) -> None:
        """A thing is new, or has a new name."""
        self._ever |= owners_of(thing)

    def looked(self, caller: object, thing: Thing, how: str) -> None:
        """A process was shown a thing."""
        assert isinstance(caller, Process)
        if how != "attached":
            hidden = how == "list" and isinstance(thing, Container) and thing.removing
            owners = owners_of(replace(thing, name="") if hidden else thing)
            caller.looked[thing.id] = self._clock.ticks, owners
        if self.frames and self.frames[-1].process is caller:
            self.frames[-1].looked[thing.id, how] = self._clock.tick()

    def answered(
        self,
        process: Process,
        database: int,
        question: Question,
        table: tuple[str, int],
        elsewhere: Mapping[int, Iterable[str]],
    ) -> None:
        """A process was given an answer.

        Args:
            process: who asked.
            database: the number of the one that was asked.
            question: with the truth about the rows.
            table: identity and generation.
            elsewhere: what can be seen in every database.
        """
        if not question.prefixes and process.engine_now is not None:
            return  # a one-shot sweep only finds out whether there is a database
        frame = self.frames[-1]
        assert frame.process is process
        if database == 0:
            frame.round.clear()
        frame.round.append((question, table))
        frame.asked[database] = question
        if len(frame.round) == len(self._databases):  # else there is no answer of all of them
            for number, (question_, table_) in enumerate(frame.round):
                self._learned(process, number, question_, table_, elsewhere)
            frame.known = list(process.known)

    def _learned(
        self,
        process: Process,
        number: int,
        question: Question,
        table: tuple[str, int],
        elsewhere: Mapping[int, Iterable[str]],
    ) -> None:
        here = {owner for thing in self._daemon.things() for owner in owners_of(thing)}
        known = process.known[number]
        if known.table != table:
            # What was concluded from the old one by now stands for as long as an answer is fresh.
            old = known
            known = Known(table, reports=old.reports, before=old.before | old.seen.keys())
            process.known[number] = known
            if old.table is not None:
                known.changed, known.doubtful = True, frozenset(here)
        known.questions.append(question)
        shown = {row for row in question.rows if row[:8] in question.prefixes}
        known.seen.update(dict.fromkeys(shown, question.at))
        known.vouched |= any(_has_row(owner, shown) for owner in self._ever)
        known.doubtful = frozenset(o for o in known.doubtful if o in here and not known.saw(o))
        if all(any(_has_row(o, rows) for rows in elsewhere.values()) for o in known.doubtful):
            known.doubtful = frozenset()

    def reported(self, process: Process, database: int, ids: Iterable[str]) -> None:
        """A feed told a process of deletions."""
        process.known[database].reports.update(dict.fromkeys(ids, self._clock.now))

    # What is checked.

    def removing(self, caller: object, thing: Thing) -> None:
        """A process asks for a removal."""
        assert isinstance(caller, Process)
        self._decided(caller, thing, f"removes {thing.name!r} ({type(thing).__name__})")
        labelled = isinstance(thing, Container) and any(
            label in own_labels(thing) for label in (f"{MARK}id", "com.docker.compose.project")
        )
        self._expect(
            labelled or (thing.id, "inspect") in self.frames[-1].looked,
            f"{caller.name} removes {thing.name!r}, known by its name only, without a look by id",
        )
        if isinstance(thing, Network):
            looked = self.frames[-1].looked.get((thing.id, "attached"), 0)
            for container in self._daemon.on(thing):
                self._expect(
                    container.tick > looked,
                    f"{caller.name} removes {thing.name!r} from under {container.name!r}",
                )

    def disconnecting(self, caller: object, network: Network, container: Container) -> None:
        """A process asks for a container to be taken off a network."""
        assert isinstance(caller, Process)
        what = f"takes {container.name!r} off {network.name!r}"
        self._decided(caller, network, what)
        self._expect(not stays_connected(container), f"{caller.name} {what}: it has DECNET's marks")

    def removed(self, caller: object, thing: Thing) -> None:
        """A removal happened."""
        self._removed_by[thing.id] = caller

    def told_removed(self, process: Process, id_: str) -> None:
        """A process reports a thing as removed by it."""
        self._expect(
            self._removed_by.get(id_) is process,
            f"{process.name} says that it removed {id_[:12]}, and it did not",
        )
        self._expect(
            all(thing.id != id_ for thing in self._daemon.things()),
            f"{id_[:12]} was removed and is there",
        )

    def _decided(self, process: Process, thing: Thing, what: str) -> None:
        """The rules that hold for every change to a thing."""
        looked = self.frames[-1].looked.get((thing.id, "inspect"), 0) if self.frames else 0
        what = f"{process.name} {what}"
        _, owners = process.looked.get(thing.id, (0, owners_of(thing)))
        self._expect(bool(owners), f"{what}: it is not DECNET's")
        self._expect(bool(self.frames), f"{what}: out of the blue")
        asked = self.frames[-1].asked
        for database in self._databases:
            self._expect(database in asked, f"{what}: database {database} was not asked")
            question = asked[database]
            age = self._clock.now - question.at
            self._expect(question.tick > thing.tick, f"{what}: it was asked before that existed")
            again = question.tick > looked or isinstance(thing, Container)
            self._expect(again, f"{what}: it was not asked again after the look at the network")
            self._expect(age < FRESH, f"{what}: the answer of {database} is {age:g} s old")
            for owner in owners:
                self._expect(owner[:8] in question.prefixes, f"{what}: nobody asked about {owner}")
                alive = _has_row(owner, question.rows)
                self._expect(not alive, f"{what}: {owner} has a row in database {database}")
        if {owner[:8] for owner in owners} <= process.confirmed:
            return
        for owner in owners:
            why = self._evidence(self.frames[-1], owner, thing)
            self._expect(bool(why), f"{what}: nothing says that {owner} was deleted")
            waited = min(
                known.absent_for(owner, asked[database].at)
                for database, known in enumerate(self.frames[-1].known)
            )
            long_enough = not self._delay or waited >= self._delay - LEEWAY
            self._expect(long_enough, f"{what}: only {waited:g} s gone")

    def _evidence(self, frame: Frame, owner: str, thing: Thing) -> str:
        """On which evidence the absence of an owner is a deletion; empty: on none."""
        if any(known.doubtful and known.lost(owner) for known in frame.known):
            return ""  # wherever else it was: it may have been here since
        verdicts = []
        for database, known in enumerate(frame.known):
            asked_at, engine_now = frame.asked[database].at, frame.process.engine_now
            if known.saw(owner):
                verdicts.append("witnessed")
                if len(owner) > 8:
                    return "witnessed"
            elif not known.vouched or known.doubtful:
                verdicts.append("")
            elif any(
                _has_row(owner, [row]) and asked_at - at <= REPORT_LASTS
                for row, at in known.reports.items()
            ):
                verdicts.append("reported")
            else:
                lasted = known.absent_for(owner, asked_at)
                if engine_now is not None:
                    lasted = max(0.0, engine_now - EPOCH - thing.created)
                long_enough = lasted >= self._grace - LEEWAY and not self._witnessed_only
                verdicts.append("grace" if long_enough else "")
        return min(verdicts, key=("", "grace", "reported", "witnessed").index)

    def must_go(
        self,
        process: Process,
        thing: Thing,
        tables: Mapping[int, Iterable[str]],
        *,
        witnessed_only: bool,
    ) -> bool:
        """Whether nothing excuses that a thing is still there, some time after all is well.

        Args:
            process: has had the time to see it.
            thing: is still there.
            tables: what can be seen in each database.
            witnessed_only: excuse what was not witnessed.
        """
        owners = owners_of(thing)
        rows = {row for table in tables.values() for row in table}
        if not owners or any(_has_row(owner, rows) for owner in owners):
            return False
        here = {owner for other in self._daemon.things() for owner in owners_of(other)}
        lately = self._clock.now - 400.0
        for owner in owners:
            if any(known.lost(owner) for known in process.known):
                return False
            seen = [known.saw(owner, lately) for known in process.known]
            trusted = [
                not known.changed
                and not self._witnessed_only
                and not witnessed_only
                and any(_has_row(other, tables[database]) for other in here)
                for database, known in enumerate(process.known)
            ]
            if len(owner) > 8 and any(seen):
                continue
            if not all(s or t for s, t in zip(seen, trusted, strict=True)):
                return False
        return True

    def _expect(self, holds: bool, broken: str) -> None:
        if not holds:
            self.violations.append(broken)
            raise Violation(broken)
