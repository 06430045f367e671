"""Which images go with a topology, where images are to go at all.

They come last, once nothing else of the prefix is left, and while no row has it: a prefix is all
that an image's label names. Nothing waits for them, for an engine may take long over their list: a
prefix is reconciled without, and what went of it is noted. Its images then go by the evidence of
that, in work of their own.

Some are alone here, for the rest went while nobody watched, or by DECNET's own teardown, which
leaves images. A sweep looks for those. They are never in the index, where they would keep a prefix
for ever and pass for a sign of its life; so nobody has observed how long their row is absent, and
they go only if it was seen, or if its deletion was reported, and never with a delay.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from listener.control.inventory import PrefixIndex
from listener.core.evidence import State, Verdict
from listener.core.judge import Answers
from listener.core.outcome import Outcome, Removal, Result
from listener.core.resources import Kind, Resource

ListImages = Callable[[Collection[str]], Sequence[Resource]]
"""Lists the images that compose built for any topology and that no container uses, but for those
with these ids; raises EngineError."""
Judging = Callable[[Collection[Resource]], tuple[Answers, dict[str, Verdict]]]
"""The verdict on each of some resources, by new answers; raises NoAnswer."""
Remove = Callable[[str, Collection[Resource], float, dict[str, Verdict]], Sequence[Removal]]
"""Removes what is to go of a prefix by such verdicts, which it brings up to date, of answers that
were asked for at that time."""


class Images:
    """Finds them, and has them removed. Safe to use from several threads.

    Args:
        index: what else is on this host.
        list_images: lists what may go; None: all of them stay, and are not looked for.
        judge: judges it.
        remove: removes it.
        late: the prefixes with something whose removal was requested and not seen to end.
        dry_run: nothing is removed, so images are told of beside the rest.
    """

    def __init__(
        self,
        index: PrefixIndex,
        list_images: ListImages | None,
        judge: Judging,
        remove: Remove,
        late: Callable[[], frozenset[str]],
        *,
        dry_run: bool,
    ) -> None:
        self._index = index
        self.wanted = list_images is not None
        """Whether any are to go."""
        self._list = list_images or (lambda _leaving: ())
        self._judge = judge
        self._remove = remove
        self._late = late
        self._dry_run = dry_run
        self._lock = threading.Lock()
        # By prefix and id, what went of it; in a dry run what would.
        self._went: dict[str, dict[str, Resource]] = {}

    def note(self, prefix: str, outcome: Outcome) -> bool:
        """Remember what went of a topology, until its images are through; whether any is new."""
        went: Sequence[Resource]
        if self._dry_run:
            went = self._index.resources(prefix)
            orphans = {i for i, v in outcome.verdicts.items() if v.state is State.ORPHAN}
            went = went if orphans.issuperset(resource.id for resource in went) else ()
        else:
            ended = (Result.REMOVED, Result.GONE)
            went = [r.resource for r in outcome.removals if r.result in ended]
        with self._lock:
            new = {r.id: r for r in went if r.id not in self._went.get(prefix, ())}
            if new := {id_: r for id_, r in new.items() if r.kind is not Kind.IMAGE}:
                self._went.setdefault(prefix, {}).update(new)
        return bool(new)

    def forget(self, prefixes: Collection[str]) -> None:
        """The images of these are through, or it has a row again."""
        with self._lock:
            for prefix in prefixes:
                self._went.pop(prefix, None)

    @property
    def owners(self) -> frozenset[str]:
        """Of what went; their evidence is still needed."""
        with self._lock:
            went = [resource for known in self._went.values() for resource in known.values()]
        return frozenset(owner for resource in went for owner in resource.owners)

    def reap(self, only: Collection[str] | None = None) -> Mapping[str, Outcome]:
        """Remove images of topologies of which nothing else is left; by prefix, what came of it.

        Args:
            only: of these prefixes; None: of any.

        Raises:
            EngineError: they cannot be listed.
            NoAnswer: the database gave no answer that can be trusted.
        """
        with self._lock:
            went = {prefix: tuple(known.values()) for prefix, known in self._went.items()}
        unused = self._list({resource.id for known in went.values() for resource in known})
        here = self._index.prefixes()  # only now, for the list may have taken long
        busy = self._late() | (here - went.keys() if self._dry_run else here)
        images: dict[str, list[Resource]] = {}
        for image in unused:
            (prefix,) = image.prefixes
            if prefix not in busy and (only is None or prefix in only):
                images.setdefault(prefix, []).append(_like(image, went.get(prefix, ())))
        outcomes, again = self._reap(images, went.keys()) if images else ({}, set())
        self.forget(went.keys() - busy - here - again)
        return outcomes

    def _reap(
        self, images: Mapping[str, Sequence[Resource]], noted: Collection[str]
    ) -> tuple[Mapping[str, Outcome], set[str]]:
        """By prefix, what became of its images; and the prefixes with some that are not through."""
        answers, verdicts = self._judge([image for those in images.values() for image in those])
        outcomes, again = {}, set()
        stays = (Result.PENDING, Result.FAILED)
        for prefix, those in images.items():
            doomed = [
                image
                for image in those
                if verdicts[image.id].state is State.ORPHAN
                # Alone, nobody has observed its absence.
                and (prefix in noted or not verdicts[image.id].timed)
            ]
            of_it = self._remove(prefix, doomed, answers.at, verdicts)
            if self._dry_run and doomed:
                outcomes[prefix] = Outcome((), {image.id: verdicts[image.id] for image in doomed})
            if of_it:
                outcomes[prefix] = Outcome(
                    of_it,
                    {removal.resource.id: verdicts[removal.resource.id] for removal in of_it},
                    frozenset(r.resource.id for r in of_it if r.result in stays),
                )
            waits = any(verdicts[image.id].state is State.WAITING for image in those)
            if waits or (of_it and outcomes[prefix].unfinished):
                again.add(prefix)
        return outcomes, again


def _like(image: Resource, went: Collection[Resource]) -> Resource:
    """The image as its owners', and as old as the youngest of what went."""
    owners = {owner for r in went for owner in r.owners if owner.startswith(image.owners)}
    created = max((resource.created or 0.0 for resource in went), default=None)
    return replace(image, owners=tuple(sorted(owners)) or image.owners, created=created)
