"""What an engine says of itself: which product it is, on which host, and how it keeps images.

The version says the product: its first component is named ``Podman Engine`` or ``Engine``. The
rest is in ``/info`` (6 ms), which a socket proxy may well refuse, and is not known then. Docker
with the image store of containerd says so by the type of its driver.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

_CONTAINERD: Final = ["driver-type", "io.containerd.snapshotter.v1"]


@dataclass(frozen=True, slots=True)
class About:
    """What is known of an engine; None: it did not tell.

    Attributes:
        product: ``Docker Engine`` or ``Podman``.
        version: of that.
        name: of the host.
        rootless: whether it runs as an ordinary user.
        image_store: ``containerd`` or ``classic``; Podman has neither.
    """

    product: str
    version: str
    name: str | None = None
    rootless: bool | None = None
    image_store: str | None = None

    def __str__(self) -> str:
        words = [f"{self.product} {self.version}"]
        if self.name is not None:
            words[0] += f" on {self.name}"
        if self.rootless is not None:
            words.append("rootless" if self.rootless else "not rootless")
        if self.image_store is not None:
            words.append(f"with the {self.image_store} image store")
        return ", ".join(words)


def read(version: Mapping[str, Any], info: Mapping[str, Any]) -> About:
    """What the answers to ``/version`` and ``/info`` tell; the second is empty if it was refused.

    Raises what indexing raises for an answer that no engine gives.
    """
    components = [component["Name"] for component in version.get("Components") or ()]
    podman = "Podman Engine" in components
    product, number = "Podman" if podman else "Docker Engine", str(version["Version"])
    if not info:
        return About(product, number)
    store = "containerd" if _CONTAINERD in (info.get("DriverStatus") or ()) else "classic"
    return About(
        product,
        number,
        str(info["Name"]),
        rootless="name=rootless" in (info.get("SecurityOptions") or ()),
        image_store=None if podman else store,
    )
