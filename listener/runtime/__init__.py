"""The listener and the single sweep: threads, connections, files, and how the parts fit.

:mod:`~listener.runtime.build` makes the parts from the settings,
:mod:`~listener.runtime.daemon` keeps them at work and :mod:`~listener.runtime.sweep` has them work
once.
"""
