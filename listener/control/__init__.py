"""What happens next, in any order that a test may play: no thread, socket or clock in here.

An event, a hint or a listing becomes a key in a queue (:mod:`~listener.control.controller`); the
work on a prefix is to look, ask, judge and reap (:mod:`~listener.control.reconciler`,
:mod:`~listener.control.reaper`), and observers are told what came of it.
"""
