"""Playing movies: play."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stale_diffusion.commands.options import Refuse, RefuseWith, read_prude
from stale_diffusion.errors import StaleError

if TYPE_CHECKING:
    from stale_diffusion.movie import Movie


def play(
    file: Annotated[Path | None, typer.Argument(help="A movie; none: a page to make one in this folder.")] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page.")] = True,
    host: Annotated[str, typer.Option(help="Address to listen on; another than this machine's own shares it.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(help="Port to listen on; 0: any that is free.", min=0, max=65535)] = 0,
    token: Annotated[str | None, typer.Option(help="The secret of the address; drawn if missing.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="The model that new movies are made with.")] = None,
    osc: Annotated[str | None, typer.Option(help="Drive devices by OSC: HOST:PORT.")] = None,
    sacn: Annotated[str | None, typer.Option(help="Drive DMX by sACN: UNIVERSE, multicast, or UNIVERSE@HOST.")] = None,
    patch: Annotated[Path | None, typer.Option(help="Which sense drives which device, a TOML file.")] = None,
    timecode: Annotated[str | None, typer.Option(help="MIDI timecode: out leads; in follows, without a page.")] = None,
    midi: Annotated[str | None, typer.Option(help="The MIDI port for it; a virtual one if missing.")] = None,
    headless: Annotated[bool, typer.Option("--headless", help="No page: devices alone; space pauses.")] = False,
    refuse: Refuse = None,
    refuse_with: RefuseWith = "pixelate",
) -> None:
    """Play a movie with all its senses in a local page, which makes new ones as well; drive a room's devices."""
    check_token(token)
    prude = read_prude(refuse, refuse_with)
    from stale_diffusion.movie import Movie
    from stale_diffusion.show import running

    wanted = running.Wanted(osc, sacn, patch, timecode, midi)
    folder = file.resolve() if file is not None and file.is_dir() else Path.cwd() if file is None else None
    # what cannot be played is said here, not in the page
    movie = Movie.open(file) if folder is None and file is not None else None
    if movie is None and (wanted or headless):
        raise StaleError("A show needs a movie.", mend="stale-diffusion play FILE.mkv --osc HOST:PORT", usage=True)
    if movie is not None and file is not None and prude is not None:
        file, movie = without_refused(file, movie, prude, refuse_with)
    if movie is not None and (headless or timecode == "in"):
        running.headless(movie, wanted)
        return
    from stale_diffusion.player import server

    with running.clock_of(movie, wanted) as clock:
        listener = server.listen(host, port)
        token = token or server.new_token()
        app = server.create_app(
            None if folder else file, clock, token=token, folder=folder,
            hosts=() if server.is_loopback(host) else (host,), model=model,
            options={"refuse": str(refuse.resolve()), "refuse_with": refuse_with} if refuse is not None else None,
        )  # fmt: skip
        address = server.address_of(listener, host, token)
        server.serve(app, listener, lambda: _ready(address, browser, server.is_loopback(host)))


def without_refused(file: Path, movie: Movie, prude: Any, way: str) -> tuple[Path, Movie]:
    """The file and movie to play: themselves, or a copy beside the file without what the prude refuses."""
    from stale_diffusion.commands.completing import format_of
    from stale_diffusion.commands.making import refused
    from stale_diffusion.console import console
    from stale_diffusion.movie import Movie

    out = refused(movie, prude, way)
    if out.screen is movie.screen:
        return file, movie
    copy = file.with_name(f"{file.stem}.refused.mkv")
    out.save(copy, **format_of(movie))
    console.print(f"{copy} is what is played", markup=False, soft_wrap=True)
    return copy, Movie.open(copy)


def check_token(token: str | None) -> None:
    """Refuse a secret that can be guessed, or that an address cannot hold."""
    if token is not None and not (16 <= len(token) <= 128 and token.isascii() and token.replace("-", "").isalnum()):
        why = "It has 16 to 128 letters, digits and hyphens."
        raise StaleError("This token cannot be used.", why, "Leave --token out to have one drawn.", usage=True)


def _ready(address: str, browser: bool, local: bool) -> None:
    typer.echo(address)
    typer.echo("Ctrl-C ends it." if local else "Whoever has this address can watch. Ctrl-C ends it.", err=True)
    if browser:
        import threading
        import webbrowser

        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
