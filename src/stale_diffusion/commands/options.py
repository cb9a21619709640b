"""What several verbs share: options, and the checks that refuse at once what would fail in the end."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Annotated, Any

import typer

from stale_diffusion.errors import StaleError

BYTES_A_SECOND = 1_000_000  # at 640x360: 430 kB of shore, the costliest place, measured; written twice, rounded up
Output = Annotated[
    Path,
    typer.Option(
        "--output", "-o", help="The movie to write: .mkv, .mp4 or .webm; .png: a still; .webp: a silent loop."
    ),
]
Seed = Annotated[int | None, typer.Option(help="The same seed makes the same movie; drawn and printed if missing.")]
Steps = Annotated[int, typer.Option(help="Steps of the reverse process a segment.")]
Guidance = Annotated[float, typer.Option(help="How strongly the plot pulls; 1 is the network's own odds.")]
Price = Annotated[float, typer.Option(help="Dollars an hour of this machine.", envvar="STALE_DIFFUSION_PRICE")]
ModelPath = Annotated[str | None, typer.Option("--model", help="A .safetensors model or a training's folder.")]
SheetPath = Annotated[Path | None, typer.Option("--sheet", help="Write the contact sheet (.png) as well.")]
KeyPath = Annotated[
    Path | None, typer.Option("--key", help="The key that marks and signs; made if it is not there. Else your own.")
]
NoWatermark = Annotated[
    bool, typer.Option("--no-watermark", help="Leave picture and sound unmarked, and the file unsigned.")
]
Refuse = Annotated[
    Path | None,
    typer.Option(
        "--refuse", help="A prude (see refuse learn): keep away from what it refuses, and look again at the end."
    ),
]
RefuseWith = Annotated[str, typer.Option("--refuse-with", help="What is refused is met with: pixelate, cut or stop.")]
NoRecipe = Annotated[bool, typer.Option("--no-recipe", help="Leave the recipe out of the file.")]


def parse_size(text: str) -> tuple[int, int]:
    try:
        width, height = (int(part) for part in text.lower().split("x"))
    except ValueError:
        raise StaleError(f"{text!r} is not a size.", mend="--size 640x360", usage=True) from None
    if not (32 <= width <= 7680 and 32 <= height <= 4320) or width % 2 or height % 2:
        raise StaleError(f"{text} is not a possible size.", "Width and height are even, 32x32 to 7680x4320.",
                         "--size 640x360", usage=True)  # fmt: skip
    return width, height


def parse_rate(fps: float) -> Any:
    from fractions import Fraction

    if not 1 <= fps <= 240:
        raise StaleError(f"{fps} frames a second cannot be made.", "1 to 240 can.", "--fps 24", usage=True)
    return Fraction(fps).limit_denominator(1001)


def check_output(path: Path, needed: float) -> None:
    """Refuse at once what would fail in the end: a wrong name, a folder, too little room for `needed` bytes."""
    if path.is_dir():
        raise StaleError(f"{path} is a folder.", mend=f"-o {path / 'movie.mkv'}", usage=True)
    from stale_diffusion.movie import MOVIES, PICTURES, SOUNDS

    if path.suffix.lower() not in (*MOVIES, *PICTURES, *SOUNDS):
        why = f"It ends in none of {', '.join((*MOVIES, *PICTURES, *SOUNDS))}."
        raise StaleError(f"{path} is not a movie's name.", why, f"-o {path.with_suffix('.mkv')}", usage=True)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise StaleError(f"The folder {path.parent} cannot be made.", str(e), usage=True) from e
    if path.suffix.lower() in PICTURES:
        needed = min(needed, 2**26)
    free = shutil.disk_usage(path.parent).free
    if free < needed:
        why = f"It takes about {needed / 1e6:.0f} MB; {free / 1e6:.0f} MB are free in {path.parent}."
        raise StaleError("There is no room for this movie.", why, "Free some space, or write elsewhere with -o.")


def key_of(path: Path | None, none: bool) -> Any:
    """The key of a file, or the user's own, made and said so if it is not there; None where none is wanted."""
    from stale_diffusion.trust import keys

    if none and path is not None:
        raise StaleError(
            "A key was given for nothing.", "--no-watermark uses none", "leave one of them out", usage=True
        )
    if none:
        return None
    new = not (path or keys.own_path()).exists()
    key = keys.own(path)
    if new:
        from stale_diffusion.console import console

        console.print(f"your key is {path or keys.own_path()}: keep it, and show it to nobody", soft_wrap=True,
                      markup=False)  # fmt: skip
    return key


def check_copy(path: Path, clip: Path) -> None:
    """Refuse a clip whose packets the output's container cannot hold."""
    from stale_diffusion import media
    from stale_diffusion.movie import MOVIES

    if path.suffix.lower() in MOVIES:
        media.check_fits(path, clip)


def check_length(seconds: float, steps: int) -> None:
    from stale_diffusion.timeline import MAX_SECONDS

    if not 0 < seconds <= MAX_SECONDS:
        why = "A movie lasts more than 0 s and at most a day."
        raise StaleError(f"A movie of {seconds:g} seconds cannot be made.", why, "--seconds 20", usage=True)
    if steps < 1:
        raise StaleError(f"{steps} steps cannot be taken.", mend="Ask for --steps 16.", usage=True)


def check_manner(sampler: str, sharpen: float, best_of: int, by: str) -> None:
    """Refuse what the sampler would refuse after the model is loaded."""
    if sampler not in ("ancestral", "renoised", "corrected"):
        raise StaleError(
            f"There is no sampler {sampler!r}.", mend="--sampler ancestral, renoised or corrected", usage=True
        )
    if not math.isfinite(sharpen):
        raise StaleError(f"{sharpen} is not a weight.", mend="--sharpen 0.5", usage=True)
    if best_of < 1 or by not in ("score", "dog"):
        raise StaleError(f"The best of {best_of} by {by!r} cannot be kept.", mend="--best-of 4 --by score", usage=True)


def check_bedtime(minutes: float, sleep_safe: bool) -> None:
    """Refuse a bedtime that is none, or without the master that brings it about."""
    if not 0 <= minutes < math.inf:
        raise StaleError(f"{minutes:g} minutes of bedtime cannot be made.", mend="--bedtime 30", usage=True)
    if minutes and not sleep_safe:
        what = "--bedtime is a part of the sleep-safe master."
        raise StaleError(what, mend="leave out --no-sleep-safe", usage=True)


def check_turns(seconds: float, loop: float | None, bedtime: float, path: Path) -> float:
    """The seconds that are to be made of a movie that may repeat; a loop that does not fit is refused."""
    if loop is None:
        return seconds
    from stale_diffusion.looping import JOIN, check_loop

    check_loop(seconds, loop)
    if path.suffix.lower() == ".webm":
        what, why = "A .webm cannot repeat without a click.", "its sound is lossy, and each packet leans on the last"
        raise StaleError(what, why, f"-o {path.with_suffix('.mkv')}", usage=True)
    if bedtime:
        what, why = "A loop has no bedtime.", "what repeats has no end to grow dim towards"
        raise StaleError(what, why, "leave out --loop or --bedtime", usage=True)
    return loop + JOIN


def check_sound_alone(path: Path, audio_only: bool) -> bool:
    """Whether there is to be sound alone: asked for, or by the name of the file."""
    from stale_diffusion.movie import PICTURES, SOUNDS

    if audio_only and path.suffix.lower() in PICTURES:
        what = f"{path} is the name of a picture."
        raise StaleError(what, "--audio-only makes none", f"-o {path.with_suffix('.flac')}", usage=True)
    return audio_only or path.suffix.lower() in (*SOUNDS, ".mka")


def read_prude(path: Path | None, way: str) -> Any:
    """The prude of --refuse, or None; refused before a model is loaded if it or --refuse-with cannot be used."""
    if path is None:
        return None
    from stale_diffusion.trust.prude import load_prude
    from stale_diffusion.trust.refusing import check_way

    check_way(way)

    return load_prude(path)


def check_prude_name(path: Path) -> None:
    """Refuse at once a name that no prude can have."""
    if path.is_dir() or path.suffix != ".safetensors":
        raise StaleError(
            f"{path} is not a prude's name.", "It ends in .safetensors.", "-o prude.safetensors", usage=True
        )
