"""The images that compose built for a topology, and what keeps one here.

Which images are compose's own :mod:`listener.core.ownership` says. One stays while any container
uses it, running or not, whoever made it. That is looked up beforehand, so that a dry run tells the
same, and seen to by the engine itself: it refuses a removal by id and without force, with 409,
where a container uses the image or it has a second tag (20.10, and 28.5 with both image stores; for
the tag Podman 4.3 has 500), and with the classic store where another image was committed from it.
The parents that a removal would take along stay: they are the classic builder's cache.

With the containerd image store, and on Podman, each tag is listed once more as a name by digest.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

import docker

from listener.core import ownership
from listener.core.resources import Resource
from listener.errors import Blocked, Gone

STATUSES: Final = {404: Gone, 409: Blocked}
"""What the status of an answer means to a request to remove an image."""


def unused(api: docker.APIClient, leaving: Collection[str]) -> list[Resource]:
    """Those of any topology that no other container uses: two lists.

    Args:
        api: the SDK's client, connected.
        leaving: the ids of containers that are gone or going.
    """
    if not (summaries := api.images(filters={"label": ownership.PROJECT_LABEL})):
        return []
    used = {c["ImageID"] for c in api.containers(all=True) if c["Id"] not in leaving}
    found = [
        ownership.image(summary["Id"], _names(summary), summary["Labels"])
        for summary in summaries
        if summary["Id"] not in used
    ]
    return [image for image in found if image is not None]


def read(api: docker.APIClient, image: Resource) -> Resource | None:
    """The image as the engine knows it now; None if it has got another name; raises the SDK's."""
    attributes: Any = api.inspect_image(image.id)  # type: ignore[no-untyped-call]
    labels = (attributes["Config"] or {}).get("Labels") or {}
    found = ownership.image(attributes["Id"], _names(attributes), labels)
    if found is None or (found.id, found.name) != (image.id, image.name):
        return None
    return image if found.prefixes == image.prefixes else None


def remove(api: docker.APIClient, image: Resource) -> None:
    """Remove it by id, unless anything uses it; raises what the SDK raises."""
    api.remove_image(image.id, noprune=True)


def _names(attributes: Mapping[str, Any]) -> list[str]:
    """All of its references; 20.10 tells of an image without any that it is called ``<none>``."""
    names = [*(attributes["RepoTags"] or ()), *(attributes["RepoDigests"] or ())]
    return [name for name in names if not name.startswith("<none>")]
