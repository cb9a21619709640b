"""Patch files: what they say, and one clear error for every bad one."""

from pathlib import Path

import numpy as np
import pytest

from stale_diffusion.errors import StaleError
from stale_diffusion.senses.balance import AXES
from stale_diffusion.senses.smell import NOTES
from stale_diffusion.senses.taste import TASTES
from stale_diffusion.senses.touch import Touch
from stale_diffusion.show.patch import Effect, load_patch, parse_patch

FAN = 'sense = "touch"\nchannel = "wind"\n'


def one(text: str) -> Effect:
    (effect,) = parse_patch(f"[[effect]]\n{text}".encode(), "room.toml")
    return effect


def test_a_full_entry() -> None:
    effect = one(
        'name = "fan"\nsense = "touch"\nchannel = "wind"\nosc = "/room/fan"\ndmx = 3\nrange = [0, 12]\ncurve = "root"\n'
        "latency = 800\nlimit = 0.9\nlimit_seconds = 60\nlimit_above = 0.5\nrest_seconds = 20"
    )
    assert effect == Effect("fan", "touch", "wind", "/room/fan", 3, (0, 12), "root", 0.8, 0.9, 60, 0.5, 20)


def test_what_is_left_out() -> None:
    assert one(FAN + "dmx = 512\n") == Effect("touch wind", "touch", "wind", None, 512, (0, 20), "linear")
    assert one(FAN + "dmx = 1\nlimit_seconds = 5").rest_seconds == 5


@pytest.mark.parametrize(
    ("text", "values", "levels"),
    [
        ("", [0, 10, 20, 30, -5], [0, 128, 255, 255, 0]),
        ("range = [5, 15]", [5, 10, 15], [0, 128, 255]),
        ("range = [15, 5]", [5, 10, 15], [255, 128, 0]),
        ('curve = "square"', [0, 10, 20], [0, 64, 255]),
        ('curve = "root"', [0, 5, 20], [0, 128, 255]),
        ("curve = [[0, 0], [0.5, 0.2], [1, 1]]", [0, 10, 15, 20], [0, 51, 153, 255]),
        ("limit = 0.5", [0, 5, 10, 20], [0, 64, 127, 127]),
        ("", [float("nan"), float("inf"), float("-inf")], [0, 255, 0]),
    ],
)
def test_range_curve_and_limit(text: str, values: list[float], levels: list[int]) -> None:
    assert one(FAN + "dmx = 1\n" + text).levels(np.array(values)).tolist() == levels


def test_no_level_is_ever_above_its_limit() -> None:
    for limit in np.linspace(1 / 255, 1, 400):
        assert one(FAN + f"dmx = 1\nlimit = {limit}").levels(np.array([20.0]))[0] / 255 <= limit + 1e-9


BAD = [
    ("sense = 'sight'\nchannel = 'wind'\ndmx = 1", "no sense 'sight'"),
    ("channel = 'wind'\ndmx = 1", "needs a sense"),
    ("sense = 'touch'\ndmx = 1", "needs a channel"),
    ("sense = 'touch'\nchannel = 'winds'\ndmx = 1", "is wind meant"),
    ("sense = 'smell'\nchannel = 'sea_salt'\ndmx = 1", "is sea salt meant"),
    ("sense = 3\nchannel = 'wind'\ndmx = 1", "no sense 3"),
    (FAN, "needs an osc address or a dmx channel"),
    (FAN + "dmx = 0", "1 to 512, not 0"),
    (FAN + "dmx = 513", "1 to 512, not 513"),
    (FAN + "dmx = 1.0", "1 to 512"),
    (FAN + "dmx = true", "1 to 512"),
    (FAN + "osc = 'fan'", "osc must be"),
    (FAN + "osc = '/a b'", "osc must be"),
    (FAN + "osc = '/a/*'", "osc must be"),
    (FAN + "osc = '/a/'", "osc must be"),
    (FAN + "osc = '/é'", "osc must be"),
    (FAN + "dmx = 1\nrange = [nan, 1]", "range must be"),
    (FAN + "dmx = 1\nrange = [0, inf]", "range must be"),
    (FAN + "dmx = 1\nrange = [3, 3]", "range must be"),
    (FAN + "dmx = 1\nrange = [3]", "range must be"),
    (FAN + "dmx = 1\nrange = 3", "range must be"),
    ("sense = 'touch'\nchannel = 'temperature'\ndmx = 1", "needs a range"),
    (FAN + "dmx = 1\nlatency = -1", "latency must be"),
    (FAN + "dmx = 1\nlatency = nan", "latency must be"),
    (FAN + "dmx = 1\nlatency = 1e9", "latency must be"),
    (FAN + "dmx = 1\nlatency = '5 ms'", "latency must be"),
    (FAN + "dmx = 1\nlimit = 1.5", "limit must be"),
    (FAN + "dmx = 1\nlimit = 0", "limit must be"),
    (FAN + "dmx = 1\nlimit = nan", "limit must be"),
    (FAN + "dmx = 1\nlimit_seconds = 0", "limit_seconds must be"),
    (FAN + "dmx = 1\nlimit_seconds = nan", "limit_seconds must be"),
    (FAN + "dmx = 1\nlimit_seconds = 9\nrest_seconds = 0", "rest_seconds must be"),
    (FAN + "dmx = 1\nrest_seconds = 9", "without limit_seconds"),
    (FAN + "dmx = 1\nlimit_seconds = 9\nlimit = 0.5\nlimit_above = 0.6", "limit_above must be"),
    (FAN + "dmx = 1\ncurve = 'log'", "curve must be"),
    (FAN + "dmx = 1\ncurve = []", "curve must be"),
    (FAN + "dmx = 1\ncurve = [[0, 0], [0.5, nan], [1, 1]]", "curve must be"),
    (FAN + "dmx = 1\ncurve = [[0, 0.2], [1, 1]]", "curve must be"),
    (FAN + "dmx = 1\ncurve = [[0, 0], [0.6, 1], [0.5, 1], [1, 1]]", "curve must be"),
    (FAN + "dmx = 1\nlatancy = 5", "is latency meant"),
    (FAN + "dmx = 1\nname = '=1+1'", "name must be"),
    (FAN + "dmx = 1\nname = ''", "name must be"),
    (FAN + 'dmx = 1\nname = "a\\nb"', "name must be"),
    (FAN + "dmx = 4\n[[effect]]\nsense = 'smell'\nchannel = 'ozone'\ndmx = 4", "DMX channel 4 is given twice"),
    (FAN + "osc = '/a'\n[[effect]]\nsense = 'smell'\nchannel = 'ozone'\nosc = '/a'", "OSC address /a is given twice"),
    (FAN + "dmx = 1\n[[effect]]\n" + FAN + "dmx = 2", "name touch wind is given twice"),
]


@pytest.mark.parametrize(("text", "why"), BAD, ids=[why for _, why in BAD])
def test_a_bad_entry_is_one_clear_error(text: str, why: str) -> None:
    with pytest.raises(StaleError) as error:
        one(text)
    assert why in error.value.why and "room.toml" in error.value.what and error.value.exit_code == 2
    assert "\n" not in error.value.why and len(error.value.why) < 600


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"this is no TOML", "not TOML"),
        (b"\xff\xfe\x00", "not TOML"),
        (b"", "needs one"),
        (b"effect = 3", "needs one"),
        (b"effect = [3]", "not a table"),
        (b"effect = []", "needs one"),
        (b"[effect]\ndmx = 1", "needs one"),
        (b"[[effects]]\ndmx = 1", "'effects' is not known"),
        (b"a = " + b"[" * 100_000 + b"]" * 100_000, "TOML"),
        (b"#" * (2**20 + 1), "larger"),
        (b"[[effect]]\n" * 1025, "needs one to 1024"),
    ],
)
def test_a_bad_file_is_one_clear_error(data: bytes, why: str) -> None:
    with pytest.raises(StaleError) as error:
        parse_patch(data, "room.toml")
    assert why in error.value.why or "nested" in error.value.why


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(StaleError, match=r"cannot be read"):
            load_patch(path)


def test_the_patch_that_ships_has_every_channel_of_touch_smell_and_taste() -> None:
    effects = load_patch(None)
    assert {(e.sense, e.channel) for e in effects} == (
        {("touch", c) for c in Touch.channels}
        | {("smell", c) for c in NOTES}
        | {("taste", c) for c in TASTES}
        | {("balance", c) for c in AXES}
    )
    assert all(e.osc and e.dmx and e.latency == 0 for e in effects)
    assert (
        len({e.dmx for e in effects}) == len({e.osc for e in effects}) == len({e.name for e in effects}) == len(effects)
    )


def test_balance_is_off_at_rest_and_each_side_of_an_axis_has_its_own_device() -> None:
    heave = {e.osc: e for e in load_patch(None) if e.channel == "heave"}
    plus, minus = heave["/stale/balance/heave/plus"], heave["/stale/balance/heave/minus"]
    values = np.array([0, 0.05, 0.1, -0.05, -0.1])
    assert plus.levels(values).tolist() == [0, 128, 255, 0, 0]
    assert minus.levels(values).tolist() == [0, 0, 0, 128, 255]


def test_a_sense_that_only_the_movie_has(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text("[[effect]]\nsense = 'magnetism'\nchannel = 'north'\nrange = [0, 10]\ndmx = 1")
    assert load_patch(tmp_path / "p.toml", {"magnetism": ["north", "down"]})[0].channel == "north"
    with pytest.raises(StaleError, match="patch"):
        load_patch(tmp_path / "p.toml")
