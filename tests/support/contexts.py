"""Docker contexts, as ``docker context create`` and ``docker context use`` of 28.2 write them."""

from __future__ import annotations

import json
import shutil
from hashlib import sha256
from pathlib import Path


def create(
    folder: Path,
    name: str,
    host: str,
    *,
    certificates: Path | None = None,
    skip_tls_verify: bool = False,
) -> None:
    """Add a context to the configuration in this folder; no ``config.json`` is made by it."""
    id_ = sha256(name.encode()).hexdigest()
    meta = folder / "contexts" / "meta" / id_ / "meta.json"
    meta.parent.mkdir(parents=True)
    endpoint = {"Host": host, "SkipTLSVerify": skip_tls_verify}
    meta.write_text(json.dumps({"Name": name, "Metadata": {}, "Endpoints": {"docker": endpoint}}))
    if certificates is not None:
        shutil.copytree(certificates, folder / "contexts" / "tls" / id_ / "docker")


def use(folder: Path, name: str) -> None:
    """Make it the current one."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"auths": {}, "currentContext": name}))
