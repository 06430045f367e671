"""One connection to a NATS broker, for threads.

The client, nats-py, is made for asyncio: a thread of the connection's own runs its loop. What is
heard is handed on there, so whoever is told has to return at once.

A connection that is lost stays so, and whoever uses it connects anew: the supervisor's retries are
the only ones. It is lost as well when the broker was silent for some seconds; and the broker ends
it when we are too slow to hear all. What this user may not do the broker tells beside the rest,
some moments later: it ends whatever waits then.

nats-py 2.16 stops to read, and says so in its own log alone, at a subject for the answer that is no
UTF-8 or has a vertical tab in it, and at some headers; any host may publish these, and nats-server
passes them on (tried with 2.9). So whatever comes in is made plain ASCII first, which all messages
of ours are, and the end of its reading is a lost connection.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import socket
import ssl
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, TypeVar

import nats.errors
from loguru import logger
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.protocol.parser import Parser

from listener.databases.nats.address import Broker

CONNECT_TIMEOUT = 10.0
"""Seconds until a broker that does not answer is given up."""
PING_EVERY = 5
"""Seconds; a broker that has not answered to two is lost."""
MARGIN = 2.0
"""Seconds more that the loop, which keeps all times, is waited for; and those for a last word."""
_PLAIN = bytes(byte if 32 <= byte < 127 or byte in b"\t\r\n" else ord("?") for byte in range(256))

Value = TypeVar("Value")

for _name in ("asyncio", "nats"):  # their warnings come out as errors; none is for standard error
    logging.getLogger(_name).addHandler(logging.NullHandler())


class BusError(Exception):
    """The broker cannot be reached, refuses, or the connection is lost; a predicate of it."""


class NobodyListens(BusError):
    """Nobody has subscribed to what was asked on."""


class Unanswered(BusError):
    """Nobody has answered in time."""


class Heard(Protocol):
    """Takes a message; called on the connection's own thread, and returns at once."""

    def __call__(self, subject: str, reply: str, data: bytes, /) -> None:
        """A message.

        Args:
            subject: it came on, as the broker has checked.
            reply: the subject that its sender wants an answer on; nobody has checked it.
            data: of the message.
        """


class Bus:
    """A connection to a broker; making one connects. Safe to use from any thread but its own.

    Args:
        broker: where it is.
        name: what the broker calls this connection.
        inbox: what the subjects of answers to us begin with, before a dot.
        lost: is told why, once, when the connection is lost and not closed; on its own thread.
        timeout: seconds for each server of the broker.

    Raises:
        BusError: none can be reached, or lets us in; or a file cannot be used.
    """

    def __init__(
        self,
        broker: Broker,
        *,
        name: str,
        inbox: str = "_INBOX",
        lost: Callable[[str], None],
        timeout: float = CONNECT_TIMEOUT,
    ) -> None:
        options = {**login(broker), "name": name, "inbox_prefix": inbox}
        self._lost = lost
        self._client = _Client(encrypted=broker.tls)
        self._waiting: set[asyncio.Future[str]] = set()
        self._is_connecting = True
        self._why = ""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="nats", daemon=True)
        self._thread.start()
        try:
            self._call(self._connect(broker, options, timeout), timeout * len(broker.servers))
        except BaseException:
            self.close()
            raise

    @property
    def is_open(self) -> bool:
        """Whether it was neither lost nor closed."""
        return not self._is_connecting and not self._why

    def publish(self, *messages: tuple[str, bytes], until_taken: bool = False) -> None:
        """Send messages, each with the subject before it, in this order.

        Args:
            messages: to be sent.
            until_taken: wait until the broker has taken them.

        Raises:
            BusError: the connection is lost, a message is larger than the broker takes, or, where
                that is waited for, this user may not.
        """

        async def publish() -> None:
            for subject, data in messages:
                await self._client.publish(subject, data)
            if until_taken:
                await self._client.flush(int(CONNECT_TIMEOUT))

        self._call(publish(), CONNECT_TIMEOUT)

    def subscribe(self, subject: str, heard: Heard, *, queue: str = "") -> None:
        """Hear what is published there; returns when the broker has it.

        Args:
            subject: may have wildcards.
            heard: takes the messages.
            queue: of those who subscribe under this name, one takes each message.

        Raises:
            BusError: the connection is lost, or this user may not.
        """

        async def take(message: Msg) -> None:
            try:
                heard(message.subject, message.reply, message.data)
            except Exception:
                logger.bind(event="defect", loop="nats").exception(
                    "a message could not be taken, by a defect of ours; the next one is"
                )

        async def subscribe() -> None:
            await self._client.subscribe(subject, queue, cb=take)
            await self._client.flush(int(CONNECT_TIMEOUT))

        self._call(subscribe(), CONNECT_TIMEOUT)

    def request(self, subject: str, data: bytes, timeout: float) -> bytes:
        """Ask, and wait for the one answer.

        Args:
            subject: where.
            data: the question.
            timeout: seconds.

        Raises:
            NobodyListens: nobody hears it; the broker says so at once.
            Unanswered: nobody has answered in time.
            BusError: the connection is lost, or this user may not.
        """

        async def request() -> bytes:
            answer: Msg = await self._client.request(subject, data, timeout)
            return answer.data

        return self._call(request(), timeout)

    def close(self) -> None:
        """End the connection and its thread; from any thread but its own, any number of times."""
        self._why = self._why or "was disconnected"
        with suppress(RuntimeError):  # it is closed
            self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    # On the caller's thread.

    def _call(self, work: Coroutine[Any, Any, Value], timeout: float) -> Value:
        """What comes of work on the loop, within so many seconds."""
        call = self._while_it_lasts(work, timeout + MARGIN)
        try:
            running = asyncio.run_coroutine_threadsafe(call, self._loop)
        except RuntimeError:  # it is closed
            call.close()
            work.close()
            raise BusError(self._why) from None
        try:
            return running.result(timeout + 2 * MARGIN)
        except BusError:
            raise
        except nats.errors.NoRespondersError:
            raise NobodyListens("has nobody who hears that") from None
        except TimeoutError:
            running.cancel()
            raise Unanswered(f"gave no answer within {timeout:g} s") from None
        except (CancelledError, nats.errors.ConnectionClosedError):
            raise BusError(self._why) from None
        except Exception as error:  # nats-py raises anything for a key that it does not know
            raise BusError(_meaning(error)) from error

    # On the loop's.

    def _run(self) -> None:
        try:
            self._loop.run_forever()
            self._loop.run_until_complete(self._end())
        finally:
            self._loop.close()

    async def _end(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(_let_go(self._client), MARGIN)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _while_it_lasts(self, work: Coroutine[Any, Any, Value], timeout: float) -> Value:
        ended: asyncio.Future[str] = self._loop.create_future()
        self._waiting.add(ended)
        task = asyncio.ensure_future(work)
        either: set[asyncio.Future[Any]] = {task, ended}
        try:
            await asyncio.wait(either, timeout=timeout, return_when="FIRST_COMPLETED")
            if ended.done():
                raise BusError(ended.result())
            if not task.done():
                raise TimeoutError
            return task.result()
        finally:
            self._waiting.discard(ended)
            task.cancel()

    async def _connect(self, broker: Broker, options: dict[str, Any], timeout: float) -> None:
        servers = random.sample(broker.servers, len(broker.servers))  # to spread hosts
        while True:
            try:
                await self._client.connect(
                    f"nats://{servers.pop()}",
                    error_cb=self._error,
                    closed_cb=self._watch(self._client),
                    allow_reconnect=False,
                    connect_timeout=timeout,  # type: ignore[arg-type]  # of any kind
                    ping_interval=PING_EVERY,
                    **options,
                )
            except Exception:
                # Where no TLS came about it would wait for ever.
                self._closing = asyncio.ensure_future(_let_go(self._client))
                if not servers:
                    raise
                self._client = _Client(encrypted=broker.tls)
            else:
                self._is_connecting = False
                return

    async def _error(self, error: Exception) -> None:
        if self._is_connecting:
            raise error  # else it would be tried again
        if "permissions violation" in str(error):
            self._end_waiting(_meaning(error))

    def _watch(self, client: Client) -> Callable[[], Coroutine[Any, Any, None]]:
        """What is to be done when it is closed; of one that was given up that may be late."""

        async def closed() -> None:
            if self._is_connecting or client is not self._client:
                return
            if not self._why:
                error = client.last_error
                self._why = _meaning(error) if error else "ended the connection"
                self._lost(self._why)
            self._end_waiting(self._why)

        return closed

    def _end_waiting(self, why: str) -> None:
        for ended in self._waiting:
            if not ended.done():
                ended.set_result(why)


class _Client(Client):
    """nats-py's, which no byte that comes in leaves deaf without an error.

    Args:
        encrypted: say nothing to a broker that asks for no TLS, or to who stands in its place;
            nats-py would go on in clear.
    """

    def __init__(self, *, encrypted: bool) -> None:
        super().__init__()
        self._ps = _Parser(self)
        self._encrypted = encrypted

    def _connect_command(self) -> bytes:
        if self._encrypted and not self._server_info.get("tls_required"):
            raise nats.errors.SecureConnWantedError
        return super()._connect_command()

    async def _send_ping(self, future: asyncio.Future[bool] | None = None) -> None:
        # nats-py's passes by what waits to be sent, and then its answer does not tell of that.
        await self._flush_pending(force_flush=True)
        await super()._send_ping(future)

    async def _process_headers(self, headers: Any) -> dict[str, str] | None:
        try:
            return await super()._process_headers(headers)
        except IndexError:  # nothing follows their version
            return None

    async def _read_loop(self) -> None:
        await super()._read_loop()
        if self.is_connected:
            await self._process_op_err(nats.errors.ProtocolError())


class _Parser(Parser):
    async def parse(self, data: bytes = b"") -> None:
        await super().parse(data.translate(_PLAIN))


async def _let_go(client: Client) -> None:
    with suppress(Exception):  # there is nobody to tell
        await client.close()


def login(broker: Broker) -> dict[str, Any]:
    """What the client is told of who we are.

    Raises:
        BusError: a file cannot be used.
    """
    options: dict[str, Any] = {}
    if broker.tls:
        options["tls"] = _tls(broker)
    if broker.user:
        options |= {"user": broker.user, "password": broker.password}
    if broker.credentials:
        options |= _credentials(broker.credentials)
    return options


def _tls(broker: Broker) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=broker.authority or None)
        if broker.certificate:
            context.load_cert_chain(
                broker.certificate,
                broker.key or None,
                password=lambda: "",  # never ask at a terminal
            )
    except (OSError, ValueError) as error:
        files = ", ".join(filter(None, (broker.authority, broker.certificate, broker.key)))
        raise BusError(
            f"cannot be spoken to by TLS with {files or 'the certificates of the system'}:"
            f" {getattr(error, 'strerror', None) or error}; give PEM files that this user may read"
        ) from error
    return context


def _credentials(path: str) -> dict[str, Any]:
    try:
        import nkeys  # noqa: F401 - nats-py would import it too late to say so

        text = Path(path).read_text("ascii")
    except ImportError as error:
        raise BusError(
            "takes a signature, for which a package is not installed; pip install"
            " 'topology-reaper[fleet]'"
        ) from error
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or "it is no text"
        raise BusError(
            f"needs --nats-credentials {path}, which cannot be read ({said}); give a file that this"
            " user may read"
        ) from error
    if "BEGIN NATS USER JWT" in text and "BEGIN USER NKEY SEED" in text:
        return {"user_credentials": path}
    if text.startswith("SU") and len(text.split()) == 1:
        return {"nkeys_seed": path}
    raise BusError(
        f"needs --nats-credentials {path}, which has neither a JWT and its seed nor the seed of a"
        " user's NKey; give the file that nsc or nk has made"
    )


def _meaning(error: Exception) -> str:
    """What an error of the client means, as a predicate with its remedy."""
    said = str(error).removeprefix("nats: ").strip("'") or type(error).__name__
    text = said.lower()
    if "authorization" in text or "authentication" in text:
        return f"does not let this user in ({said}); see that user and password are its own"
    if "permissions violation" in text:
        return f"does not allow this user what it needs ({said}); give it the permissions of a host"
    if isinstance(error, nats.errors.SecureConnWantedError):
        return "does not encrypt, and nothing was said to it; give it a certificate, or nats://"
    if isinstance(error, ssl.SSLError) or "certificate" in text:
        return f"cannot be spoken to by TLS ({said}); see that sslrootcert is its authority's"
    if isinstance(error, nats.errors.MaxPayloadError):
        return "takes no message of that size; set max_payload to 1MB"
    if isinstance(error, nats.errors.StaleConnectionError | nats.errors.ProtocolError):
        return f"was disconnected ({said})"
    if isinstance(error, ConnectionError) and error.errno:  # asyncio has words of its own for it
        said = os.strerror(error.errno)
    if isinstance(error, socket.gaierror):
        said = error.strerror or said
    return f"cannot be reached: {said}"
