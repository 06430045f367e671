"""Which images go with a topology, where images are to go at all.

They come last, once nothing else of the prefix is left, and while no row has it: a prefix is all
that an image's label names. They go by the evidence of what went before them.

Some are alone here, for the rest went while nobody watched, or by DECNET's own teardown, which
leaves images. A sweep looks for those. They are never in the index, where they would keep a prefix
for ever and pass for a sign of its life; so nobody has observed how long their row is absent, and
they go only if it was seen, or if its deletion was reported, and never with a delay.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from listener.control.inventory import PrefixIndex
from listener.core.evidence import State, Verdict
from listener.core.judge import Answers
from listener.core.outcome import Removal, Result
from listener.core.resources import Resource

ListImages = Callable[[str, Collection[Resource]], Sequence[Resource]]
"""Lists the images of a topology, or of any, that nobody else uses; raises EngineError.

It is given the prefix, empty for any, and what was removed of the topology or is going to be.
"""


class Images:
    """Finds them; removes none.

    Args:
        index: what else is on this host.
        list_images: lists what may go.
        judge: the verdict on each of some resources, by new answers; raises NoAnswer.
        dry_run: nothing is removed, so they are told of beside the rest, once for each prefix.
    """

    def __init__(
        self,
        index: PrefixIndex,
        list_images: ListImages,
        judge: Callable[[Collection[Resource]], tuple[Answers, dict[str, Verdict]]],
        *,
        dry_run: bool,
    ) -> None:
        self._index = index
        self._list = list_images
        self._judge = judge
        self._dry_run = dry_run
        self._told: set[str] = set()

    def alone(self) -> frozenset[str]:
        """The prefixes of which nothing but images is left here, and these may go.

        Raises:
            EngineError: the images cannot be listed.
            NoAnswer: the database gave no answer that can be trusted.
        """
        here = self._index.prefixes()
        images = [image for image in self._list("", ()) if here.isdisjoint(image.prefixes)]
        doomed, _ = self._doomed(images, {}, alone=True)
        return frozenset(prefix for image in doomed for prefix in image.prefixes)

    def doomed(
        self, prefix: str, removals: Iterable[Removal], verdicts: dict[str, Verdict]
    ) -> tuple[Sequence[Resource], float]:
        """The images that may go with a topology, and when that was asked.

        Args:
            prefix: the topology's.
            removals: what became of the rest.
            verdicts: by resource id, on the rest; those on images are put to them.

        Raises:
            EngineError: the images cannot be listed.
            NoAnswer: the database gave no answer that can be trusted.
        """
        here = self._index.resources(prefix)
        stays = {resource.id for resource in here} - _orphans(verdicts)
        if stays or (here and not self._dry_run) or prefix in self._told:
            return (), -math.inf
        went = [r.resource for r in removals if r.result in (Result.REMOVED, Result.GONE)]
        images = self._list(prefix, [*here, *went])
        if self._dry_run:
            self._told.add(prefix)
        return self._doomed(images, verdicts, alone=not (here or went))

    def _doomed(
        self, images: Sequence[Resource], verdicts: dict[str, Verdict], *, alone: bool
    ) -> tuple[Sequence[Resource], float]:
        if not images:
            return (), -math.inf
        answers, judged = self._judge(images)
        verdicts.update(judged)
        orphans = {id_ for id_ in _orphans(judged) if not (alone and judged[id_].timed)}
        return [image for image in images if image.id in orphans], answers.at


def _orphans(verdicts: Mapping[str, Verdict]) -> set[str]:
    """The ids of what is to go."""
    return {id_ for id_, verdict in verdicts.items() if verdict.state is State.ORPHAN}
