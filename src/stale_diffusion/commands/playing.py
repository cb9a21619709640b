"""Playing movies: play."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stale_diffusion.errors import StaleError


def play(
    file: Annotated[Path | None, typer.Argument(help="A movie; none: a page to make one in this folder.")] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page.")] = True,
    host: Annotated[str, typer.Option(help="Address to listen on; another than this machine's own shares it.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(help="Port to listen on; 0: any that is free.", min=0, max=65535)] = 0,
    token: Annotated[str | None, typer.Option(help="The secret of the address; drawn if missing.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="The model that new movies are made with.")] = None,
) -> None:
    """Play a movie with all its senses in a local page, which makes new ones as well."""
    check_token(token)
    folder = file.resolve() if file is not None and file.is_dir() else Path.cwd() if file is None else None
    if folder is None and file is not None:
        from stale_diffusion.movie import Movie

        Movie.open(file)  # what cannot be played is said here, not in the page
    from stale_diffusion.player import server

    listener = server.listen(host, port)
    token = token or server.new_token()
    app = server.create_app(
        None if folder else file, token=token, folder=folder, hosts=() if server.is_loopback(host) else (host,),
        model=model,
    )  # fmt: skip
    address = server.address_of(listener, host, token)
    server.serve(app, listener, lambda: _ready(address, browser, server.is_loopback(host)))


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
