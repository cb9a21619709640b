"""Write what was measured into docs/model-card.md: `python benchmarks/card.py`, after the benchmarks that it names.

Between `<!-- figures: NAME -->` and `<!-- end -->` stands the table of out/bench/NAME.json; where that file is missing,
what stood there stays. Between `<!-- model -->` and `<!-- end -->` stands what the shipped file says of itself.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

from report import OUT
from stale_diffusion.model.weights import SHIPPED

ROOT = Path(__file__).parents[1]
CARD = ROOT / "docs/model-card.md"
_END = "<!-- end -->"
_COLUMNS = ("se", "floor", "ceiling", "baseline")


def rows(figures: list[dict[str, Any]]) -> list[str]:
    """Figures as rows of a table: name, value, standard error, floor, ceiling, baseline, reference, better."""
    values = {f["name"]: f["value"] for f in figures}
    lines = []
    for f in figures:
        base, _, suffix = f["name"].rpartition("_")
        if suffix in _COLUMNS and base in values:
            continue
        found = [f["value"], *(values.get(f"{f['name']}_{c}") for c in _COLUMNS)]
        cells = ["" if v is None else f"{v:.3g}" for v in found]
        reference = f["reference"]
        against = f"{reference:.3g}" if isinstance(reference, int | float) else reference or ""
        lines.append("| " + " | ".join([f"`{f['name']}`", *cells, against, f["better"]]) + " |")
    return lines


def table(record: dict[str, Any]) -> str:
    """A benchmark's record as a table in Markdown, with the command that made it."""
    head = ["| figure | value | SE | floor | ceiling | baseline | reference | better |", "|---" * 8 + "|"]
    foot = f"`{record['command']}`, commit {record['commit']}, {record['seconds']:.0f} s on {record['machine']}."
    return "\n".join([*head, *rows(record["figures"]), "", foot, ""])


def facts(data: bytes) -> str:
    """What a .safetensors model says of itself, as a table in Markdown."""
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    about = header.pop("__metadata__")
    shape = json.loads(about.pop("shape"))
    streams = ", ".join(f"{name} {tokens}x{bits}" for name, (tokens, bits, _) in shape["streams"].items())
    found = {
        "size": f"{len(data) / 1e6:.1f} MB, float16",
        "parameters": f"{sum(math.prod(t['shape']) for t in header.values()):,}",
        "width, depth, heads": f"{shape['width']}, {shape['depth']}, {shape['heads']}",
        "streams, tokens x bits for 4 s": streams,
        **dict(sorted(about.items())),
        "sha256": f"`{hashlib.sha256(data).hexdigest()}`",
    }
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in found.items()), ""])


def fill(text: str, marker: str, content: str) -> str:
    """Put content between a marker and the next end marker."""
    before, begin, rest = text.partition(f"<!-- {marker} -->")
    return f"{before}{begin}\n{content}{_END}{rest.partition(_END)[2]}" if begin else text


def write_card(card: Path = CARD, folder: Path = OUT) -> None:
    """Rewrite the tables of the model card."""
    text = card.read_text("utf-8")
    shipped = files("stale_diffusion") / SHIPPED
    if shipped.is_file():
        text = fill(text, "model", facts(shipped.read_bytes()))
    for name in re.findall(r"<!-- figures: (\w+) -->", text):
        source = folder / f"{name}.json"
        if source.is_file():
            text = fill(text, f"figures: {name}", table(json.loads(source.read_text("utf-8"))))
    part = card.with_name(card.name + ".part")
    part.write_text(text, "utf-8")
    os.replace(part, card)


if __name__ == "__main__":
    write_card()
