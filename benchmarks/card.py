"""Write what was measured into the pages of docs: `python benchmarks/card.py`, after the benchmarks that they name.

Between `<!-- figures: NAME -->` and `<!-- end -->` stands the table of out/bench/NAME.json; where that file is missing,
what stood there stays. Between `<!-- model -->` and `<!-- end -->` stands what the shipped file says of itself, between
`<!-- arms -->` and `<!-- end -->` the arena's arms, one a row.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from importlib.resources import files
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from report import OUT
from stale_diffusion.model.files import SHIPPED

ROOT = Path(__file__).parents[1]
CARD = ROOT / "docs/model-card.md"
PAGES = (CARD, ROOT / "docs/method.md")
ARMS = ROOT / "benchmarks/results/arena.json"
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


def arms(results: dict[str, dict[str, dict[str, float]]]) -> str:
    """The arena's arms as a table in Markdown: means over seeds, beside the bound the paired difference to base."""
    columns = {"mmd": "MMD", "place": "place right", "hour_error": "hour off, h", "diversity": "diversity",
               "rotten_0.0": "touch bits wrong", "rotten_0.1": "the same, a tenth of what is given rotten"}  # fmt: skip
    heads = ["arm", "seeds", "steps", "CPU a step", "parameters", "bound, bits", "to base", *columns.values()]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    base = results["base"]
    for arm, seeds in results.items():
        gap = [seeds[s]["bound_total"] - base[s]["bound_total"] for s in seeds if s in base]
        apart = "" if arm == "base" else f"{fmean(gap):+.1f}"
        if apart and len(gap) > 1:
            apart += f" (SE {stdev(gap) / len(gap) ** 0.5:.1f})"
        mean = {name: fmean(seed[name] for seed in seeds.values()) for name in ("bound_total", *columns)}
        time = fmean(seed["cpu_ms_a_step"] for seed in seeds.values())
        one = next(iter(seeds.values()))
        size = f"{one['parameters'] / 1e6:.2f} M"
        cells = [f"`{arm}`", str(len(seeds)), f"{one['steps']:.0f}", f"{time:.0f} ms", size,
                 f"{mean['bound_total']:.1f}", apart, *(f"{mean[name]:.3g}" for name in columns)]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def fill(text: str, marker: str, content: str) -> str:
    """Put content between a marker and the next end marker."""
    before, begin, rest = text.partition(f"<!-- {marker} -->")
    return f"{before}{begin}\n{content}{_END}{rest.partition(_END)[2]}" if begin else text


def write_page(page: Path = CARD, folder: Path = OUT) -> None:
    """Rewrite the tables of a page."""
    text = page.read_text("utf-8")
    shipped = files("stale_diffusion") / SHIPPED
    if shipped.is_file():
        text = fill(text, "model", facts(shipped.read_bytes()))
    if ARMS.is_file():
        text = fill(text, "arms", arms(json.loads(ARMS.read_text("utf-8"))))
    for name in re.findall(r"<!-- figures: (\w+) -->", text):
        source = folder / f"{name}.json"
        if source.is_file():
            text = fill(text, f"figures: {name}", table(json.loads(source.read_text("utf-8"))))
    part = page.with_name(page.name + ".part")
    part.write_text(text, "utf-8")
    os.replace(part, page)


if __name__ == "__main__":
    for page in PAGES:
        write_page(page)
