"""A folder with movies, a running player, and a browser."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from playhouse import ARGUMENTS, CHROMIUM, EVIL, SECRET, TOKEN, Page, Running, listening

from stale_diffusion.model.transformer import Denoiser, Shape, sizes_of
from stale_diffusion.model.weights import write_model
from stale_diffusion.player import server
from stale_diffusion.streams import STREAMS

sys.path.insert(0, str(Path(__file__).parent.parent / "formats"))

from storm import make_movie


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """movies/ with storm.mkv, evil.mkv and ways out; movies-private/ and secret.mkv beside it."""
    top = tmp_path_factory.mktemp("player")
    inside, private = top / "movies", top / "movies-private"
    inside.mkdir()
    private.mkdir()
    make_movie(12.0).save(inside / "storm.mkv", (192, 108), 12)
    evil = make_movie(2.0)
    assert evil.recipe is not None
    evil.recipe = replace(evil.recipe, plot=EVIL)
    evil.save(inside / "evil.mkv", (64, 36), 6)
    for path in (top / "secret.mkv", private / "secret.mkv"):
        path.write_text(SECRET)
    (inside / "link.mkv").symlink_to(top / "secret.mkv")
    (inside / "notes.txt").write_text(SECRET)
    (inside / "away").symlink_to(private)
    (inside / "below").mkdir()
    (inside / "below/secret.mkv").write_text(SECRET)
    return inside


@pytest.fixture(scope="session")
def player(folder: Path) -> Iterator[Running]:
    """A player of storm.mkv."""
    with listening(server.create_app(folder / "storm.mkv", token=TOKEN), folder) as running:
        yield running


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Debian's Chromium."""
    if CHROMIUM is None:
        pytest.skip("no browser to test the page in. On Debian and Ubuntu: sudo apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as tools:
        chromium = tools.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Page]]:
    """Open an address in a window of its own, and close it in the end."""
    contexts = []

    def open_page(address: str, **options: Any) -> Page:
        context = browser.new_context(**({"viewport": {"width": 1280, "height": 800}} | options))
        contexts.append(context)
        page = Page(context.new_page())
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network with random weights."""
    torch.manual_seed(1)
    shape = Shape(32, 1, 2, sizes_of(STREAMS))
    path = tmp_path_factory.mktemp("model") / "small.safetensors"
    write_model(Denoiser(shape).state_dict(), shape.to_json(), path, {})
    return path
