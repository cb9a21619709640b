"""docs/show.md and the patches it shows are what the program reads."""

import re
from pathlib import Path

from stale_diffusion.senses.smell import NOTES
from stale_diffusion.senses.taste import TASTES
from stale_diffusion.show.patch import KEYS, load_patch, parse_patch

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/show.md").read_text("utf-8")


def test_the_example_is_a_patch_and_the_page_shows_it() -> None:
    whole = {e.name: e for e in load_patch(ROOT / "examples/room.toml")}
    shown = [re.sub(r"^ {3}", "", block, flags=re.M) for block in re.findall(r" {3}```toml\n(.*?) {3}```", PAGE, re.S)]
    assert len(shown) == 3
    for block in shown:
        (effect,) = parse_patch(block.encode(), "docs/show.md")
        assert effect == whole[effect.name]


def test_every_key_is_in_the_table_and_no_other() -> None:
    table = PAGE.split("| key |")[1].split("\n\n")[0]
    assert sorted(re.findall(r"^\| `(\w+)` \|", table, re.M)) == sorted(KEYS)


def test_the_default_patch_is_as_the_page_says() -> None:
    by_dmx = {e.dmx: e for e in load_patch(None)}
    assert [by_dmx[i].name for i in range(1, 7)] == ["seat", "back", "frequency", "fan", "heater", "cooler"]
    assert tuple(by_dmx[i].channel for i in range(11, 35)) == NOTES
    assert tuple(by_dmx[i].channel for i in range(41, 46)) == TASTES
    assert {"/stale/touch/seat", "/stale/smell/sea_salt", "/stale/taste/sweet"} <= {e.osc for e in by_dmx.values()}
