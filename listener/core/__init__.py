"""What is decided, and from what: plain values and rules, without lock, log, thread or clock.

Which topology a resource belongs to (:mod:`~listener.core.ownership`), what an absent row is worth
(:mod:`~listener.core.evidence`, :mod:`~listener.core.unproven`), and the one verdict that follows
(:mod:`~listener.core.judge`).
"""
