"""What a request to the engine raises, in the SDK or in a layer below it, as an error of ours.

The layers wrap each other's exceptions, and the innermost tells most. So :func:`_meaning`, one
table of classes and sentences, is asked from the root cause outwards. The class says whether the
engine has refused the request, or may still do what it was asked.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
from collections.abc import Iterator, Mapping
from typing import Final

import docker.errors
import requests
import urllib3

from listener.errors import EngineError, Gone, InProgress, InUse, Refused, TimedOut, Unanswered

OF_ONE_OBJECT: Final = {404: Gone, 409: InProgress, 403: InUse}
"""What the status of an answer means to a request about one object."""

_NONE: Final[Mapping[int, type[EngineError]]] = {}


@contextlib.contextmanager
def translated(engine: str, statuses: Mapping[int, type[EngineError]] = _NONE) -> Iterator[None]:
    """Whatever a request raises becomes an EngineError, with it as the cause.

    Args:
        engine: the option that names it, and its address.
        statuses: what some statuses mean to this request; each is raised with the engine's text.
    """
    try:
        yield
    except (
        docker.errors.DockerException,
        requests.RequestException,
        urllib3.exceptions.HTTPError,
        OSError,
        # What is raised for an answer that no engine gives.
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        RecursionError,
    ) as error:
        if isinstance(error, docker.errors.APIError) and (
            meant := statuses.get(error.status_code or 0)
        ):
            raise meant(_explanation(error)) from error
        kind, problem = _root_cause(error)
        raise kind(f"{engine} {problem}") from error


def raise_for_status(answer: requests.Response) -> None:
    """Raise what the SDK raises for an answer that says no."""
    try:
        answer.raise_for_status()
    except requests.HTTPError as error:
        docker.errors.create_api_error_from_http_exception(error)


def _root_cause(error: Exception) -> tuple[type[EngineError], str]:
    """The meaning of the innermost cause that has one; without any, this was no engine."""
    meanings = (_meaning(cause) for cause in reversed(list(_causes(error))))
    kind, problem = next(
        filter(None, meanings), (EngineError, "does not answer like a Docker Engine")
    )
    if isinstance(error, requests.ConnectTimeout):
        kind = EngineError  # it was not even asked
    return kind, problem


def _meaning(error: BaseException) -> tuple[type[EngineError], str] | None:
    """The class of an exception, and the predicate of a sentence about the engine's address."""
    match error:
        case FileNotFoundError() | NotADirectoryError():
            problem = "does not exist; start the Docker Engine, or give its own socket"
            return EngineError, problem
        case PermissionError():
            problem = f"may not be used by uid {os.geteuid()}; run in the socket's group"
            return EngineError, problem
        case ConnectionRefusedError():
            return EngineError, "refuses connections; start the Docker Engine"
        case ssl.SSLError():
            return EngineError, _tls_problem(error)
        case ConnectionResetError() | BrokenPipeError():
            return Unanswered, "closed the connection"
        case socket.gaierror():
            return EngineError, "names a host that is not known"
        case TimeoutError() | requests.Timeout() | urllib3.exceptions.TimeoutError():
            return TimedOut, (
                "does not answer in time; see whether it hangs, or give it longer by"
                " --docker-timeout"
            )
        case docker.errors.APIError(status_code=400) if "HTTPS server" in _explanation(error):
            return Refused, (
                "speaks TLS alone; set DOCKER_TLS_VERIFY=1, and DOCKER_CERT_PATH to the folder"
                " with ca.pem, cert.pem and key.pem, or put these into its context"
            )
        # What a proxy says that had no answer from the engine.
        case docker.errors.APIError(status_code=502 | 503):
            return Unanswered, f"answered {_explanation(error)}"
        case docker.errors.APIError(status_code=504):
            return TimedOut, f"answered {_explanation(error)}"
        case docker.errors.APIError():
            return Refused, f"answered {_explanation(error)}"
        case docker.errors.InvalidVersion():
            return EngineError, "speaks a version of the API that is too old"
        case OSError(errno=int()):
            return EngineError, f"cannot be reached: {error.strerror}"
    return None


def _tls_problem(error: ssl.SSLError) -> str:
    """Which side does not trust the other, or that one of them does not speak TLS."""
    reason = (error.reason or "the connection ended").replace("_", " ").lower()
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"shows a certificate that is not trusted ({error.verify_message.rstrip('.')}); put its"
            " authority's ca.pem into DOCKER_CERT_PATH or the context, and name the host as the"
            " certificate does"
        )
    if "alert" in reason:
        return (
            f"refuses our certificate ({reason}); put a cert.pem and key.pem that its authority"
            " signed for a client into DOCKER_CERT_PATH or the context"
        )
    return (
        f"does not agree on TLS ({reason}); give its port for TLS, and put the cert.pem and key.pem"
        " that it asks for into DOCKER_CERT_PATH or the context"
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and everything that it was made from, the root last."""
    while error is not None:
        yield error
        inner = [arg for arg in error.args if isinstance(arg, BaseException)]
        if isinstance(reason := getattr(error, "reason", None), BaseException):
            inner.append(reason)  # what urllib3 gave up on
        error = next(iter(inner), None) or error.__cause__ or error.__context__


def _explanation(error: docker.errors.APIError) -> str:
    text = error.explanation
    if isinstance(text, bytes):
        text = text.decode(errors="replace")
    if text and text.startswith("<"):
        text = ""  # a page for a browser
    return f"{error.status_code}: {text or 'no reason given'}"
