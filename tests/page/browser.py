"""Chromium and its driver as Debian packages them, and axe-core as npm does.

with Browser() as browser:
    browser.open("http://127.0.0.1:9464/")
    assert "well" in browser.text("#overall")
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import subprocess
import tarfile
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from typing import Any, Self

from debian_packages import ensure, system_environment, which
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

from tests.support.process import eventually

BUILD = Path(__file__).parents[2] / "build"
PROGRAMS = {"chromium": "chromium", "chromedriver": "chromium-driver", "npm": "npm"}
SWITCHES = (
    "--headless=new",
    "--no-sandbox",  # which root cannot have
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
)
AXE = "axe-core@4.14.1"
SHA512 = "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="
"""Of its package, as the registry tells it."""


class Browser(AbstractContextManager["Browser"]):
    """One that runs, without a window; closed at the end."""

    def __init__(self) -> None:
        ensure(PROGRAMS, "a test of the page")
        options = ChromeOptions()
        options.binary_location = which("chromium") or ""
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        for switch in SWITCHES:
            options.add_argument(switch)
        self._driver = Chrome(options, Service(which("chromedriver")))
        self._driver.set_script_timeout(60)

    def open(
        self,
        address: str,
        *,
        width: int = 1280,
        height: int = 900,
        scheme: str = "light",
        motion: str = "no-preference",
    ) -> None:
        """Open a page anew, on a screen of this size, for somebody who prefers this."""
        preferred = {"prefers-color-scheme": scheme, "prefers-reduced-motion": motion}
        features = [{"name": name, "value": value} for name, value in preferred.items()]
        self._devtools("Emulation.setEmulatedMedia", {"features": features})
        self._resize(width, height)
        self._driver.get(address)

    def run(self, script: str, *arguments: object) -> Any:
        """Run JavaScript in the page; what it returns."""
        return self._driver.execute_script(script, *arguments)

    def text(self, selector: str = "body") -> str:
        """What is to be read there now, or "" where there is no such thing."""
        script = "return document.querySelector(arguments[0])?.innerText ?? ''"
        return str(self.run(script, selector))

    def texts(self, selector: str) -> list[str]:
        """The same for each of these that is shown."""
        script = """
            return [...document.querySelectorAll(arguments[0])]
                .filter(e => e.checkVisibility()).map(e => e.innerText)
        """
        return [str(text) for text in self.run(script, selector)]

    def await_text(self, words: str, selector: str = "body") -> None:
        """Wait until these words stand there."""
        eventually(lambda: words in self.text(selector), f"{words!r} in {selector}")

    def click(self, selector: str) -> None:
        """Click on it."""
        self._driver.find_element("css selector", selector).click()

    def press(self, *keys: str) -> None:
        """Press these keys, wherever the focus is; Control and the like are held to the end."""
        self._driver.switch_to.active_element.send_keys(*keys)

    def complaints(self) -> list[str]:
        """What the console got since the last call."""
        entries = self._driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [str(entry["message"]) for entry in entries]

    def violations(self) -> list[str]:
        """What axe-core finds that is serious or critical, in one line each."""
        self.run(axe())
        found = self._driver.execute_async_script(
            "const done = arguments[0]; axe.run().then(r => done(r.violations), e => done(`${e}`))"
        )
        assert isinstance(found, list), found
        return [
            f"{violation['id']}: {violation['help']}: {node['html'][:200]}"
            for violation in found
            if violation["impact"] in ("serious", "critical")
            for node in violation["nodes"]
        ]

    def screenshot(self, path: Path) -> None:
        """Write a picture of the whole page, as a PNG."""
        height = self.run("return document.documentElement.scrollHeight")
        self._resize(self._width, height)
        path.write_bytes(self._driver.get_screenshot_as_png())

    def close(self) -> None:
        """End it."""
        self._driver.quit()

    def __enter__(self) -> Self:
        """Already there."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def _resize(self, width: int, height: int) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._devtools("Emulation.setDeviceMetricsOverride", size)
        self._width = width

    def _devtools(self, command: str, parameters: dict[str, Any]) -> Any:
        return self._driver.execute_cdp_cmd(command, parameters)


@cache
def axe() -> str:
    """The source of axe-core; downloaded once, and then kept under build/."""
    BUILD.mkdir(exist_ok=True)
    packed = BUILD / f"{AXE.replace('@', '-')}.tgz"
    with (BUILD / "axe.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # side by side: one gets it, the others wait
        if not packed.exists():
            done = subprocess.run(
                [which("npm") or "npm", "pack", AXE, "--ignore-scripts", "--silent"],
                cwd=BUILD,
                env=system_environment(),
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, f"npm pack {AXE}: {done.stderr}"
    digest = base64.b64encode(hashlib.sha512(packed.read_bytes()).digest()).decode()
    assert digest == SHA512, f"{packed} is not what is expected; remove it"
    with tarfile.open(packed) as archive:
        source = archive.extractfile("package/axe.min.js")
        assert source is not None
        return source.read().decode()
