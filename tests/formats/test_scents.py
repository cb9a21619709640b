"""sem and aroma: pairs, terms, chambers, pauses."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from stale_diffusion.errors import StaleError
from stale_diffusion.formats import aroma, notes, sem
from stale_diffusion.movie import Movie
from stale_diffusion.senses.smell import NOTES

SEV = "{http://www.w3.org/2001/XMLSchema-instance}type"
PTS = "{urn:mpeg:mpeg21:2003:01-DIA-XSI-NS}pts"


def effects(movie: Movie) -> list[dict[str, str]]:
    """The attributes of all effects; without weather, which the storm's scene of random bits has at random."""
    movie.scene = None
    root = ElementTree.fromstring(sem.to_sem(movie).encode())
    assert root.tag == "{urn:mpeg:mpeg-v:2010:01-SEDL-NS}SEM"
    assert root.get("{urn:mpeg:mpeg21:2003:01-DIA-XSI-NS}timeScale") == "1000"
    return [dict(child.attrib) for child in root]


def test_notes_are_those_of_the_sense() -> None:
    assert tuple(notes.notes()) == NOTES
    assert len({note.scent for note in notes.notes().values()}) == len(NOTES)
    assert notes.similarity("pine", "pine") == pytest.approx(1)
    assert notes.similarity("pine", "resin") > notes.similarity("pine", "coffee")


def test_every_effect_is_a_pair_in_order(movie: Movie) -> None:
    found = effects(movie)
    assert [int(e[PTS]) for e in found] == sorted(int(e[PTS]) for e in found)
    assert {e[SEV] for e in found} == {
        "sev:VibrationType",
        "sev:WindType",
        "sev:TemperatureType",
        "sev:ScentType",
        "sev:LightType",
        "sev:RigidBodyMotionType",
    }
    for kind in {e[SEV] for e in found}:
        switches = [e["activate"] for e in found if e[SEV] == kind]
        assert switches == ["true", "false"] * (len(switches) // 2)
        assert "duration" not in {key for e in found for key in e}
    assert max(int(e[PTS]) for e in found) <= 6000


def test_intensities_lie_in_their_range(movie: Movie) -> None:
    for effect in effects(movie):
        if effect["activate"] == "true" and effect[SEV] != "sev:RigidBodyMotionType":  # that says metres and degrees
            low, high = map(float, effect["intensity-range"].split())
            assert low <= float(effect["intensity-value"]) <= high


def test_scents_are_terms_of_the_scheme(movie: Movie) -> None:
    scents = [e["scent"] for e in effects(movie) if "scent" in e]
    assert scents[0] == "urn:mpeg:mpeg-v:01-SI-ScentCS-NS:ozone"
    assert scents[-1] == "urn:mpeg:mpeg-v:01-SI-ScentCS-NS:mother_earth"


def test_vibration_begins_with_the_thunder(movie: Movie) -> None:
    first = next(e for e in effects(movie) if e[SEV] == "sev:VibrationType")
    assert int(first[PTS]) == 2000
    assert float(first["intensity-value"]) > 80


def test_nothing_smelt_gives_no_scent(still: Movie) -> None:
    assert {e[SEV] for e in effects(still)} == {"sev:TemperatureType", "sev:LightType"}


def test_cues_leave_the_air_time_to_clear(movie: Movie) -> None:
    track = movie.smell
    movie.seconds = 120.0
    movie.tracks["smell"] = replace(track, values=np.resize(track.values, (240, len(NOTES))))
    cues = aroma.to_aroma(movie)["cues"]
    assert len(cues) > 5
    for before, after in pairwise(cues):
        assert after["start"] >= before["start"] + before["duration"] + 1000
    for cue in cues:
        assert 500 <= cue["duration"] <= 10_000
        assert len(cue["chambers"]) == len(cue["concentrations"]) == len(set(cue["chambers"])) <= 3
        assert all(1 <= c <= 6 for c in cue["chambers"])
        assert all(1 <= c <= 100 for c in cue["concentrations"])
        assert cue["start"] + cue["duration"] <= 120_000


def test_what_stays_is_puffed_again(movie: Movie) -> None:
    values = np.zeros((80, len(NOTES)), np.float32)
    values[:, 2] = 0.5
    movie.seconds = 40.0
    movie.tracks["smell"] = replace(movie.smell, values=values)
    starts = [cue["start"] for cue in aroma.to_aroma(movie)["cues"]]
    assert starts == [0, 8000, 16000, 24000, 32000]


def test_missing_cartridges_are_replaced_or_reported(movie: Movie) -> None:
    made = aroma.to_aroma(movie, {2: "moss", 5: "coffee"})
    assert made["cartridges"] == {"2": "moss", "5": "coffee"}
    assert {c for cue in made["cues"] for c in cue["chambers"]} == {2}
    assert any(line.startswith("wet earth: no cartridge, moss") for line in made["report"])
    assert any(line.startswith("ozone") and "left out" in line for line in made["report"])


def test_cartridge_map_is_read_and_checked() -> None:
    assert aroma.cartridges_of(b'# mine\n1 = "pine"\n6 = "soap"') == {1: "pine", 6: "soap"}
    bad = ('7 = "pine"', '1 = "petrol"', '1 = ["pine"]', "1 = ", "", '[x]\n1 = "pine"', "a = " + "[" * 5000, "1 = nan",
           '1 = "pine"\n1 = "moss"', "#" * 70_000)  # fmt: skip
    for text in bad:
        with pytest.raises(StaleError) as error:
            aroma.cartridges_of(text.encode(), "mine.toml")
        assert error.value.what.startswith("mine.toml")
        assert "cartridges" in error.value.mend
    with pytest.raises(StaleError):
        aroma.cartridges_of(b"\xff\xfe\x00")


def test_a_map_to_edit_is_a_map(movie: Movie) -> None:
    assert aroma.cartridges_of(aroma.to_map(movie).encode()) == {1: "wet earth", 2: "ozone"}
    assert all(note in aroma.to_map(movie).replace("\n#   ", " ") for note in NOTES)


@pytest.mark.parametrize("seed", range(8))
def test_nothing_new_is_blown_while_what_has_gone_lingers(movie: Movie, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = np.zeros((400, len(NOTES)), np.float32)
    for note in rng.choice(len(NOTES), 6, replace=False):
        values[:, note] = (np.sin(np.arange(400) / rng.uniform(2, 12) + rng.uniform(0, 6)) > rng.uniform(0, 0.9)) * 0.7
    movie.seconds = 200.0
    movie.tracks["smell"] = replace(movie.smell, values=values)
    made = aroma.to_aroma(movie)
    loaded = {int(chamber): note for chamber, note in made["cartridges"].items()}
    waited = 0
    for before, after in pairwise(made["cues"]):
        gone, new = set(before["chambers"]) - set(after["chambers"]), set(after["chambers"]) - set(before["chambers"])
        free = before["start"] + before["duration"] + 1000
        if gone and new:
            longest = max(notes.notes()[loaded[chamber]].linger for chamber in gone)
            free = before["start"] + before["duration"] + round(1000 * longest)
            waited += 1
        assert after["start"] >= free
    assert waited > 0


def test_the_report_says_what_stands_in(movie: Movie) -> None:
    assert aroma.report(movie) == []
    assert aroma.report(movie, {2: "moss", 5: "coffee"}) == [
        "wet earth: no cartridge, moss stands in",
        "ozone: no cartridge like it, left out",
    ]


def test_a_movie_without_smell_has_no_cues(still: Movie) -> None:
    assert aroma.to_aroma(still)["cues"] == []
