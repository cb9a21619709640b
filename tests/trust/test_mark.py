"""The mark in sight and sound: found where it is, however the file was turned about; nowhere else; and never seen."""

import numpy as np
import pytest
from numpy.typing import NDArray

from stale_diffusion.trust import golay, heard, seen, sight
from stale_diffusion.trust.carriers import draw, rayleigh, score

SECRET, PAYLOAD = b"k" * 32, bytes(range(8))
SIGNS = golay.encode(PAYLOAD)
RGB = NDArray[np.uint8]


def pictures(count: int = 64, size: tuple[int, int] = (640, 360), seed: int = 1) -> list[RGB]:
    """A landscape of soft noise that moves slowly to the left, 8 frames a second."""
    rng = np.random.default_rng(seed)
    width, height = size
    wide = rng.normal(size=(height // 8 + 2, width // 8 + count + 2))
    rows, columns = np.linspace(0, len(wide) - 1.01, height), np.arange(width + 4 * count) / 8
    y, x = rows.astype(int), columns.astype(int)
    fy, fx = (rows - y)[:, None], columns - x
    top = wide[y][:, x] * (1 - fx) + wide[y][:, x + 1] * fx
    low = wide[y + 1][:, x] * (1 - fx) + wide[y + 1][:, x + 1] * fx
    grey = np.clip(130 + 18 * (top * (1 - fy) + low * fy), 0, 255).astype(np.uint8)
    return [np.repeat(grey[:, 4 * i : 4 * i + width, None], 3, 2) for i in range(count)]


def grey(frames: list[RGB], factor: int = 2) -> seen.Floats:
    """Pictures on the grid of units, flattened."""
    h, w = frames[0].shape[0] // factor, frames[0].shape[1] // factor
    small = [f[: h * factor, : w * factor, 1].reshape(h, factor, w, factor).mean((1, 3)) for f in frames]
    return seen.flattened(np.stack(small).astype(np.float32))


@pytest.fixture(scope="module")
def marked() -> list[RGB]:
    mark = sight.SightMark(SECRET, SIGNS, (640, 360))
    return [mark(frame, i / 8) for i, frame in enumerate(pictures())]


def read(frames: seen.Floats, where: seen.Alignment) -> bytes | None:
    image = seen.turning(frames, [where.speed])[0]
    found = seen.moved(seen.spectrum(image, where.scale), where.y, where.x)
    return golay.decode(sight.carriers(SECRET).soft(found))


def test_any_three_bits_of_a_word_may_be_wrong_and_the_check_tells_more() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        payload = rng.bytes(8)
        soft = golay.encode(payload)
        for word in range(6):
            soft[24 * word + rng.choice(24, 3, replace=False)] *= -1
        assert golay.decode(soft) == payload
    broken = golay.encode(PAYLOAD)
    broken[:24] = golay.words()[5]  # another whole word: only the check can tell
    assert golay.decode(broken) is None


def test_the_words_are_those_of_the_extended_golay_code() -> None:
    weights, counts = np.unique((golay.words() < 0).sum(1), return_counts=True)
    assert dict(zip(weights.tolist(), counts.tolist(), strict=True)) == {0: 1, 8: 759, 12: 2576, 16: 759, 24: 1}


def test_a_mark_is_found_and_read_as_it_was_made(marked: list[RGB]) -> None:
    found = seen.search(grey(marked), sight.carriers(SECRET))
    assert found.where == seen.NOMINAL and found.log10_p < -20
    assert read(grey(marked), found.where) == PAYLOAD


def test_a_cropped_mark_is_found_where_it_lies(marked: list[RGB]) -> None:
    cropped = grey([frame[40:328, 20:532] for frame in marked])  # 80 % of each side
    found = seen.search(cropped, sight.carriers(SECRET))
    assert found.log10_p < -12
    assert found.where.scale == pytest.approx(0.8, rel=0.01)
    assert (found.where.y, found.where.x) == (pytest.approx(20, abs=1), pytest.approx(10, abs=1))
    assert read(cropped, found.where) == PAYLOAD


def test_a_mark_at_another_speed_and_from_the_middle_is_found(marked: list[RGB]) -> None:
    slow = [marked[round(i * 5 / 6)] for i in range(15, 76)]  # 1.2 times as long, and cut
    frames = grey(slow)
    image = seen.turning(frames, [5 / 6])[0]
    assert score(seen.moved(seen.spectrum(image, 1), 0, 0), sight.carriers(SECRET)) > 50
    assert read(frames, seen.Alignment(speed=5 / 6)) == PAYLOAD


def test_no_mark_is_found_where_there_is_none_or_with_another_key(marked: list[RGB]) -> None:
    for frames, secret in ((grey(pictures()), SECRET), (grey(marked), b"other" * 6)):
        found = score(seen.moved(seen.spectrum(seen.turning(frames, [1.0])[0], 1), 0, 0), sight.carriers(secret))
        assert found < 12


def test_the_null_law_is_the_rayleigh_test_s() -> None:
    rng = np.random.default_rng(3)
    spectrum = rng.standard_cauchy(400) * np.exp(1j * rng.normal(size=400))  # as unlike noise as you like
    scores = np.array([score(spectrum, draw(b"%d" % i, "x", 400)) for i in range(3000)])
    for limit in (1.0, 3.0):
        expected = 10 ** rayleigh(limit)
        assert (scores > limit).mean() == pytest.approx(expected, abs=4 * np.sqrt(expected / 3000))
    assert rayleigh(10.0, 2) == pytest.approx(np.log10(np.exp(-10) * 11))  # gamma of shape 2


@pytest.mark.parametrize("size", [(640, 360), (320, 180), (1280, 720), (360, 640), (50, 34)])
def test_a_mark_is_faint_at_every_size(size: tuple[int, int]) -> None:
    frame = pictures(1, size)[0]
    out = sight.SightMark(SECRET, SIGNS, size)(frame, 0.5)
    difference = out.astype(float) - frame
    assert (
        out.dtype == np.uint8 and 0 < np.mean(difference**2) < 255**2 / 10**4.0
    )  # above 40 dB, as the strongest mark is by construction


def test_flat_and_dark_pictures_carry_least_and_nothing_wraps_around() -> None:
    mark = sight.SightMark(SECRET, SIGNS, (640, 360))
    sky, busy = np.full((360, 640, 3), 230, np.uint8), pictures(1)[0]
    noise = np.random.default_rng(0).integers(0, 256, (360, 640, 3)).astype(np.uint8)
    by = [np.sqrt(np.mean((mark(f, 1.0).astype(float) - f) ** 2)) for f in (sky * 0, sky, busy, noise)]
    assert by[0] < 0.01 < by[1] < 0.8 and by[1] < by[2] and by[1] < by[3]
    for value in (0, 255):
        out = mark(np.full((360, 640, 3), value, np.uint8), 1.0)
        assert np.abs(out.astype(int) - value).max() < 10


def noise_of_rain(seconds: float, seed: int = 0) -> heard.Sound:
    return (np.random.default_rng(seed).normal(size=(round(48_000 * seconds), 2)) * 0.05).astype(np.float32)


def in_chunks(sound: heard.Sound, *lengths: int) -> list[heard.Sound]:
    return np.split(sound, np.cumsum(lengths))


def test_marked_sound_says_what_was_put_in_also_when_cut() -> None:
    rain = noise_of_rain(12)
    out = np.concatenate(list(heard.SoundMark(SECRET, SIGNS).stream([rain])))
    assert out.shape == rain.shape
    carriers = heard.carriers(SECRET)
    for piece in (out, out[61_234:]):
        coefficients = heard.swaying(heard.levels(piece))
        place, found, tried = heard.search(coefficients, carriers)
        assert rayleigh(found) + tried < -8
        assert golay.decode(carriers.soft(heard.moved(coefficients, place))) == PAYLOAD
    coefficients = heard.swaying(heard.levels(rain))
    _, found, tried = heard.search(coefficients, carriers)
    assert rayleigh(found) + tried > -3


def test_sound_is_the_same_in_whatever_chunks_it_comes() -> None:
    rain = noise_of_rain(2)
    whole = np.concatenate(list(heard.SoundMark(SECRET, SIGNS).stream([rain])))
    for lengths in ((1, 511, 512, 513), (5, 20_000), (96_000,)):
        pieces = list(heard.SoundMark(SECRET, SIGNS).stream(in_chunks(rain, *lengths)))
        np.testing.assert_allclose(np.concatenate(pieces), whole, atol=1e-6)


def test_silence_stays_silence_and_levels_change_by_less_than_a_decibel() -> None:
    rain = noise_of_rain(4)
    out = np.concatenate(list(heard.SoundMark(SECRET, SIGNS).stream([rain, np.zeros_like(rain)])))
    assert not out[200_000:].any()
    change = heard.levels(out[:190_000]) - heard.levels(rain[:190_000])
    assert 0.3 < np.sqrt((change**2).mean()) * 10 / np.log(10) < 1.0  # dB
    assert list(heard.SoundMark(SECRET, SIGNS).stream([])) == []
