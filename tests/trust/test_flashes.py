"""Flashes as WCAG 2.3.1 counts them, on synthetic pictures whose flashes are known."""

import numpy as np
import pytest

from stale_diffusion.trust.flashes import GRID, Meter, Watch, shrunk

SIZE = (192, 108)  # width, height


def picture(colour: tuple[int, int, int], area: float | None = None, ground: int = 20) -> np.ndarray:
    """A picture of one colour, or a patch of it of so much of a window (a third by a third)."""
    w, h = SIZE
    out = np.full((h, w, 3), colour if area is None else ground, np.uint8)
    if area is not None:
        side = area**0.5
        out[10 : 10 + round(h / 3 * side), 20 : 20 + round(w / 3 * side)] = colour
    return out


def counted(a: np.ndarray, b: np.ndarray, hertz: float, seconds: float, fps: float = 24) -> Watch:
    """What is counted of two pictures that change places, `hertz` flashes a second."""
    cells, watch = (shrunk(a), shrunk(b)), Watch(Meter())
    for i in range(round(seconds * fps)):
        watch.see(cells[int(i / fps * hertz * 2 + 1e-6) % 2], i / fps)
    return watch


@pytest.mark.parametrize("fps", [24, 25, 30000 / 1001, 60])
@pytest.mark.parametrize("hertz", [1, 2, 3, 4, 6])
def test_general_flashes_are_counted_at_any_frame_rate(hertz: int, fps: float) -> None:
    watch = counted(picture((0, 0, 0)), picture((255, 255, 255)), hertz, 3, fps)
    assert watch.worst["general", "second"].changes == 2 * hertz
    assert watch.worst["red", "second"].changes == 0


def test_the_worst_moment_is_when_it_flashes_most() -> None:
    dark, bright = shrunk(picture((0, 0, 0))), shrunk(picture((255, 255, 255)))
    watch = Watch(Meter())
    for i in range(240):
        fast = 144 <= i < 168
        watch.see(bright if (i // (3 if fast else 24)) % 2 else dark, i / 24)
    assert watch.worst["general", "second"].changes == 8
    assert 6 < watch.worst["general", "second"].time < 7.1


@pytest.mark.parametrize(("area", "counts"), [(0.2, False), (0.3, True)])
def test_a_quarter_of_a_window_is_the_border(area: float, counts: bool) -> None:
    watch = counted(picture((20, 20, 20), area), picture((255, 255, 255), area), 6, 2)
    assert (watch.worst["general", "second"].changes > 0) == counts


@pytest.mark.parametrize(
    ("a", "b", "counts"),
    [
        (0, 80, False),  # luminance .08
        (0, 100, True),  # .13
        (232, 255, False),  # the darker is .81
        (225, 255, True),  # .75
    ],
)
def test_a_change_is_a_tenth_of_white_and_its_darker_side_under_080(a: int, b: int, counts: bool) -> None:
    watch = counted(picture((a, a, a)), picture((b, b, b)), 5, 2)
    assert (watch.worst["general", "second"].changes > 6) == counts


@pytest.mark.parametrize(
    ("a", "b", "counts"),
    [
        ((0, 0, 0), (210, 0, 0), True),
        ((60, 60, 60), (140, 20, 20), True),  # no general flash: luminance .045 and .061
        ((180, 0, 0), (120, 0, 0), False),  # both red, of one colour
        ((0, 0, 0), (200, 120, 0), False),  # orange: share of red .78
        ((0, 0, 60), (0, 0, 255), False),
    ],
)
def test_red_flashes(a: tuple[int, int, int], b: tuple[int, int, int], counts: bool) -> None:
    watch = counted(picture(a), picture(b), 5, 2)
    assert (watch.worst["red", "second"].changes > 6) == counts


def test_a_red_that_comes_slowly_through_pink_is_seen() -> None:
    steps = [shrunk(picture((200, g, g))) for g in (200, 150, 100, 50, 0, 50, 100, 150)]
    watch = Watch(Meter())
    for i in range(64):
        watch.see(steps[i % 8], i / 24)
    assert watch.worst["red", "second"].changes == 6


def test_lasting_flicker_of_two_a_second() -> None:
    dark, bright = picture((0, 0, 0)), picture((255, 255, 255))
    assert counted(dark, bright, 2, 5).worst["general", "long"].changes <= 20
    assert counted(dark, bright, 2, 6).worst["general", "long"].changes == 21
    assert counted(dark, bright, 1, 8).worst["general", "long"].changes == 11


def test_parts_of_a_window_that_flash_out_of_step_count_together() -> None:
    watch, w, h = Watch(Meter()), *GRID
    for i in range(48):
        cells = np.zeros((h, w, 3), np.float32)
        for k in range(8):  # stripes, each an eighth of a turn later
            cells[:, k::8] = float((i + k) // 4 % 2)
        watch.see(cells, i / 32)
    assert watch.worst["general", "second"].changes == 8


def test_a_flash_that_wanders_within_a_window_counts() -> None:
    watch = Watch(Meter())
    for i in range(48):
        cells = np.zeros((*GRID[::-1], 3), np.float32)
        if i // 3 % 2:
            left = (i // 6) % 2 * 21
            cells[:32, left : left + 21] = 1  # half a window, here or there
        watch.see(cells, i / 24)
    assert watch.worst["general", "second"].changes >= 7


def test_time_far_into_a_night_is_as_exact() -> None:
    cells, watch = (shrunk(picture((0, 0, 0))), shrunk(picture((255, 255, 255)))), Watch(Meter())
    for i in range(72):
        watch.see(cells[i // 4 % 2], 86_000 + i / 24)
    assert watch.worst["general", "second"].changes == 6
