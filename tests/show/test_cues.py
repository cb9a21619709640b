"""Levels by position, the list of cues, and the CSV."""

from __future__ import annotations

import csv
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from conftest import make_movie
from stale_diffusion.formats import export
from stale_diffusion.movie import Movie, Track
from stale_diffusion.show.cues import Programme, stream
from stale_diffusion.show.patch import parse_patch

ROOM = b"""
[[effect]]
name = "seat"
sense = "touch"
channel = "seat_amplitude"
osc = "/seat"
dmx = 1

[[effect]]
name = "fan"
sense = "touch"
channel = "wind"
dmx = 2
latency = 500
limit = 0.8
limit_seconds = 1
rest_seconds = 0.5

[[effect]]
name = "ozone"
sense = "smell"
channel = "ozone"
dmx = 3
latency = 300

[[effect]]
sense = "taste"
channel = "sweet"
dmx = 4
"""


@pytest.fixture
def programme(movie: Movie) -> Programme:
    return Programme(movie, parse_patch(ROOM, "room"))


def test_levels_are_looked_up_with_the_device_s_latency_taken_off(programme: Programme) -> None:
    assert [e.name for e in programme.effects] == ["seat", "fan", "ozone"]  # the movie has no taste
    assert programme.at(0.5) == [round(255 / 2), 204, 0]
    assert programme.at(0.699)[2] == 0
    assert programme.at(0.701)[2] == 204  # 1 s, 300 ms early
    assert programme.at(1.701)[2] == 0
    assert programme.at(3.6)[1] == 0  # what would come after the end is off
    assert programme.at(1e9) == [0, 0, 0]


def test_the_next_position_is_the_next_sample_of_any_effect(programme: Programme) -> None:
    assert programme.after(0.0) == pytest.approx(1 / 64)
    position, seen = 0.0, set()
    for _ in range(64):
        position = programme.after(position)
        seen.add(round(position, 6))
    assert 0.2 in seen and 0.703125 in seen  # the smell's own samples, 300 ms early, and the touch's
    assert programme.after(3.999) == 4.0


def test_cues_are_what_a_look_up_says_and_limits_are_kept(programme: Programme) -> None:
    cues = list(programme.cues())
    assert [c.seconds for c in cues] == sorted(c.seconds for c in cues)
    level = [0, 0, 0]
    for cue, after in zip(cues, [*cues[1:], None], strict=True):
        assert cue.level != level[cue.index]  # a cue is a change
        level[cue.index] = cue.level
        if after is None or after.seconds > cue.seconds + 1e-4:
            wanted = programme.at(cue.seconds + 1e-6) if cue.seconds < 4 else [0, 0, 0]
            assert (level[0], level[2]) == (wanted[0], wanted[2])
    fan = [(round(c.seconds, 6), c.level) for c in cues if c.index == 1]
    assert fan == [(0, 204), (1, 0), (1.5, 204), (2.5, 0), (3, 204), (3.5, 0)]
    assert level == [0, 0, 0]  # everything ends at zero
    ozone = [(round(c.seconds, 6), c.level) for c in cues if c.index == 2]
    assert ozone == [(0.7, 204), (1.7, 0)]


def test_a_latency_longer_than_the_movie_sends_nothing(movie: Movie) -> None:
    late = parse_patch(b"[[effect]]\nsense='touch'\nchannel='wind'\ndmx=1\nlatency=9000", "late")
    programme = Programme(movie, late)
    assert list(programme.cues()) == [] and programme.at(0) == [0]


def test_a_track_longer_than_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    movie = make_movie(20)
    whole = list(Programme(movie, parse_patch(ROOM, "room")).cues())
    monkeypatch.setattr("stale_diffusion.show.cues.BLOCK", 7)
    assert list(Programme(movie, parse_patch(ROOM, "room")).cues()) == whole


def test_the_csv_says_the_same(movie: Movie) -> None:
    patch = parse_patch(ROOM, "room")
    rows = list(csv.DictReader("".join(stream(movie, patch)).splitlines()))
    cues = list(Programme(movie, patch).cues())
    assert [(float(r["seconds"]), int(r["dmx_value"])) for r in rows] == [(round(c.seconds, 4), c.level) for c in cues]
    assert rows[0] == {
        "seconds": "0.0000", "effect": "fan", "sense": "touch", "channel": "wind", "osc": "", "dmx": "2",
        "level": "0.8000", "dmx_value": "204",
    }  # fmt: skip


def test_export_writes_the_csv_and_attaches_it_to_nothing(movie: Movie, tmp_path: Path) -> None:
    (path,) = export.export(movie, tmp_path, ["cues.csv"])
    assert path.name == "movie.cues.csv"
    rows = list(csv.DictReader(path.open()))
    assert {"seat", "fan", "heater", "ozone"} <= {r["effect"] for r in rows}
    last = {r["effect"]: r["dmx_value"] for r in rows}
    assert set(last.values()) == {"0"}
    assert not any("cues" in name for name in export.attachments(movie))
    assert not any("cues" in file.name for file in export.write_sidecars(movie, tmp_path / "beside.mp4"))


def test_values_that_are_no_numbers_are_off(movie: Movie) -> None:
    touch = movie.touch
    values = touch.values.copy()
    values[:, 4] = np.nan
    movie.tracks["touch"] = Track("touch", Fraction(64), touch.channels, touch.unit, values, "edited")
    assert Programme(movie, parse_patch(ROOM, "room")).at(1.0)[1] == 0


def test_export_for_a_room(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from stale_diffusion.commands.looking import export as verb
    from stale_diffusion.errors import StaleError
    from stale_diffusion.movie import Filmed

    clip, room = tmp_path / "clip.mkv", tmp_path / "room.toml"
    screen = Filmed(Path(__file__).parents[1] / "data/sea_island_05.mp4")
    Movie(screen.seconds, screen, make_movie(screen.seconds).tracks).save(clip)
    room.write_bytes(ROOM)
    verb(clip, tmp_path / "out", "cues.csv", patch=room)
    path = tmp_path / "out/movie.cues.csv"
    assert capsys.readouterr().out == f"{path}\n"
    assert {r["effect"] for r in csv.DictReader(path.open())} == {"seat", "fan", "ozone"}
    with pytest.raises(StaleError, match=r"cues\.csv"):
        verb(clip, tmp_path / "out", "ahap", patch=room)
    room.write_text("[[effect]]\ndmx = 0")
    with pytest.raises(StaleError, match="patch"):
        verb(clip, tmp_path / "other", "cues.csv", patch=room)
    assert not (tmp_path / "other").exists()
