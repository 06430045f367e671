"""Podman, which has Docker's API, and means other things by it.

Measured with 4.3 and 5.4. What an answer shows is seen where the answer is read: a thing that goes
is ``remove``d and not destroyed, a network's event has its name under another key (5.4), and a
container's networks have their names for ids (4.3). For the rest it has to be known that it is
Podman:

- It refuses to remove a container while another shares its network namespace, so the services of a
  base go before it.
- By its id it removes a network from under the containers on it, by its name it refuses to. No two
  networks have the same name.
- Docker's call to remove a container waits until that has stopped, up to 10 s (5.4); Podman's own
  can kill it, and takes 0.4 s.
- 4.3 tells nothing of networks that come and go, so they are listed when a prefix appears.
- It does not name the network that it does not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import docker

from listener.engine.errors import raise_for_status
from listener.errors import EngineError


def is_podman(version: Mapping[str, Any]) -> bool:
    """Whether Podman says this of its version."""
    return any(part.get("Name") == "Podman Engine" for part in version.get("Components") or ())


def remove_container(api: docker.APIClient, id_: str, *, volumes: bool) -> None:
    """Remove a container at once; raises what the SDK raises.

    Args:
        api: the SDK's client, connected.
        id_: the container's.
        volumes: its anonymous volumes as well.
    """
    answer = api.delete(
        f"{api.base_url}/v4.0.0/libpod/containers/{id_}",
        params={"force": "true", "volumes": str(volumes).lower(), "timeout": "0"},
        timeout=api.timeout,
    )
    raise_for_status(answer)


def answered(error: EngineError) -> bool:
    """Whether it was Podman that gave the answer, and not a proxy before it."""
    cause = error.__cause__
    answer = cause.response if isinstance(cause, docker.errors.APIError) else None
    return answer is not None and "Libpod-API-Version" in answer.headers
