"""The page in a real browser: what a person does, and what they then see."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playhouse import EVIL, TOKEN, Page, Running, listening

from stale_diffusion.player import server
from stale_diffusion.show.clock import Clock

Visit = Callable[..., Page]
SMALL = {"steps": 2, "size": [96, 54], "fps": 6}
DEVICES = """(() => {
    window.felt = []; window.rumbled = [];
    Navigator.prototype.vibrate = pattern => { felt.push(pattern); return true; };
    const playEffect = (kind, how) => { rumbled.push(how); return Promise.resolve(); };
    const pad = { connected: true, id: "pad", vibrationActuator: { playEffect, reset: () => Promise.resolve() } };
    Navigator.prototype.getGamepads = () => [pad];
})()"""
READY = "film.readyState >= 2 && document.querySelector('#lanes').ariaValueMax > 0"


def pixels(page: Page, selector: str = "body") -> np.ndarray:
    """A screenshot of a part of the page, (H, W, 3)."""
    return np.asarray(Image.open(io.BytesIO(page.locator(selector).screenshot())).convert("RGB")).astype(int)


SPREAD = """(() => {
  const canvas = document.getElementById("preview");
  const seen = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.filter((_, i) => i % 4 < 3);
  return seen.reduce((a, b) => Math.max(a, b)) - seen.reduce((a, b) => Math.min(a, b));
})()"""


def text(page: Page, element: str) -> str:
    return str(page.evaluate(f"document.getElementById('{element}').innerText").strip())


def test_press_play_and_all_five_senses_move(player: Running, visit: Visit) -> None:
    page = visit(player.address)
    page.until(READY)
    assert text(page, "title")
    assert text(page, "length") == "/ 0:12"
    before, caption = pixels(page, "#lanes"), set()
    page.click("#play")
    page.until("film.currentTime > 0.3 && document.body.classList.contains('playing')")
    for _ in range(100):
        caption.add(text(page, "captions"))
        if page.evaluate("film.currentTime") > 5:
            break
        page.wait_for_timeout(100)
    assert np.abs(pixels(page, "#lanes") - before).mean() > 0.3  # the playhead has moved, and lit what is past
    assert len(caption) > 1
    assert "wet earth" in page.evaluate("[...document.querySelectorAll('#smells li')].map(e => e.textContent).join()")
    assert "m/s" in text(page, "feels")
    page.keyboard.press(" ")
    page.until("film.paused")
    assert page.said == []
    picture = pixels(page)
    assert picture.shape == (800, 1280, 3) and picture.std() > 12  # something is to be seen


def test_the_picture_is_the_movies(player: Running, visit: Visit) -> None:
    page = visit(player.address)
    page.until(READY)
    shown = page.evaluate("[film.videoWidth, film.videoHeight, Math.round(film.duration), film.seekable.end(0) > 11]")
    assert shown == [192, 108, 12, True]


def test_keys(player: Running, visit: Visit) -> None:
    page = visit(player.address)
    page.until(READY)

    def at(key: str, expression: str) -> None:
        page.keyboard.press(key)
        page.until(expression, 10)

    at("5", "Math.abs(film.currentTime - 6) < 0.1")
    at("ArrowRight", "Math.abs(film.currentTime - 11) < 0.1")
    at("Shift+ArrowLeft", "Math.abs(film.currentTime - 10) < 0.1")
    at("Home", "film.currentTime === 0")
    at("c", "document.getElementById('captions-on').ariaPressed === 'false'")
    at("m", "film.muted")
    at("b", "document.body.classList.contains('bedtime') && film.volume < 0.7")
    at("b", "!document.body.classList.contains('bedtime') && film.volume === 1")
    at("r", "document.body.classList.contains('still')")
    at("g", "document.querySelector('[value=safe]').checked")
    at("g", "document.body.classList.contains('grey')")
    at("k", "!film.paused")
    at("k", "film.paused")
    at("?", "document.getElementById('about').open")
    at("Escape", "!document.getElementById('about').open")
    at("l", "document.querySelectorAll('#movie-list button').length === 2")
    assert page.said == []


def test_one_name_is_bright_red_in_every_mood(player: Running, visit: Visit) -> None:
    page = visit(player.address)
    page.until(READY)
    for key in ("", "g", "g", "b"):
        if key:
            page.keyboard.press(key)
        page.keyboard.press("?")
        page.until("document.getElementById('about').open")
        red = pixels(page, "#red").reshape(-1, 3)
        assert ((red[:, 0] > 220) & (red[:, 1:].max(axis=1) < 60)).sum() > 20
        assert text(page, "red") == "Dylan Campbell"
        page.keyboard.press("Escape")
        page.until("!document.getElementById('about').open")


def test_greyscale_is_grey_and_safe_colours_have_marks(player: Running, visit: Visit) -> None:
    page = visit(player.address)
    page.until(READY)
    page.keyboard.press("9")
    page.keyboard.press("g")
    page.until("[...document.querySelectorAll('#smells .mark')].length > 0")
    assert np.ptp(pixels(page, "#lanes"), axis=2).max() > 60
    page.keyboard.press("g")
    page.until("document.body.classList.contains('grey')")
    page.wait_for_timeout(300)
    assert np.ptp(pixels(page, "main"), axis=2).max() < 8


def test_dragging_scrubs_and_the_wheel_and_two_fingers_zoom(player: Running, visit: Visit) -> None:
    page = visit(player.address, has_touch=True)
    page.until(READY)
    box = page.locator("#lanes").bounding_box()
    left, width, y = box["x"] + 84, box["width"] - 84, box["y"] + 60
    page.mouse.move(left + width * 0.25, y)
    page.mouse.down()
    page.until("Math.abs(film.currentTime - 3) < 0.2")
    page.mouse.move(left + width * 0.75, y, steps=4)
    page.mouse.up()
    page.until("Math.abs(film.currentTime - 9) < 0.2")
    whole = pixels(page, "#lanes")
    page.mouse.wheel(0, -600)
    page.wait_for_timeout(200)
    page.mouse.move(2, 2)
    page.wait_for_timeout(200)
    close = pixels(page, "#lanes")
    assert np.abs(close - whole).mean() > 1
    page.keyboard.press("z")
    page.wait_for_timeout(300)
    again = pixels(page, "#lanes")
    assert np.abs(again - whole).mean() < np.abs(close - whole).mean() / 4
    touch = page.page.context.new_cdp_session(page.page)

    def fingers(kind: str, *xs: float) -> None:
        points = [{"x": x, "y": y, "id": i} for i, x in enumerate(xs)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    middle = left + width / 2
    fingers("touchStart", middle - 30, middle + 30)
    for spread in (60, 120, 240):
        fingers("touchMove", middle - spread, middle + spread)
    fingers("touchEnd")
    page.wait_for_timeout(300)
    assert np.abs(pixels(page, "#lanes") - again).mean() > 1
    assert page.said == []


def test_what_a_file_says_is_text(player: Running, visit: Visit) -> None:
    page = visit(player.address)
    page.until(READY)
    page.keyboard.press("l")
    page.until("document.querySelectorAll('#movie-list button').length === 2")
    page.locator("#movie-list button", has_text="evil.mkv").click()
    page.until("document.getElementById('title').textContent.includes('<script>')")
    assert text(page, "title") == EVIL
    page.keyboard.press("?")
    page.until("document.getElementById('recipe').textContent.includes('<img')")
    assert page.evaluate("[typeof window.evil, document.querySelectorAll('main img, dialog img').length]") == [
        "undefined",
        0,
    ]
    assert page.said == []


def test_without_the_secret_there_is_nothing_to_see(player: Running, visit: Visit) -> None:
    page = visit(player.address.split("#")[0])
    page.until("document.getElementById('note').textContent.includes('address')")
    assert page.evaluate("film.src") == ""


def test_touch_goes_to_what_trembles(player: Running, visit: Visit) -> None:
    page = visit(player.address, has_touch=True, is_mobile=True, viewport={"width": 390, "height": 844})
    page.evaluate(DEVICES)
    page.until(READY)
    page.locator("#play").tap()
    page.until("film.currentTime > 3.2 && felt.length > 3 && rumbled.length > 3")
    assert page.evaluate("Math.max(...rumbled.map(r => Math.max(r.strongMagnitude, r.weakMagnitude))) > 0.4")  # thunder
    assert page.evaluate("felt.filter(Array.isArray).every(p => p[0] > 0 && p[0] <= 100)")
    page.locator("#play").tap()
    page.until("film.paused && felt.at(-1) === 0")  # and stops with the movie
    width = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert width[0] <= width[1]  # nothing sticks out of a phone
    assert page.said == []


def test_a_movie_is_made_from_the_page_and_plays_while_it_grows(
    tmp_path: Path, small_model: Path, visit: Visit
) -> None:
    app = server.create_app(None, token=TOKEN, folder=tmp_path, model=str(small_model), options=SMALL)
    with listening(app, tmp_path) as running:
        page = visit(running.address)
        page.until("!document.getElementById('make').hidden")
        page.fill("#plot", "slow rain")
        page.fill("#seconds", "12")
        page.fill("#seed", "7")
        page.click("#make-start")
        page.until("document.getElementById('progress-text').textContent.includes('step')", 120)
        page.click("#hold")
        page.until("document.getElementById('progress-text').textContent.startsWith('paused')")
        page.until(f"{SPREAD} > 20", 30)  # it falls from noise
        page.click("#hold")
        page.until("!document.getElementById('progress-text').textContent.startsWith('paused')")
        growing = "document.getElementById('progress').dataset.phase === 'rendering' && film.currentTime > 0.2"
        done = "document.getElementById('progress').dataset.phase === 'done'"
        page.until(f"({growing}) || ({done})", 120)
        assert page.evaluate("film.currentSrc.includes('/api/making/movie.mp4')")
        page.until(done, 180)
        page.keyboard.press("k")
        page.until("film.currentSrc.includes('/media/slow-rain-7.mkv') && film.readyState >= 2")
        assert page.said == []
        assert [p.name for p in tmp_path.iterdir()] == ["slow-rain-7.mkv"]


def test_cancelling_on_the_page_leaves_the_folder_as_it_was(tmp_path: Path, small_model: Path, visit: Visit) -> None:
    app = server.create_app(None, token=TOKEN, folder=tmp_path, model=str(small_model), options=SMALL)
    with listening(app, tmp_path) as running:
        page = visit(running.address)
        page.fill("#seconds", "600")
        page.click("#make-start")
        page.until("!document.getElementById('progress').hidden")
        page.click("#cancel")
        page.until("document.getElementById('progress').dataset.phase === 'cancelled'", 60)
        page.until("!document.getElementById('make').hidden")
        assert list(tmp_path.iterdir()) == []
        assert page.said == []


def test_the_clock_follows_the_page_and_stops_when_it_is_closed(folder: Path, visit: Visit) -> None:
    clock = Clock(12)
    with listening(server.create_app(folder / "storm.mkv", clock, token=TOKEN), folder) as running:
        page = visit(running.address)
        page.until(READY)
        page.click("#play")
        page.until("film.currentTime > 1.5")
        here = page.evaluate("film.currentTime")
        position, playing = clock.now()
        assert playing and abs(position - here) < 0.5
        page.keyboard.press("8")
        page.until("film.currentTime > 9.7")
        assert clock.now()[0] > 9.4
        page.page.close()
        for _ in range(200):
            if not clock.now()[1]:
                break
            time.sleep(0.05)
        assert not clock.now()[1]


def test_a_log_of_the_state_is_json_for_a_page(player: Running) -> None:
    body = json.loads(player.ask("GET /api/state").split(b"\r\n\r\n", 1)[1])
    assert body["movie"] == "storm.mkv" and sorted(body["movies"]) == ["evil.mkv", "storm.mkv"]
    assert len(body["channels"]["smell"]) == 24


@pytest.mark.parametrize(
    "viewport", [{"width": 1280, "height": 800}, {"width": 390, "height": 844}, {"width": 844, "height": 390}]
)
def test_it_fits_the_screen(player: Running, visit: Visit, viewport: Any) -> None:
    page = visit(player.address, viewport=viewport)
    page.until(READY)
    box = page.locator("#frame").bounding_box()
    assert box["width"] > 0.3 * viewport["width"] and page.evaluate(
        "document.documentElement.scrollWidth <= innerWidth"
    )
    assert page.said == []
