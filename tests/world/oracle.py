"""What may be removed, told apart from the code that removes.

It reads the design and the simulated truth, and nothing of the code that decides: who owns a thing
is found out here once more, from what it was made with; who knows what of a database is kept here
once more, from the answers that a process was given. Where the design leaves room it lets a
listener hold, and does not let it remove.

Above all rules stands the truth: nothing goes whose topology has a row at its origin, whatever the
database that was asked shows. There are two exceptions. What no rule can see is a topology of a
database that nobody can tell to be behind or to be the wrong one, that came to the host while the
process that removes it, and the earlier ones whose memory it has, did not watch; and what comes of
it after they have removed the rest. And where topologies share a prefix, or one comes back, what is
known of one may be taken for the other.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from .database import Database, Shows
from .engine import EPOCH, Container, Daemon, Network, Thing, Watcher

FRESH = 1.0
OUTAGE = 5.0
LOOKS_APART = 1.0
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
    return prefix if _is_prefix(prefix) and rest else ""


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
        behind: why it may be behind, as it said itself.
        deployed: of the rows, those that were said to be deployed.
        torn_down: likewise.
        after_break: the feed was lost, or a process ended, since the answer before.
    """

    at: float
    tick: int
    rows: frozenset[str]
    prefixes: frozenset[str]
    behind: str = ""
    deployed: frozenset[str] = frozenset()
    torn_down: frozenset[str] = frozenset()
    after_break: bool = False


@dataclass
class Known:
    """What one process can know of one database.

    Attributes:
        table: identity and generation of the table that it is about.
        seen: ids that had a row in it, with the last time.
        before: ids that had a row in the tables whose place it took.
        in_doubt: those of them that an earlier change has left in doubt.
        vouched: one of its rows owned something on this host.
        doubtful: owners of what was here when the table took another's place.
        changed: it did so once.
        has_come_on: it showed as deployed what was on this host.
        reports: ids that a feed reported as deleted, with the last time.
        questions: the answered ones, about this table.
        broken: the feed was lost, or a process ended, since the last of them.
    """

    table: tuple[str, int] | None = None
    seen: dict[str, float] = field(default_factory=dict)
    before: frozenset[str] = frozenset()
    in_doubt: frozenset[str] = frozenset()
    vouched: bool = False
    doubtful: frozenset[str] = frozenset()
    changed: bool = False
    has_come_on: bool = False
    reports: dict[str, float] = field(default_factory=dict)
    questions: list[Question] = field(default_factory=list)
    broken: bool = False

    def for_the_next_run(self) -> Known:
        """What outlives the process; of a generation, nothing does."""
        return replace(
            self,
            table=self.table and (self.table[0], 0),
            seen=dict(self.seen),
            has_come_on=False,
            reports={},
            questions=list(self.questions),
            broken=True,
        )

    def saw(self, owner: str, since: float = 0.0) -> bool:
        """Whether the owner had a row in this table, not longer ago than this."""
        return _has_row(owner, (row for row, at in self.seen.items() if at >= since))

    def lost(self, owner: str) -> bool:
        """Whether what had a row in an earlier table has had none in this one."""
        return owner in self.before and not self.saw(owner)

    def absent_for(self, owner: str, until: float) -> tuple[float, float]:
        """For how many seconds every answer up to then has shown no row of the owner.

        Returns:
            Since the last outage, and altogether; outages do not count.
        """
        lasted = total = -1.0
        last = answered_at = -math.inf
        outage = True
        for question in sorted(self.questions, key=lambda question: question.at):
            if question.at > until:
                break
            outage |= question.after_break or question.at - answered_at > OUTAGE
            answered_at = question.at
            if owner[:8] not in question.prefixes:
                continue
            if _has_row(owner, question.rows):
                lasted = total = -1.0
            elif total < 0.0:
                lasted = total = 0.0
            elif outage:
                lasted = 0.0
            else:
                lasted += question.at - last
                total += question.at - last
            last, outage = question.at, False
        return lasted, total

    def torn_down_for(self, row: str, until: float) -> float:
        """For how many seconds every answer about it up to then has shown the row torn down."""
        total, last, outage, answered_at = 0.0, -math.inf, True, -math.inf
        for question in sorted(self.questions, key=lambda question: question.at):
            if question.at > until:
                break
            outage |= question.after_break or question.at - answered_at > OUTAGE
            answered_at = question.at
            if row[:8] not in question.prefixes:
                continue
            if row not in question.torn_down & question.rows:
                total = 0.0
                last = -math.inf
                continue
            if not outage and question.at - last <= OUTAGE:
                total += question.at - last
            last, outage = question.at, False
        return total


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


@dataclass
class Line:
    """What the runs of a process that share a memory know of what came to the host.

    Attributes:
        guarded: births that one of them watched, and then was told that there is no row.
        told: ids that were reported as deleted.
        removed: owners of what they removed, with the first time.
        gone: likewise of what they were to remove, and somebody else had been faster.
        watches: from when to when each of them watched; this one is no knowledge.
    """

    guarded: set[int] = field(default_factory=set)
    told: set[str] = field(default_factory=set)
    removed: dict[str, float] = field(default_factory=dict)
    gone: dict[str, float] = field(default_factory=dict)
    watches: list[tuple[float, float]] = field(default_factory=list)

    def saved(self) -> Line:
        """What outlives a process that ends now."""
        removed, gone = dict(self.removed), dict(self.gone)
        return Line(set(self.guarded), set(self.told), removed, gone, self.watches)


@dataclass(frozen=True)
class Birth:
    """When an owner that had nothing on the host came to it."""

    tick: int
    at: float


@dataclass(eq=False)
class Process:
    """One run of a listener, or of a one-shot sweep.

    Attributes:
        known: by database.
        line: what it knows of what came to the host.
        listed: when it had its first listing, as a moment and in seconds.
        engine_now: of a one-shot sweep, the engine's time when it began.
        confirmed: the prefixes that an operator released by a token that fits.
        looked: by thing, when it was last shown, and whose it was then.
    """

    name: str
    known: list[Known]
    line: Line = field(default_factory=Line)
    listed: Birth | None = None
    engine_now: float | None = None
    confirmed: frozenset[str] = frozenset()
    looked: dict[str, tuple[int, frozenset[str]]] = field(default_factory=dict)


class Oracle(Watcher):
    """Is told of everything, and objects.

    Args:
        daemon: the engine, as it really is.
        origins: the databases, as they really are; the last may be one that no process knows.
    """

    def __init__(
        self,
        daemon: Daemon,
        origins: Sequence[Database],
        *,
        grace: float,
        delay: float,
        torn_down_after: float,
        witnessed_only: bool,
    ) -> None:
        self.violations: list[str] = []
        self.frames: list[Frame] = []
        self._daemon = daemon
        self._clock = daemon.clock
        self._grace, self._delay, self._witnessed_only = grace, delay, witnessed_only
        self._torn_down_after = torn_down_after
        self._origins = origins
        self._databases = range(sum(origin.name != "elsewhere" for origin in origins))
        self._rows: list[set[str]] = [set() for _ in origins]
        self._ever: set[str] = set()  # owners of anything that ever was on this host
        self._spoken_of: set[str] = set()  # prefixes of which there were rows, or reports
        self._shared: set[str] = set()  # prefixes that do not stand for one life of one topology
        self._born: dict[str, Birth] = {}
        self._came: dict[str, float] = {}
        self._removed_by: dict[str, object] = {}
        self._unanswered: set[tuple[object, str]] = set()
        self._told: set[tuple[object, str]] = set()

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
        here = {owner for t in self._daemon.things() if t is not thing for owner in owners_of(t)}
        for owner in sorted(owners_of(thing) - here, key=len):
            # An id that comes to its bare prefix belongs to what is there.
            with_it = self._born[owner[:8]] if owner[:8] in here else self._now()
            self._born[owner] = with_it
            self._came[owner] = self._clock.now
        self._ever |= owners_of(thing)

    def _now(self) -> Birth:
        return Birth(self._clock.tick(), self._clock.now)

    def committed(self) -> None:
        """The rows of the databases may have changed."""
        ever = {owner[:8] for owner in self._ever}
        for origin, known in zip(self._origins, self._rows, strict=True):
            for id_ in origin.rows - known:
                if id_[:8] in ever or id_[:8] in self._spoken_of:
                    self._shared.add(id_[:8])
                self._spoken_of.add(id_[:8])
            known.clear()
            known |= origin.rows

    def listed(self, process: Process) -> None:
        """A process has had a listing."""
        if process.listed is None:
            process.listed = self._now()

    def ended(self, process: Process) -> None:
        """A process has come to its end."""
        if process.listed is not None:
            process.line.watches.append((process.listed.at, self._clock.now))

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
            rows = {row for question_, _ in frame.round for row in question_.rows}
            for owner, born in self._born.items():
                asked = all(owner[:8] in q.prefixes and q.tick > born.tick for q, _ in frame.round)
                if asked and self._watched(process, born) and not _has_row(owner, rows):
                    process.line.guarded.add(born.tick)

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
            in_doubt = frozenset(old.seen) | (old.in_doubt if old.doubtful else frozenset())
            before = old.before | old.seen.keys()
            known = Known(table, reports=old.reports, before=before, in_doubt=in_doubt)
            process.known[number] = known
            if old.table is not None:
                known.changed, known.doubtful = True, frozenset(here)
        known.questions.append(replace(question, after_break=known.broken))
        known.broken = False
        shown = {row for row in question.rows if row[:8] in question.prefixes}
        known.seen.update(dict.fromkeys(shown, question.at))
        known.has_come_on |= any(_has_row(owner, shown & question.deployed) for owner in here)
        known.vouched |= any(_has_row(owner, shown) for owner in self._ever)
        known.doubtful = frozenset(o for o in known.doubtful if o in here and not known.saw(o))
        if all(any(_has_row(o, rows) for rows in elsewhere.values()) for o in known.doubtful):
            known.doubtful = frozenset()

    def reported(self, process: Process, database: int, ids: Iterable[str]) -> None:
        """A feed told a process of deletions."""
        process.known[database].reports.update(dict.fromkeys(ids, self._clock.now))
        process.line.told |= set(ids)
        self._spoken_of |= {id_[:8] for id_ in ids}
        # Where it is not so, or no more.
        self._shared |= {i[:8] for i in ids if any(i in origin.rows for origin in self._origins)}

    def feed_lost(self, process: Process, database: int) -> None:
        """A feed broke."""
        process.known[database].broken = True

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
        self._told = {(process, id_) for process, id_ in self._told if id_ != thing.id}
        if isinstance(caller, Process):
            for owner in owners_of(thing):
                caller.line.removed.setdefault(owner, self._clock.now)

    def found_gone(self, process: Process, owners: Iterable[str]) -> None:
        """A process was to remove something of these owners, and somebody else had been faster.

        It had judged them all the same, so what comes of them later is as little of a surprise.
        """
        for owner in owners:
            process.line.gone.setdefault(owner, self._clock.now)

    def unanswered(self, caller: object, thing: Thing) -> None:
        """A process cannot know what became of its request."""
        self._unanswered.add((caller, thing.id))

    def told_removed(self, process: Process, id_: str) -> None:
        """A process reports a thing as removed by it."""
        self._expect(
            self._removed_by.get(id_) is process or (process, id_) in self._unanswered,
            f"{process.name} says that it removed {id_[:12]}, and it did not",
        )
        self._expect((process, id_) not in self._told, f"{id_[:12]} was removed twice, it says")
        self._told.add((process, id_))
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
                alive = _has_row(owner, question.rows - self._gone(question.torn_down))
                self._expect(not alive, f"{what}: {owner} has a row in database {database}")
                for row in filter(lambda row: _has_row(owner, [row]), question.rows):
                    waited = self.frames[-1].known[database].torn_down_for(row, question.at)
                    long_enough = waited >= self._torn_down_after - LEEWAY
                    self._expect(long_enough, f"{what}: {row} only {waited:g} s torn down")
        if {owner[:8] for owner in owners} <= process.confirmed:
            return
        for owner in owners:
            if owner[:8] not in process.confirmed:
                self._expect(not self._alive(process, owner), f"{what}: {owner} is alive")
                if any(_has_row(owner, question.rows) for question in asked.values()):
                    continue  # torn down, and nothing more is asked of it
                why = self._evidence(self.frames[-1], owner, thing)
                self._expect(bool(why), f"{what}: nothing says that {owner} was deleted")
            waited = min(
                known.absent_for(owner, asked[database].at)[1]
                for database, known in enumerate(self.frames[-1].known)
            )
            long_enough = not self._delay or waited >= self._delay - LEEWAY
            self._expect(long_enough, f"{what}: only {waited:g} s gone")

    def _evidence(self, frame: Frame, owner: str, thing: Thing) -> str:
        """On which evidence the absence of an owner is a deletion; empty: on none."""
        if any(
            known.doubtful and _has_row(owner, known.in_doubt) and not known.saw(owner)
            for known in frame.known
        ):
            return ""  # wherever else it was: it may have been here since
        verdicts = []
        for database, known in enumerate(frame.known):
            asked_at, engine_now = frame.asked[database].at, frame.process.engine_now
            if known.saw(owner):
                verdicts.append("witnessed")
                if len(owner) > 8:
                    return "witnessed"
            elif (
                not known.vouched
                or known.doubtful
                or (frame.asked[database].behind and not known.has_come_on)
            ):
                verdicts.append("")
            elif any(
                _has_row(owner, [row]) and asked_at - at <= REPORT_LASTS
                for row, at in known.reports.items()
            ):
                verdicts.append("reported")
            else:
                lasted, total = known.absent_for(owner, asked_at)
                long_enough = lasted >= self._grace - LEEWAY
                if engine_now is not None:
                    age = max(0.0, engine_now - EPOCH - thing.created)
                    long_enough = min(age - self._grace, total - LOOKS_APART) >= -LEEWAY
                verdicts.append("grace" if long_enough and not self._witnessed_only else "")
        return min(verdicts, key=("", "grace", "reported", "witnessed").index)

    def _alive(self, process: Process, owner: str) -> bool:
        """Whether an owner has a row at its origin, and a process could know that it may."""
        born = self._born[owner]
        unseen = self._had_to_go(process.line.removed | process.line.gone, owner) or not (
            self._watched(process, born) or born.tick in process.line.guarded
        )
        return owner[:8] not in self._shared and any(
            _has_row(owner, origin.rows - self._gone(origin.torn_down))
            and not (origin.shows is Shows.SECRET_COPY and unseen)
            for origin in self._origins
        )

    def _gone(self, torn_down: Set[str]) -> Set[str]:
        """Those of the rows that are torn down that keep nothing."""
        return torn_down if self._torn_down_after else frozenset()

    def _watched(self, process: Process, born: Birth) -> bool:
        return process.listed is not None and born.tick > process.listed.tick

    def must_go(
        self,
        process: Process,
        thing: Thing,
        tables: Sequence[Iterable[str]],
        *,
        witnessed_only: bool,
    ) -> bool:
        """Whether nothing excuses that a thing is still there, some time after all is well.

        Args:
            process: has had the time to see it.
            thing: is still there.
            tables: what can be seen in each database that is known.
            witnessed_only: excuse what was not witnessed.
        """
        owners = owners_of(thing)
        standing = {
            row for origin in self._origins for row in origin.rows - self._gone(origin.torn_down)
        }
        if not owners or any(_has_row(owner, standing) for owner in owners):
            return False
        torn_down = {row for origin in self._origins for row in origin.rows}
        here = {owner for other in self._daemon.things() for owner in owners_of(other)}
        lately = self._clock.now - 400.0
        for owner in owners:
            if any(known.lost(owner) for known in process.known):
                return False
            if rows := [row for row in torn_down if _has_row(owner, [row])]:
                shown = {row for table in tables for row in table}
                if any(known.changed for known in process.known) or not set(rows) <= shown:
                    return False
                continue
            seen = [known.saw(owner, lately) for known in process.known]
            trusted = [
                not known.changed
                and not self._witnessed_only
                and not witnessed_only
                and self._origins[database].shows is not Shows.COPY
                and (
                    self._is_explained(process, owner) or not self._may_be_unproven(process, owner)
                )
                and any(_has_row(other, tables[database]) for other in here)
                for database, known in enumerate(process.known)
            ]
            if len(owner) > 8 and any(seen):
                continue
            if not all(s or t for s, t in zip(seen, trusted, strict=True)):
                return False
        return True

    def _is_explained(self, process: Process, owner: str) -> bool:
        """Whether it is known why something came without a row."""
        line = process.line
        return _has_row(owner, line.told) or self._had_to_go(line.removed, owner)

    def _had_to_go(self, owners: Mapping[str, float], owner: str) -> bool:
        """Whether something of it is among these, with no later time than it came."""
        before = {o for o, at in owners.items() if at <= self._born[owner].at}
        return owner[:8] in before or _has_row(owner, before)

    def _may_be_unproven(self, process: Process, owner: str) -> bool:
        """Whether it came to the host while a process of this line watched."""
        watches = list(process.line.watches)
        if process.listed is not None:
            watches.append((process.listed.at, math.inf))
        # The engine tells the time in whole seconds.
        times = (
            self._born[owner].at,
            self._came[owner],
        )  # of the prefix that it came to, and its own
        return any(since - 2.0 <= at <= until for since, until in watches for at in times)

    def _expect(self, holds: bool, broken: str) -> None:
        if not holds:
            self.violations.append(broken)
            raise Violation(broken)
