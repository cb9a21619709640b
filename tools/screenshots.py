"""The README's pictures of the player: `python tools/screenshots.py MOVIE [SECONDS]` writes docs/images/player*.png.

Chromium plays the movie for a moment, so that what is smelt and tasted has come and the playhead has moved. The movie
of the README is made by

    stale-diffusion generate "a campfire under the stars, resin cracks in the heat" -o campfire.mkv --seed 5
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

IMAGES = Path(__file__).parents[1] / "docs/images"
ARGUMENTS = ["--no-sandbox", "--headless", "--disable-gpu", "--disable-background-networking", "--mute-audio",
             "--disable-component-update", "--disable-sync", "--no-first-run"]  # fmt: skip
SCREENS: dict[str, dict[str, Any]] = {
    "player.png": {"viewport": {"width": 1280, "height": 800}},
    "player-phone.png": {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "is_mobile": True,
                         "has_touch": True},
}  # fmt: skip
LEAD = 0.6  # seconds that are played before the picture is taken, slowly: taking it takes a while


def until(page: Page, expression: str) -> None:
    """Wait until an expression is true."""
    for _ in range(1200):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    raise SystemExit(f"the page never got so far: {expression}")


def take(page: Page, address: str, seconds: float, target: Path) -> None:
    """Play up to a time and take the picture."""
    page.goto(address)
    until(page, "film.readyState >= 2")
    page.evaluate(f"film.currentTime = {max(0.0, seconds - LEAD)}")
    until(page, "!film.seeking && film.readyState >= 3")
    page.wait_for_timeout(2500)  # the lanes of sight and hearing come a little later
    page.evaluate("film.playbackRate = 0.2")
    page.locator("#play").click()
    until(page, f"film.currentTime >= {seconds}")
    page.screenshot(path=target)


def main() -> None:
    """Take all pictures."""
    if len(sys.argv) < 2:
        raise SystemExit("python tools/screenshots.py MOVIE [SECONDS]")
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 6.0
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("There is no Chromium. On Debian and Ubuntu: sudo apt-get install chromium")
    command = [sys.executable, "-m", "stale_diffusion", "play", sys.argv[1], "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as player, sync_playwright() as tools:
        assert player.stdout is not None
        address = player.stdout.readline().strip()
        browser = tools.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        for name, options in SCREENS.items():
            context = browser.new_context(**options)
            take(context.new_page(), address, seconds, IMAGES / name)
            context.close()
            print(IMAGES / name)
        browser.close()
        player.terminate()


if __name__ == "__main__":
    main()
