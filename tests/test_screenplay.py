"""Fountain screenplays: what of a page becomes scenes, how long they are, and how a movie turns between them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stale_diffusion import scene
from stale_diffusion.errors import StaleError
from stale_diffusion.generate import load
from stale_diffusion.screenplay import MAX_BYTES, Scene, deal, parse, read

PAGE = """Title: The Tide
Author: Nobody
    in particular

# Act one

= The sea is met.

FADE IN:

EXT. SHORE - DUSK #1#

Waves *roll* in, [[not a
time]]salt on the _lips_. /* INT. CELLAR

Dark. */ Gulls.

MIRA (O.S.)
(whispering)
Do you hear it?
  
INT. NOT A PLACE

CUT TO:

.campfire at night [[1 min]]

!BANG
A log cracks.

> SMASH CUT:

> embers <
~a song
"""


def test_a_page_becomes_its_scenes() -> None:
    shore, fire = parse(PAGE.replace("\n", "\r\n"))
    assert shore == Scene("EXT. SHORE - DUSK", "shore - dusk. Waves roll in, salt on the lips. Gulls")
    assert fire == Scene("campfire at night", "campfire at night. BANG A log cracks. embers", 60.0)


@pytest.mark.parametrize(
    ("line", "plot"),
    [
        ("INT. KITCHEN", "kitchen"), ("int./ext. car - day", "car - day"), ("I/E CAR", "car"), ("EST. CITY", "city"),
        ("INT/EXT. DOOR", "door"), (".shore", "shore"), ("INT. ROOM #12-A.#", "room"), ("INT.", ""),
    ],
)  # fmt: skip
def test_headings(line: str, plot: str) -> None:
    assert [s.plot for s in parse(f"{line} \n")] == [plot]


@pytest.mark.parametrize(
    "text", ["", "Waves.", "..shore", "INTERIOR", "A line\nINT. ROOM", "/* INT. ROOM */", "Title: INT. ROOM"]
)
def test_no_scene(text: str) -> None:
    with pytest.raises(StaleError, match="no scene"):
        parse(text)


def test_notes_that_are_times() -> None:
    notes = ("20 s", "1.5 min", "8 seconds", "20", "s", "a 20 s")
    found = [parse(f".a\n\nWaves. [[{n}]]")[0].seconds for n in notes]
    assert found == [20, 90, 8, None, None, None]
    with pytest.raises(StaleError, match="no seconds"):
        parse(".a [[0 s]]")
    assert parse(".a\n\n[[open [[ 8 s]]\n")[0].plot == "a. [[open"


def test_what_is_not_closed_takes_no_time() -> None:
    for text in ("[[" * 200_000, "/*" * 200_000, "[[ x\n" * 100_000, "[[a" + " " * 400_000, "*_" * 200_000):
        assert len(parse(f".a\n\n{text}")) == 1


@given(
    st.text()
    | st.lists(st.sampled_from(["INT. A", ".b", "\n", "[[", "]]", "/*", "*/", "4 s", "X:", ">", "<", "@", "  "])).map(
        "".join
    )
)
def test_any_text_is_scenes_or_one_clear_error(text: str) -> None:
    try:
        scenes = parse(text)
    except StaleError:
        return
    seconds, plots = deal(scenes, None)
    assert seconds == 4 * len(plots) and len(plots) >= len(scenes) >= 1
    assert all("\n" not in s.plot for s in scenes)


def test_time_is_dealt_out() -> None:
    a, b, c = Scene("a", "a"), Scene("b", "b", 9), Scene("c", "c")
    assert deal([a, c], 20) == (20, [*"aaccc"])
    assert deal([a, b, c], 22) == (22, [*"aabbcc"])
    assert deal([a, b, c], None) == (20, [*"abbcc"])
    assert deal([b, b], None) == (16, [*"bbbb"])
    assert deal([a] * 9, None) == (36, ["a"] * 9)
    for scenes, seconds in (([a, c], 4), ([b], 12), ([a, b], 8), ([Scene("d", "d", 1e6)], None)):
        with pytest.raises(StaleError, match=r"fit|long"):
            deal(scenes, seconds)


def test_files_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "x.fountain"
    for data, says in (
        (b"\xff\xfe.\0a\0", "UTF-8"),
        (b".a\0", "zero"),
        (b".a\n" * MAX_BYTES, "large"),
        (b"", "no scene"),
    ):
        path.write_bytes(data)
        with pytest.raises(StaleError, match=says):
            read(path)
    path.write_bytes(b"\xef\xbb\xbf.a\r\n\r\nb")
    assert read(path)[1] == [Scene("a", "a. b")]
    for absent in (tmp_path, tmp_path / "absent.fountain"):
        with pytest.raises(StaleError, match="cannot be read"):
            read(absent)


def test_a_movie_turns_from_scene_to_scene() -> None:
    torch.set_num_threads(1)
    text = "EXT. SHORE - DUSK [[8 s]]\n\nWaves roll in.\n\nEXT. CAMPFIRE [[8 s]]\n\nLogs crackle in a campfire."
    seconds, plots = deal(parse(text), None)
    movie = load().generate(text, seconds, 3, 3, plots=plots, sleep_safe=False, watermark=False)
    assert movie.scene is not None and movie.recipe is not None and movie.recipe.plot == text
    segments = scene.decode(movie.scene)
    assert [s.place for s in segments] == ["shore", "shore", "campfire", "campfire"]
    assert [s.next for s in segments[:3]] == ["shore", "campfire", "campfire"]
    assert len({(s.variant, s.statics["hour"]) for s in segments}) == 1
    mix = scene.read_curve(segments[1].curves["mix"], np.linspace(0, 4, 9))
    assert mix[0] < 0.1 and mix[-1] > 0.9 and (np.diff(mix) > -0.02).all()
    camera = [[s.statics[n] for n in ("height", "pan", "focal", "cloud")] for s in segments]
    assert camera[0] == camera[1] != camera[2] == camera[3]
    assert np.abs(segments[1].curves["fire"]).max() > 0.1 > np.abs(segments[0].curves["fire"]).max()


def test_a_scene_that_goes_on_from_an_interruption_is_the_same() -> None:
    torch.set_num_threads(1)
    whole: dict[str, np.ndarray] = {}
    gen, plots = load(), ["waves on a shore", "a campfire at night"]
    gen.generate("", 8, 3, 2, plots=plots, sampled=whole, sleep_safe=False, watermark=False)
    part = {name: b[:1] for name, b in whole.items()}
    gen.generate("", 8, 3, 2, plots=plots, sampled=part, sleep_safe=False, watermark=False)
    assert all(np.array_equal(part[n], b) for n, b in whole.items())
