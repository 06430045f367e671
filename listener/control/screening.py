"""Where each prefix stands, by the verdicts on what it has on this host.

A prefix may stand in several places at once: something of it is an orphan, something waits,
something is held. Of several reasons to wait or to hold, one is told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from listener.core.evidence import REPLACED, State, Verdict
from listener.core.judge import DOUBTFUL
from listener.core.outcome import Screening
from listener.core.resources import Resource


def sort(
    resources: Mapping[str, Sequence[Resource]],
    verdicts: Mapping[str, Verdict],
    is_unconfirmed: Callable[[str], bool],
) -> Screening:
    """Which prefixes have orphans, wait, or are held, and why; the rest is left empty.

    Args:
        resources: by prefix.
        verdicts: by resource id.
        is_unconfirmed: whether only an event claims the resource with this id.
    """
    orphans: dict[str, list[Resource]] = {}
    waiting: dict[str, Verdict] = {}
    held: dict[str, Verdict] = {}
    doubtful: dict[str, str] = {}
    unconfirmed = False
    for prefix, members in resources.items():
        for resource in members:
            verdict = verdicts[resource.id]
            if verdict.state is State.ORPHAN:
                orphans.setdefault(prefix, []).append(resource)
            elif verdict.state is State.WAITING:
                waiting[prefix] = max(waiting.get(prefix, verdict), verdict, key=lambda v: v.wait)
            elif verdict.state is State.HELD and is_unconfirmed(resource.id):
                unconfirmed = True
            elif verdict == DOUBTFUL:
                doubtful[prefix] = verdict.evidence
            elif verdict.state is State.HELD:
                # Of several reasons our own, the strongest, and always the same one.
                held[prefix] = min(
                    held.get(prefix, verdict),
                    verdict,
                    key=lambda v: (v.elsewhere, v.evidence != REPLACED, v.evidence),
                )
    reasons = {prefix: verdict.evidence for prefix, verdict in held.items()}
    # Whoever confirms a prefix releases all of it, so both are said.
    said = reasons | {
        prefix: f"{reasons[prefix]}; and {doubt}" if prefix in reasons else doubt
        for prefix, doubt in doubtful.items()
    }
    return Screening(
        live=frozenset(),
        orphans=orphans,
        waiting=waiting,
        held=said,
        token="",
        binding={p: reason for p, reason in reasons.items() if not held[p].elsewhere},
        unconfirmed=unconfirmed,
        resources=resources,
        verdicts=verdicts,
    )
