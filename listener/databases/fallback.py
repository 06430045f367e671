"""Push where the database allows it, polling where it does not.

Whether it does shows only once the database is reached, and may change: a restore drops a trigger,
an administrator grants a right. So each time that push turns out to be impossible the reason is
said, once, the database is polled for a while, and then push is tried again.

Push may go on hearing a table, or a server, whose place another one has taken. So it is told which
one answers, and is connected anew when that is not the one that it hears.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from loguru import logger

from listener.core.numbers import plain
from listener.core.once import Once
from listener.databases.feed import Feed, Hint
from listener.databases.poll import PollFeed
from listener.errors import ConfigurationError, NoAnswer, PushUnavailable


class PushOrPoll(Feed):
    """One feed made of two.

    Args:
        push: is preferred.
        poll: takes its place for as long as it lasts.
        required: push has to be possible at the start.
        same: whether two identities are of one table; see :meth:`Topologies.same_table`.
    """

    def __init__(
        self,
        push: Feed,
        poll: PollFeed,
        *,
        required: bool,
        same: Callable[[str, str, bool], bool] = lambda heard, answered, _: heard == answered,
    ) -> None:
        self._push = push
        self._poll = poll
        self._required = required
        self._same = same
        self._feed: Feed = push
        self._poll_next = False
        self._answered = ""
        self._reason = Once()

    @property
    def name(self) -> str:
        """Of the one that is in use."""
        return self._feed.name

    def connect(self) -> None:
        """Connect the one that is to be used from now on.

        Raises:
            NoAnswer: the database cannot be reached.
            ConfigurationError: push is required, and not possible.
        """
        if self._poll_next:
            self._feed, self._poll_next = self._poll, False
            return
        try:
            self._push.connect()
        except PushUnavailable as error:
            if self._required:
                raise ConfigurationError(f"--feed: {error}") from error
            self._say(error)
            self._feed = self._poll
        else:
            self._feed = self._push
            self._reason.forget()
            self._required = False

    def follow(self, hint: Hint, stop: threading.Event) -> None:
        """Follow the one that was connected.

        Raises:
            NoAnswer: nothing more will be heard on this connection.
        """
        try:
            self._feed.follow(hint, stop)
        except PushUnavailable as error:
            self._say(error)
            self._poll_next = True
        except NoAnswer as error:
            if self._poll_next:
                return
            if self._hears_another:
                raise NoAnswer("another table replaced the one whose deletions it told") from error
            raise

    def answered(self, identity: str) -> None:
        """Connect push anew if it hears another table than this one; from any thread."""
        self._answered = identity
        if self._hears_another:
            self._push.close()

    def distrust(self) -> None:
        """Poll for a while, because a deletion was not told of; from any thread."""
        if self._feed is self._push:
            self._poll_next = True
            self._push.close()

    def close(self) -> None:
        """End :meth:`follow` soon after ``stop`` was set; from any thread."""
        self._push.close()

    @property
    def _hears_another(self) -> bool:
        """Whether the last answer came from another table than push hears."""
        heard = self._push.identity
        known = "" not in (heard, self._answered)
        return known and not self._same(heard, self._answered, True)

    def _say(self, error: PushUnavailable) -> None:
        if self._reason.is_new(str(error)):
            logger.bind(event="feed", feed="poll", error=str(error)).warning(
                "polling every {} s: {}", plain(self._poll.interval), error
            )
