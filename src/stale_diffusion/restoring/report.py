"""What was found, for a terminal."""

from __future__ import annotations

from itertools import groupby

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from stale_diffusion.edit import clock
from stale_diffusion.restoring.damage import ROT, WORDS, Damage, Findings

SHOWN = 5  # spans of one kind that are listed; the rest is counted
BLOCKS = " ▁▂▃▄▅▆▇█"


def table(found: Findings) -> RenderableType:
    """Spans of damage by sense and kind, and the share of flipped bits of each segment."""
    parts: list[RenderableType] = []
    if found.sound:
        parts.append(Text(f"Nothing is wrong: looked at {', '.join(found.looked) or 'nothing'}."))
    else:
        lines = Table(box=None, padding=(0, 2), header_style="dim")
        for column in ("sense", "damage", "from - to", "how much"):
            lines.add_column(column, no_wrap=column != "damage")
        for (sense, kind), group in groupby(found.damages, lambda d: (d.sense, d.kind)):
            _spans(lines, sense, kind, list(group))
        parts.append(lines)
    if found.rates:
        parts.append(_rates(found))
    return Group(*parts)


def _spans(lines: Table, sense: str, kind: str, spans: list[Damage]) -> None:
    for d in spans[:SHOWN]:
        much = f"{100 * d.share:.1f} % of bits" if kind == ROT else f"{d.seconds * 1000:.1f} ms"
        much = f"{d.seconds:.2f} s" if kind != ROT and d.seconds >= 1 else much
        lines.add_row(sense, WORDS[kind], f"{clock(d.start)} - {clock(d.end)}", much)
    if len(spans) > SHOWN:
        total = sum(d.seconds for d in spans)
        lines.add_row(sense, f"... and {len(spans) - SHOWN} more of these", "", f"{total:.2f} s in all {len(spans)}")


def _rates(found: Findings) -> Table:
    lines = Table(box=None, padding=(0, 2), title=Text("share of bits that have flipped, by the model", "dim"),
                  title_justify="left", show_header=False)  # fmt: skip
    for name, rates in found.rates.items():
        lane = "".join(BLOCKS[min(8, round(16 * float(p)))] for p in rates[:60])
        lines.add_row(name, lane, f"{100 * float(rates.min()):.2f} to {100 * float(rates.max()):.2f} %")
    return lines
