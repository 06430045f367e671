"""One simulated host with its engine, databases and listeners, in one thread and on one clock.

``engine`` is a Docker Engine in memory and ``database`` a table of topologies; ``listener`` runs
the real parts of the daemon between them, step by step. ``world`` holds it all together and lets
anything happen inside of each request; ``moves`` is everything that an adversary can do to it.
``oracle`` imports nothing of the decision and objects to every removal that the design does not
allow.

A test of one path plays it with :class:`~tests.world.host.Host`; in ``tests.property`` chance does.
"""
