"""Lanes as tables and as sound: what nobody edited comes back to the bit, what somebody edited comes back as said."""

from __future__ import annotations

import wave
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from storm import make_movie

from stale_diffusion import edit, timeline
from stale_diffusion.errors import StaleError
from stale_diffusion.formats import export, lanes, wav
from stale_diffusion.movie import Movie
from stale_diffusion.timeline import CLOCKS, RANGES, Track


@pytest.fixture
def folder(movie: Movie, tmp_path: Path) -> Path:
    export.export(movie, tmp_path, ["csv", "wav"])
    return tmp_path


def test_lanes_are_exported_but_neither_attached_nor_laid_beside(movie: Movie, tmp_path: Path) -> None:
    names = [path.name for path in export.export(movie, tmp_path / "all")]
    assert {"movie.touch.csv", "movie.smell.csv", "movie.taste.csv", "movie.touch.wav"} <= set(names)
    assert not any(name.endswith((".csv", ".wav")) for name in export.attachments(movie))
    beside = export.write_sidecars(movie, tmp_path / "storm.mp4")
    assert beside and not any(path.suffix in (".csv", ".wav") for path in beside)


def test_a_table_says_what_a_column_is(folder: Path) -> None:
    lines = (folder / "movie.touch.csv").read_text().splitlines()
    assert lines[0] == ("time [s],seat_amplitude [1],back_amplitude [1],frequency [Hz],temperature [degC],wind [m/s]")
    assert lines[1].startswith("0,0,0,60,14,") and lines[2].startswith("0.015625,")
    assert len(lines) == 1 + 6 * 64


def test_what_nobody_edited_stays_as_it_is(movie: Movie, folder: Path) -> None:
    back = edit.import_lanes(movie, folder)
    assert all(back.tracks[sense] is track for sense, track in movie.tracks.items())
    assert back.recipe is not None and list(back.recipe.edits) == []


def drawn(sense: str, seed: int, seconds: int) -> Track:
    channels, rate = CLOCKS[sense]
    rng = np.random.default_rng(seed)
    low, high, _ = np.array([RANGES[c] for c in channels]).T
    walk = np.abs(np.cumsum(rng.normal(0, 0.1, (round(seconds * rate), len(channels))), 0) + rng.random()) % 1
    values = (low + (high - low) * walk * (rng.random(len(channels)) > 0.3)).astype(np.float32)
    return Track(sense, rate, channels, "1, 1, Hz, degC, m/s" if sense == "touch" else "intensity", values, "given")


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32), st.integers(1, 70), st.sampled_from([",", ";", "\t"]), st.booleans())
def test_any_track_comes_back_to_the_bit(
    tmp_path_factory: pytest.TempPathFactory, seed: int, seconds: int, separator: str, comma: bool
) -> None:
    where = tmp_path_factory.mktemp("lanes")
    tracks = {sense: drawn(sense, seed, seconds) for sense in CLOCKS}
    made = Movie(seconds, None, tracks)
    paths = export.export(made, where, ["csv", "wav"])
    for path in paths[:3]:
        text = path.read_text()
        if separator != ",":
            text = text.replace(",", separator).replace(".", "," if comma else ".")
        path.write_text(text)
    assert edit.import_lanes(made, where).tracks == tracks
    for sense, track in tracks.items():
        other = replace(track, values=np.zeros_like(track.values) + [RANGES[c][0] for c in track.channels])
        values = lanes.read(where / f"movie.{sense}.csv", other)
        assert np.all(np.abs(values - track.values) <= [RANGES[c][2] / 100 for c in track.channels])


def test_an_edit_comes_back(movie: Movie, folder: Path) -> None:
    path = folder / "movie.smell.csv"
    rows = path.read_text().splitlines()
    cells = rows[5].split(",")
    cells[1 + movie.smell.channels.index("coffee")] = "0.75"
    path.write_text("\n".join([*rows[:5], ",".join(cells), *rows[6:]]))
    back = edit.import_lanes(movie, folder)
    assert back.smell.origin == "edited" and back.touch is movie.touch and back.taste is movie.taste
    changed = back.smell.values != movie.smell.values
    assert np.argwhere(changed).tolist() == [[4, movie.smell.channels.index("coffee")]]
    assert back.smell.values[changed] == np.float32(0.75)
    assert back.recipe is not None and list(back.recipe.edits) == ["import-lanes smell"]


WRITTEN = {
    "a byte order mark": lambda t: "\ufeff" + t,
    "semicolons": lambda t: t.replace(",", ";"),
    "semicolons and decimal commas": lambda t: t.replace(",", ";").replace(".", ","),
    "tabs and decimal commas": lambda t: t.replace(",", "\t").replace(".", ","),
    "quotes": lambda t: "\n".join(",".join(f'"{c}"' for c in line.split(",")) for line in t.splitlines()),
    "quoted decimal commas": lambda t: "\n".join(
        ",".join('"' + c.replace(".", ",") + '"' for c in line.split(",")) for line in t.splitlines()
    ),
    "what the separator is": lambda t: "sep=;\n" + t.replace(",", ";"),
    "old line ends": lambda t: t.replace("\n", "\r"),
    "empty columns and rows": lambda t: "\n".join(line + ",," for line in t.splitlines()) + "\n,,,\n\n",
    "rows in another order": lambda t: "\n".join([t.splitlines()[0], *reversed(t.splitlines()[1:])]),
    "columns in another order": lambda t: "\n".join(",".join(reversed(line.split(","))) for line in t.splitlines()),
    "no units": lambda t: t.replace(" [intensity]", "").replace(" [s]", ""),
    "exponents": lambda t: t.replace(",0.8\n", ",8E-1\n"),
}  # fmt: skip


@pytest.mark.parametrize("change", WRITTEN.values(), ids=WRITTEN.keys())
def test_what_spreadsheets_write_is_read(change: Callable[[str], str], movie: Movie, folder: Path) -> None:
    path = folder / "movie.taste.csv"
    text = path.read_text().replace("\r\n", "\n")
    path.write_bytes(change(text).encode())
    assert edit.import_lanes(movie, folder).taste is movie.taste
    path.write_bytes(change(text).encode("utf-16"))
    assert edit.import_lanes(movie, folder).taste is movie.taste


HEAD = "time [s],sweet [intensity],sour [intensity],salty [intensity],bitter [intensity],umami [intensity]"
REFUSED = {
    "a column is missing": (lambda t: t.replace(",umami [intensity]", ""), "umami"),
    "the time is missing": (lambda t: t.replace("time [s]", "when"), "time"),
    "a column is twice there": (lambda t: t.replace("umami", "sweet [a], umami"), "twice|none of"),
    "a column nobody knows": (lambda t: t.replace("umami [intensity]", "umami,fat"), "fat"),
    "not a number": (lambda t: t.replace("1.5,0", "1.5,NaN"), "NaN"),
    "infinite": (lambda t: t.replace("1.5,0", "1.5,inf"), "inf"),
    "a word": (lambda t: t.replace("1.5,0", "1.5,lots"), "line 5.*lots"),
    "a formula": (lambda t: t.replace("1.5,0", "1.5,=A1"), "=A1"),
    "a percentage": (lambda t: t.replace("1.5,0", "1.5,50%"), "50%"),
    "an empty cell": (lambda t: t.replace("1.5,0", "1.5,"), "sweet is empty"),
    "thousands": (lambda t: t.replace("1.5,0", '1.5,"1,000.5"'), "1,000.5"),
    "below nothing": (lambda t: t.replace("1.5,0", "1.5,-0.2"), "sweet at 1.5 s.*0 to 1"),
    "more than all": (lambda t: t.replace("1.5,0", "1.5,7"), "sweet at 1.5 s is 7"),
    "a huge number": (lambda t: t.replace("1.5,0", "1.5,1e999"), "goes from 0 to 1"),
    "a row too few": (lambda t: t.replace("1.5,0,0,0,0,0\n", ""), "the row at 1.5 s is missing: 11 rows"),
    "the last row too few": (lambda t: "\n".join(t.splitlines()[:-1]), "the row at 5.5 s is missing"),
    "a row too many": (lambda t: t.replace("1.5,0,", "1.25,0,0,0,0,0\n1.5,0,"), "the row at 1.25 s is one too many"),
    "a row after the end": (lambda t: t + "6,0,0,0,0,0\n", "the row at 6 s is one too many"),
    "too many cells": (lambda t: t.replace("1.5,0,", "1.5,0,0,0,0,0,"), "more cells"),
    "unquoted decimal commas": (lambda t: t.replace("0.5,", "0,5,"), "more cells"),
    "times by a clock": (lambda t: t.replace("1.5,0", "00:01,0"), "00:01"),
    "nothing": (lambda t: "", "empty"),
    "only titles": (lambda t: t.splitlines()[0], "0 rows"),
    "a binary file": (lambda t: "PK\x03\x04\0\0" + t, "binary"),
    "an endless quote": (lambda t: t.replace("1.5,0", '1.5,"0'), "line|row|table"),
    "much too long": (lambda t: t + "9,0,0,0,0,0\n" * 20_000, "bytes"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "says"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_wrong_is_one_clear_error(change: Callable[[str], str], says: str, movie: Movie, folder: Path) -> None:
    path = folder / "movie.taste.csv"
    text = path.read_text().replace("\r\n", "\n")
    assert text.startswith(HEAD) and change(text) != text
    path.write_text(change(text))
    with pytest.raises(StaleError, match=r"movie\.taste\.csv") as caught:
        edit.import_lanes(movie, folder)
    import re

    assert re.search(says, str(caught.value)), str(caught.value)
    assert caught.value.mend and "\n" not in caught.value.why


def test_letters_of_another_encoding(movie: Movie, folder: Path) -> None:
    path = folder / "movie.taste.csv"
    path.write_bytes(path.read_bytes().replace(b"umami", "ümami".encode("latin-1")))
    with pytest.raises(StaleError, match="UTF-8"):
        edit.import_lanes(movie, folder)


def test_folders_without_lanes(movie: Movie, tmp_path: Path) -> None:
    with pytest.raises(StaleError, match="does not exist"):
        edit.import_lanes(movie, tmp_path / "absent")
    with pytest.raises(StaleError, match="no lanes"):
        edit.import_lanes(movie, tmp_path)
    (tmp_path / "movie.smell.ods").write_text("x")
    with pytest.raises(StaleError, match=r"save movie\.smell\.ods as CSV"):
        edit.import_lanes(movie, tmp_path)
    with pytest.raises(StaleError, match="not a folder"):
        edit.import_lanes(movie, tmp_path / "movie.smell.ods")
    export.export(movie, tmp_path, ["csv"])
    (tmp_path / "other.smell.csv").write_text("x")
    with pytest.raises(StaleError, match="more than one movie"):
        edit.import_lanes(movie, tmp_path)
    (tmp_path / "other.smell.csv").unlink()
    del movie.tracks["smell"]
    with pytest.raises(StaleError, match="has no smell"):
        edit.import_lanes(movie, tmp_path)


# -------------------------------------------------------------------------------------------------------- sound


def sound_of(path: Path) -> np.ndarray:
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (2, 2, 8000)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2) / 32767


def write_sound(path: Path, sound: np.ndarray, rate: int = 8000) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(sound.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.round(np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes())


def hum(seconds: float = 70, hertz: float = 60) -> Movie:
    """A steady vibration, long enough for two blocks, that swells."""
    t = np.arange(round(seconds * 64)) / 64
    values = np.stack([0.3 + 0.2 * np.sin(t), 0.4 + 0 * t, hertz + 0 * t, 15 + 0 * t, 0 * t], -1).astype(np.float32)
    channels, rate = CLOCKS["touch"]
    return Movie(seconds, None, {"touch": Track("touch", rate, channels, "1, 1, Hz, degC, m/s", values, "generated")})


def test_sound_that_an_editor_only_resampled_and_dithered_is_no_edit(tmp_path: Path) -> None:
    from fractions import Fraction

    from scipy.signal import resample_poly

    made = hum()
    path = export.export(made, tmp_path, ["wav"])[0]
    sound = sound_of(path)
    assert sound.shape == (70 * 8000, 2)
    ratio = Fraction(44_100, 8_000)
    faster = resample_poly(sound, ratio.numerator, ratio.denominator, 0)
    rng = np.random.default_rng(0)
    write_sound(path, faster + (rng.random(faster.shape) - rng.random(faster.shape)) / 16384, 44_100)
    assert edit.import_lanes(made, tmp_path).touch is made.touch


def test_louder_sound_is_more_touch_and_only_there(tmp_path: Path) -> None:
    made = hum()
    path = export.export(made, tmp_path, ["wav"])[0]
    sound = sound_of(path).copy()
    sound[62 * 8000 : 66 * 8000, 0] *= 0.5  # across the border of two blocks
    write_sound(path, sound)
    back = edit.import_lanes(made, tmp_path)
    assert back.touch.origin == "edited"
    before, after = made.touch.values, back.touch.values
    away = np.r_[0 : 62 * 64 - 2, 66 * 64 + 2 : len(before)]
    assert np.array_equal(after[away], before[away])
    assert np.array_equal(after[:, [1, 3, 4]], before[:, [1, 3, 4]])
    inside = slice(62 * 64 + 4, 66 * 64 - 4)
    assert np.abs(after[inside, 0] - before[inside, 0] / 2).max() < 1 / 63
    assert np.abs(after[inside, 2] - 60).max() < 280 / 63


@pytest.mark.parametrize("hertz", [25, 60, 120, 280])
def test_a_tone_that_is_drawn_is_felt(tmp_path: Path, hertz: float) -> None:
    made = hum(8)
    made.tracks["touch"].values[:, :2] = 0
    path = export.export(made, tmp_path, ["wav"])[0]
    sound = np.zeros((8 * 8000, 2))
    t = np.arange(2 * 8000) / 8000
    sound[3 * 8000 : 5 * 8000] = np.stack([0.8 * np.sin(2 * np.pi * hertz * t), 0 * t], -1)
    write_sound(path, sound)
    touch = edit.import_lanes(made, tmp_path).touch
    inside = slice(3 * 64 + 8, 5 * 64 - 8)
    assert np.abs(touch.channel("seat_amplitude")[inside] - 0.8).max() < 1 / 63
    assert np.abs(touch.channel("frequency")[inside] - hertz).max() < 280 / 63
    assert not touch.channel("back_amplitude").any()
    assert not touch.channel("seat_amplitude")[: 3 * 64 - 8].any()


def test_silence_is_silence(movie: Movie, folder: Path) -> None:
    write_sound(folder / "movie.touch.wav", np.zeros((6 * 8000, 2)))
    touch = edit.import_lanes(movie, folder).touch
    loud = movie.touch.values[:, 0] > 0.05
    assert loud.any() and not touch.values[loud, 0].any()
    assert np.array_equal(touch.values[:, 3:], movie.touch.values[:, 3:])


def test_sound_that_does_not_fit(movie: Movie, folder: Path) -> None:
    path = folder / "movie.touch.wav"
    sound = sound_of(path)
    for bad, says in ((sound[:, :1], "two channels"), (sound[:-4000], "5.50 s"), (sound[:0], "")):
        write_sound(path, bad)
        with pytest.raises(StaleError, match=r"movie\.touch\.wav") as caught:
            edit.import_lanes(movie, folder)
        assert says in str(caught.value)
    path.write_bytes(b"RIFF....WAVE")
    with pytest.raises(StaleError, match=r"movie\.touch\.wav"):
        edit.import_lanes(movie, folder)


def test_table_and_sound_may_not_contradict_each_other(movie: Movie, folder: Path) -> None:
    sound = sound_of(folder / "movie.touch.wav").copy()
    sound[: 3 * 8000] *= 0.1
    write_sound(folder / "movie.touch.wav", sound)
    path = folder / "movie.touch.csv"
    rows = path.read_text().splitlines()
    path.write_text("\n".join([*rows[:330], "5.140625,0.5,0,80,14,3", *rows[331:]]))
    back = edit.import_lanes(movie, folder).touch.values
    assert back[329, 0] == 0.5 and back[150, 0] < 0.2 < movie.touch.values[150, 0]
    path.write_text("\n".join([*rows[:150], "2.328125,0.5,0,80,14,3", *rows[151:]]))
    with pytest.raises(StaleError, match="contradict"):
        edit.import_lanes(movie, folder)


def test_sound_has_the_size_that_its_head_says(movie: Movie) -> None:
    data = b"".join(wav.stream(movie))
    assert int.from_bytes(data[4:8], "little") + 8 == len(data) == 44 + 6 * 8000 * 4


# ------------------------------------------------------------------------------------------------------ strength


@settings(deadline=None, max_examples=20)
@given(st.floats(0, 4))
def test_strength_scales_intensities_and_nothing_else(strength: float) -> None:
    made = make_movie(2)
    for sense, track in made.tracks.items():
        values = edit.scaled(track, strength).values
        for c, name in enumerate(track.channels):
            scaled = sense != "touch" or name in ("seat_amplitude", "back_amplitude", "wind")
            expected = track.values[:, c] * np.float32(strength) if scaled else track.values[:, c]
            low, high, _ = timeline.RANGES[name]
            assert np.array_equal(values[:, c], np.clip(expected, low, high))
