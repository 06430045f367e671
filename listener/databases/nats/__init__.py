"""Topologies behind a relay, which asks the database for many hosts; NATS carries the messages.

:mod:`~listener.databases.nats.wire` is what is said, :mod:`~listener.databases.nats.bus` how it
gets there; the relay uses both. The other modules are the host's side.
"""
