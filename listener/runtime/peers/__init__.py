"""Listeners on one engine tell each other what they hold, whatever their state folders.

Each listens at an abstract socket with the engine's mark in its name, and sends whoever connects
what it holds by its own judgement, never what it only heard of another
(:mod:`~listener.runtime.peers.serving`). Whoever is about to remove something, a listener or a
sweep, finds these names (:mod:`~listener.runtime.peers.names`) and asks first
(:mod:`~listener.runtime.peers.asking`). Such names belong to a network namespace: a peer in another
one is not seen. Anybody may bind such a name, so a peer counts only if it runs as root or as our
own user, which the kernel tells.
"""
