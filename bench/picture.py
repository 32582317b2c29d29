"""The picture of the page in the README: a real log in a real browser, light and dark, as PNG.

    python -m bench.picture [--out bench/page.png]

It needs `pip install -e '.[test]'` and the system's Chromium (`apt-get install chromium`).

Rules: nothing in the picture is made by hand. The command `import` reads the log that comes with
the tests, `serve` shows it, and the browser of the tests looks at it twice.
"""

from __future__ import annotations

import argparse
import base64
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from tests.tools.browser import address, opened_page, running_browser
from tests.tools.serving import serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.tools.serving import Server

OUT = Path(__file__).with_name("page.png")
LOG = Path(__file__).parent.parent / "tests" / "data" / "dpkg.log"
FLAGS = r"^\S+ \S+ (?:status )?([a-z-]+)"
LOOK = urlencode(
    {"match": "python3?", "since": "2025-06-24T14:36:00Z", "until": "2025-06-24T14:43:00Z"}
)
SIZE = {"width": 1280, "height": 760}
# The dark picture lies over the light one, to the right of a line that leans.
BOTH = """<style>
    body { margin: 0 }
    img, div { position: absolute; inset: 0; width: 100%%; height: 100%% }
    .line { background: #777; clip-path: polygon(58%% 0, 100%% 0, 100%% 100%%, 40%% 100%%) }
    .dark { clip-path: polygon(58.3%% 0, 100%% 0, 100%% 100%%, 40.3%% 100%%) }
</style><img src="%s"><div class="line"></div><img class="dark" src="%s">"""


def main() -> None:
    """Take the picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, running_browser() as browser:
        store = Path(folder, "events")
        command = ["import", "--db", store, "--source", "dpkg", "--tz", "UTC"]
        command += ["--flag-from", FLAGS, LOG]
        subprocess.run([sys.executable, "-m", "lmdbstore", *map(str, command)], check=True)
        with serving(store) as server:
            light, dark = (_picture(browser, server, scheme) for scheme in ("light", "dark"))
        options.out.write_bytes(_beside(browser, light, dark))


def _picture(browser: Browser, server: Server, scheme: str) -> str:
    """Return the page as the address of a picture."""
    how = {"color_scheme": scheme, "viewport": SIZE, "timezone_id": "UTC"}
    with opened_page(browser, server, **how) as page:
        page.goto(f"{address(server)}?{LOOK}")
        page.wait_for_selector("#list .row mark")
        page.wait_for_selector("#flags li")
        page.wait_for_selector("#histogram canvas")
        return "data:image/png;base64," + base64.b64encode(page.screenshot()).decode()


def _beside(browser: Browser, light: str, dark: str) -> bytes:
    page = browser.new_page(viewport=SIZE)
    page.set_content(BOTH % (light, dark))
    return bytes(page.screenshot())


if __name__ == "__main__":
    main()
