"""The relay: one process beside the database that asks it, and hears of deletions, for many hosts.

:mod:`~listener.runtime.relay.relay` wires it: two connections to a NATS server, of which one
answers (:mod:`~listener.runtime.relay.answering`) and the other announces
(:mod:`~listener.runtime.relay.announcing`), and the feed of the database, as a listener has one.
"""
