"""Screenplays in Fountain (https://fountain.io/syntax) as plots: each scene of the page is a scene of the movie.

What happens is what is dreamt: the heading's place and hour, then the action. What is spoken stays unspoken.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from stale_diffusion.errors import StaleError
from stale_diffusion.senses.base import SEGMENT_SECONDS
from stale_diffusion.timeline import MAX_SECONDS

SUFFIX = ".fountain"
MAX_BYTES = 2**20  # a feature has about 200 kB
_HEADING = re.compile(r"(?:INT\.?/EXT|EXT\.?/INT|INT|EXT|EST|I/E)[. ]+(?:/ *(?:INT|EXT)[. ]+)?(.*)", re.IGNORECASE)
_FORCED = re.compile(r"\.(?=\w)(.*)")
_NUMBER = re.compile(r"#[\w.() -]*#$")  # of a scene, at the end of its heading
_KEY = re.compile(r"[A-Za-z][\w ]*:")  # of a title page
_CUT = re.compile(r"(?:FADE|CUT|IRIS)\b.*\b(?:IN|OUT)[.:]?$|.*\bTO:$|.*\bTO BLACK\.?$")
_NOTE = re.compile(r"\[\[((?:[^\[\]\n]|\n(?!\n)|\[(?!\[)|\](?!\]))*)\]\]")
_TIME = re.compile(r"\s*(\d{1,6}(?:\.\d{1,6})?)\s*(s|sec|seconds?|min|minutes?)\.?\s*", re.IGNORECASE)
_TIMED = re.compile(r"\[\[([\d.]+)\]\]")
_EMPHASIS = re.compile(r"\\([*_])|\*+|(?<!\w)_+|_+(?!\w)")


@dataclass(frozen=True)
class Scene:
    """A scene of a screenplay.

    Args:
        heading: as it is written, without its number.
        plot: place and hour of the heading, then the action, on one line.
        seconds: as a note such as [[20 s]] has it, > 0; None: its share of what is left.
    """

    heading: str
    plot: str
    seconds: float | None = None


def read(path: Path) -> tuple[str, list[Scene]]:
    """The text of a screenplay and its scenes.

    Raises:
        StaleError: it is missing, too large, not UTF-8, or has no scene.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise StaleError(f"The screenplay {path} cannot be read.", why, "check its name", usage=True) from error
    if len(data) > MAX_BYTES:
        raise StaleError(f"The screenplay {path} is too large.", f"it has more than {MAX_BYTES >> 20} MB", usage=True)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        why = f"byte {error.start} is not UTF-8"
        raise StaleError(f"{path} is no screenplay.", why, "save it as plain text in UTF-8", usage=True) from error
    if "\0" in text:
        raise StaleError(f"{path} is no screenplay.", "it has zero bytes", "save it as plain text in UTF-8", usage=True)
    return text, parse(text)


def parse(text: str) -> list[Scene]:
    """The scenes of a screenplay; what comes before the first heading is not one.

    Raises:
        StaleError: there is no scene, or one lasts no time.
    """
    text = _uncommented(re.sub(r"\r\n?|[\v\f\x85\u2028\u2029]", "\n", text))
    text = _NOTE.sub(_kept_time, text.replace("\t", "    "))
    scenes: list[Scene] = []
    heading, action, seconds = "", [""], None
    for kind, line, time in _elements(text.split("\n")):
        if kind == "heading":
            scenes += [_scene(heading, action, seconds)] if heading else []
            heading, action, seconds = line, [], None
        action += [line] if kind == "action" else []
        seconds = time if time is not None else seconds
    if not heading:
        why = "a scene begins with a line such as EXT. SHORE - DUSK, after an empty one"
        raise StaleError("The screenplay has no scene.", why, "write one, or begin a line with a full stop", usage=True)
    return [*scenes, _scene(heading, action, seconds)]


def deal(scenes: Sequence[Scene], seconds: float | None) -> tuple[float, list[str]]:
    """How long a movie becomes, and the plot of each of its segments.

    Args:
        seconds: of the movie; scenes without a time share what the others leave, evenly, a segment each at least.
            None: as long as the scenes say, a segment for each that says nothing, and 20 s where there is one such.

    Raises:
        StaleError: the scenes do not fit.
    """
    unit = SEGMENT_SECONDS
    counts = [None if s.seconds is None else max(1, round(s.seconds / unit)) for s in scenes]
    fixed, free = sum(c or 0 for c in counts), counts.count(None)
    total = max(20 // unit if free else 0, fixed + free) if seconds is None else math.ceil(round(seconds / unit, 9))
    need = (fixed + free) * unit
    if total * unit < need or (not free and total * unit > need):
        why = f"its {len(scenes)} scenes last {need} seconds{' at least' if free else ''}, in segments of {unit}"
        mend = f"--seconds {need}, or other notes such as [[20 s]]"
        raise StaleError(f"The screenplay does not fit into {seconds:g} seconds.", why, mend, usage=True)
    if total * unit > MAX_SECONDS:
        raise StaleError("The screenplay is too long.", "a movie lasts at most a day", "shorter scenes", usage=True)
    plots, nth = [], 0
    for scene, count in zip(scenes, counts, strict=True):
        if count is None:
            count = (total - fixed) * (nth + 1) // free - (total - fixed) * nth // free
            nth += 1
        plots += [scene.plot] * count
    return float(total * unit if seconds is None else seconds), plots


def _uncommented(text: str) -> str:
    """The text without its boneyard, /* ... */; one that is never closed is text."""
    parts, at = [], 0
    while (start := text.find("/*", at)) >= 0 and (end := text.find("*/", start + 2)) >= 0:
        parts.append(text[at:start])
        at = end + 2
    return "".join([*parts, text[at:]])


def _kept_time(note: re.Match[str]) -> str:
    """A note that is a time, in seconds; of another nothing is left."""
    found = _TIME.fullmatch(note[1])
    if found is None:
        return ""
    seconds = float(found[1]) * (60 if found[2].lower().startswith("m") else 1)
    if seconds <= 0:
        raise StaleError("A scene of no seconds cannot be made.", f"a note says [[{note[1]}]]", "[[4 s]]", usage=True)
    return f"[[{seconds:.6f}]]"


def _elements(lines: list[str]) -> Iterator[tuple[str, str, float | None]]:
    """(heading, action or nothing; the line; the seconds of a note in it) of each line that is not left out."""
    timed = [_TIMED.findall(line) for line in lines]
    raw = [_TIMED.sub("", line) for line in lines]
    title = bool(_KEY.match(raw[0])) and not _CUT.match(raw[0].strip()) and not _heading(raw[0].strip())
    blank, speaking = True, False
    for i, line in enumerate(raw):
        words, time = line.strip(), float(timed[i][-1]) if timed[i] else None
        after = raw[i + 1].strip() if i + 1 < len(raw) else ""
        kind = ""
        if title:
            title = bool(words)
        elif not words:
            speaking = speaking and line == "  "  # two spaces keep a speech going
        elif speaking or words[0] in "#=~":
            pass
        elif blank and (place := _heading(words)) is not None:
            kind, words = "heading", place
        elif words[0] == ">" or (blank and not after and words.isupper() and _CUT.match(words)):
            kind, words = ("action", words[1:-1].strip()) if words[0] == ">" and words[-1] == "<" else ("", "")
        elif words[0] != "!" and blank and after and _speaker(words):
            speaking = True
        else:
            kind, words = "action", words.removeprefix("!").strip()
        blank = not words or line.lstrip()[:1] in ("#", "=")
        if kind or time is not None:
            yield kind, words, time


def _heading(words: str) -> str | None:
    """A scene heading as it is written, without number and the full stop that forces it; None: it is none."""
    forced = _FORCED.match(words)
    if forced is None and not _HEADING.match(words):
        return None
    return _NUMBER.sub("", forced[1] if forced else words).strip()


def _speaker(words: str) -> bool:
    """Whether a line that others follow names who speaks."""
    name = words.split("(")[0]
    return words[0] == "@" or (name == name.upper() and any(c.isalpha() for c in name))


def _scene(heading: str, action: list[str], seconds: float | None) -> Scene:
    found = _HEADING.match(heading)
    place = found[1] if found else heading
    words = [_EMPHASIS.sub(r"\1", part) for part in (place.lower(), " ".join(action))]
    plot = ". ".join(w for w in (" ".join(part.split()).strip(" .-") for part in words) if w)
    return Scene(heading, plot, seconds)


def plot_of(plots: str | Sequence[str], segment: int) -> str:
    """The plot of a segment, of one for all or of one for each; the last is that of all that come after."""
    return plots if isinstance(plots, str) else plots[min(segment, len(plots) - 1)]
