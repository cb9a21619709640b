"""Making movies: generate, complete."""

from __future__ import annotations

import math
import secrets
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stale_diffusion.commands.options import (
    BYTES_A_SECOND,
    Guidance,
    KeyPath,
    ModelPath,
    NoRecipe,
    NoWatermark,
    Output,
    Price,
    Refuse,
    RefuseWith,
    Seed,
    SheetPath,
    Steps,
    check_bedtime,
    check_copy,
    check_length,
    check_manner,
    check_output,
    check_sound_alone,
    check_turns,
    key_of,
    parse_rate,
    parse_size,
    read_prude,
)

if TYPE_CHECKING:
    from stale_diffusion.generate import Generator
    from stale_diffusion.movie import Movie
    from stale_diffusion.senses.base import Bits

CAKE = 0.99  # certainty at which a bit is hard


def generate(
    plot: Annotated[
        str,
        typer.Argument(
            help="What is to happen; empty: anything; NAME.fountain: a screenplay, scene by scene.",
            envvar="STALE_DIFFUSION_PLOT",
        ),
    ],
    output: Output,
    seconds: Annotated[
        float | None,
        typer.Option(help="Length; 20, or what a screenplay says, if not given.", envvar="STALE_DIFFUSION_SECONDS"),
    ] = None,
    seed: Seed = None,
    steps: Steps = 16,
    size: Annotated[str, typer.Option(help="Width x height of the picture.")] = "640x360",
    fps: Annotated[float, typer.Option(help="Frames a second.")] = 24,
    paint: Annotated[bool, typer.Option("--paint", help="The network paints picture and sound itself.")] = False,
    guidance: Guidance = 1.5,
    model: ModelPath = None,
    sheet: SheetPath = None,
    price: Price = 0.10,
    budget: Annotated[
        float | None, typer.Option(help="Dollars that the network may cost: chooses steps, --best-of.")
    ] = None,
    best_of: Annotated[int, typer.Option(help="Make so many movies and keep the best.")] = 1,
    by: Annotated[
        str, typer.Option(help="score: senses and plot belong together; dog: the sharpest (eq. 1).")
    ] = "score",
    min_kesha: Annotated[float, typer.Option(help="Refuse a movie of fewer xz bits per 50 cents (eq. 1).")] = 1.0,
    until_cake: Annotated[bool, typer.Option("--until-cake", help="Stop a segment once every bit is hard.")] = False,
    sharpen: Annotated[float, typer.Option(help="Weight of the DoG band in the log-odds (eq. 1).")] = 0.0,
    sampler: Annotated[str, typer.Option(help="ancestral, renoised or corrected.")] = "ancestral",
    sleep_safe: Annotated[
        bool, typer.Option("--sleep-safe/--no-sleep-safe", help="No flashes, -27 LUFS, soft onsets: see `audit`.")
    ] = True,
    bedtime: Annotated[
        float, typer.Option(help="The last so many minutes grow dim and warm and soft, and fade out.")
    ] = 0,
    loop: Annotated[
        float | None, typer.Option(help="Make so many seconds and repeat them without a seam, for --seconds.")
    ] = None,
    audio_only: Annotated[
        bool, typer.Option("--audio-only", help="No picture; -o may be .flac, .opus, .m4a, .ogg, .wav, .mka or .mkv.")
    ] = False,
    refuse: Refuse = None,
    refuse_with: RefuseWith = "pixelate",
    no_recipe: NoRecipe = False,
    key: KeyPath = None,
    no_watermark: NoWatermark = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what it would take: shapes, memory, time and cost. Makes nothing.")
    ] = False,
) -> None:
    """Generate a five-sense movie from a plot."""
    from stale_diffusion import console
    from stale_diffusion.resume import Unfinished

    check_length(20 if seconds is None else seconds, steps)
    plot, plots, seconds = _told(plot, seconds, loop)
    check_manner(sampler, sharpen, best_of, by)
    check_bedtime(bedtime, sleep_safe)
    made = check_turns(seconds, loop, bedtime, output)
    sound_alone = check_sound_alone(output, audio_only)
    pixels, rate = parse_size(size), parse_rate(fps)
    a_second = BYTES_A_SECOND / 4 if sound_alone else BYTES_A_SECOND * pixels[0] * pixels[1] / (640 * 360)
    check_output(output, seconds * a_second)
    if dry_run:
        from stale_diffusion.forecast import forecast, told
        from stale_diffusion.model.files import find

        found = find(model)
        took = forecast(
            found, seconds, steps, guidance, best_of, pixels, fps, price, paint=paint,
            turns=None if loop is None else made, sound_alone=sound_alone,
        )  # fmt: skip
        for name, value in told(took, found.name).items():
            typer.echo(f"{name:<8} {value}")
        return
    prude = read_prude(refuse, refuse_with)
    started = time.monotonic()
    from stale_diffusion.candidates import best_of as choose
    from stale_diffusion.generate import load
    from stale_diffusion.guidance import check_keshas
    from stale_diffusion.looping import looped
    from stale_diffusion.screens import Unseen

    signing = key_of(key, no_watermark)
    manner = {"sampler": sampler, "sharpen": sharpen, "until_cake": CAKE if until_cake else None, "refuse": prude}
    generator = load(model).using(**manner)
    if budget is not None:
        steps, best_of = _afford(generator, budget, price, seconds, steps, best_of, guidance)
    unfinished = Unfinished(output, {"plot": plot, "plots": plots, "steps": steps, "guidance": guidance, "paint": paint,
                                     "model": generator.digest, "seconds": made, "best of": [best_of, by],
                                     "manner": str(generator.manner)})  # fmt: skip
    seed, sampled = unfinished.load(seed)
    if seed is None:
        seed = secrets.randbelow(2**31)
    if sampled:
        console.console.print(f"going on with {unfinished.path}", markup=False, soft_wrap=True)
    console.console.print(f"seed {seed}")

    def make(chosen: int, bits: dict[str, Bits]) -> Movie:
        return generator.generate(
            plot, made, chosen, steps, paint=paint, guidance=guidance, price=price, sampled=bits,
            sleep_safe=sleep_safe, bedtime=bedtime, key=signing, watermark=not no_watermark, plots=plots,
            watch=lambda p: console.console.print(console.preview_line(p), markup=False, soft_wrap=True),
        )  # fmt: skip

    try:
        if best_of > 1 and not sampled:
            best = choose(generator, make, plots or plot, seed, best_of, by)
            movie, sampled = best.movie, best.bits
            assert movie.recipe is not None and movie.recipe.seed is not None
            seed = movie.recipe.seed
            console.console.print(f"seed {seed} is the best of {best_of} by {by}: {best.score:.3f}")
        else:
            movie = make(seed, sampled)
        assert movie.recipe is not None and movie.recipe.keshas is not None
        check_keshas(movie.recipe.keshas, min_kesha)
        unfinished.save(seed, sampled)  # so that a rendering that is interrupted need not be dreamt again
        if loop is not None:
            movie = looped(movie, loop, seconds)
        movie = refused(movie, prude, refuse_with)
        if sound_alone and movie.screen is not None:
            movie.screen = Unseen(movie.screen)
        _save(movie, output, sheet, started, size=pixels, fps=rate, recipe=not no_recipe)
    except KeyboardInterrupt:
        if sampled:
            unfinished.save(seed, sampled)
            mend = f"run the same command again: it goes on with {unfinished.path}"
            console.console.print(f"\nstopped; {mend}", markup=False, soft_wrap=True)
        raise
    unfinished.forget()


def _told(plot: str, seconds: float | None, loop: float | None) -> tuple[str, list[str], float]:
    """The plot or the text of the screenplay that it names, the plots of its segments if so, and the movie's seconds.

    A loop goes through all scenes in each of its turns.
    """
    from stale_diffusion import screenplay

    if not plot.endswith(screenplay.SUFFIX):
        return plot, [], 20 if seconds is None else seconds
    text, scenes = screenplay.read(Path(plot))
    length, plots = screenplay.deal(scenes, seconds if loop is None else loop)
    return text, plots, length if seconds is None else seconds


def _afford(
    generator: Generator, budget: float, price: float, seconds: float, steps: int, best_of: int, guidance: float
) -> tuple[int, int]:
    """Steps and candidates that the budget buys, said on stderr."""
    from stale_diffusion import console
    from stale_diffusion.guidance import plan

    found = plan(budget, price, generator.seconds_a_step(guidance), math.ceil(seconds / 4), steps, best_of)
    console.console.print(f"${budget:g} buys {found.steps} steps a segment, best of {found.candidates}")
    return found.steps, found.candidates


def complete(
    clip: Annotated[
        Path, typer.Argument(help="A video, or a sound alone, which gets a picture; it is kept packet for packet.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="The movie to write: .mkv or .mp4; if CLIP is a movie of this program and "
            "is edited, CLIP itself may be left to be replaced.",
        ),
    ] = None,
    plot: Annotated[
        str | None,
        typer.Option(help="What happens in it; else the plot in its recipe, or the caption in NAME.info.json."),
    ] = None,
    keep: Annotated[
        list[str] | None, typer.Option(help="Keep this sense, and make anew whatever else is there. Repeatable.")
    ] = None,
    redo: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SENSE[@FROM-TO]",
            help="Make a sense anew, in a span such as smell@00:10-00:14 or in "
            "whole, and keep the rest bit for bit. Repeatable.",
        ),
    ] = None,
    strength: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SENSE=FACTOR",
            help="Multiply the intensity of what is made of a sense, or of a sense "
            "that is kept: smell=0.5. Repeatable.",
        ),
    ] = None,
    seed: Seed = None,
    steps: Steps = 16,
    guidance: Guidance = 1.5,
    model: ModelPath = None,
    sheet: SheetPath = None,
    price: Price = 0.10,
    refuse: Refuse = None,
    refuse_with: RefuseWith = "pixelate",
    no_recipe: NoRecipe = False,
    key: KeyPath = None,
    no_watermark: NoWatermark = False,
) -> None:
    """Add touch, smell and taste to a real clip, or make some of them anew in a movie that has them."""
    from stale_diffusion.commands import completing, editing

    plan = completing.Plan.parse(keep or [], redo or [], strength or [])
    target = clip if output is None else output
    check_length(1, steps)
    check_output(target, 2 * clip.stat().st_size if clip.is_file() else 0)
    prude = read_prude(refuse, refuse_with)
    started = time.monotonic()
    movie = completing.opened(clip, output, plan)
    plan = plan.for_movie(movie)
    check_copy(target, clip)
    if completing.pictured(plan, movie, target):
        from stale_diffusion.alone import check_sound

        check_sound(movie)
        check_output(target, movie.seconds * BYTES_A_SECOND)
    seed = secrets.randbelow(2**31) if seed is None else seed
    signing = key_of(key, no_watermark)
    made = completing.run(
        plan, movie, clip, plot, seed=seed, steps=steps, guidance=guidance, price=price, model=model, output=target,
        key=signing,
    )  # fmt: skip
    made = replace(made, key=signing)
    shown = made.screen
    made = refused(made, prude, refuse_with)
    if made.screen is not shown:  # another picture has to be written, as large as the one that was filmed, if any was
        size = completing.format_of(movie) if shown is movie.screen else {}
        _save(made, completing.another(target, clip), sheet, started, recipe=not no_recipe, **size)
        return
    if plan.missing:
        _save(made, target, sheet, started, recipe=not no_recipe)
        return
    editing.write(made, target, editing.changes(movie, made), recipe=not no_recipe)
    if sheet is not None:
        _sheet(made, sheet)


def refused(movie: Movie, prude: Any, way: str) -> Movie:
    """The movie without what the prude refuses, said on stderr; the movie itself where there is no prude."""
    if prude is None:
        return movie
    from stale_diffusion import console
    from stale_diffusion.trust.refusing import refuse as withhold

    out = withhold(movie, prude, way)
    assert out.recipe is not None
    for line in out.recipe.refused[1:]:
        console.console.print(f"{prude.name}: {line}", markup=False, soft_wrap=True)
    return out


def _save(movie: Any, output: Path, sheet: Path | None, started: float, **options: Any) -> None:
    from stale_diffusion import console
    from stale_diffusion.edit import write

    with console.bar("writing") as bar:
        files = write(movie, output, progress=lambda share: bar.update(bar.task_ids[0], completed=share), **options)
    if sheet is not None:
        files.append(_sheet(movie, sheet))
    console.summary(movie, files, time.monotonic() - started)


def _sheet(movie: Any, sheet: Path) -> Any:
    sheet.parent.mkdir(parents=True, exist_ok=True)
    return movie.contact_sheet(sheet)
