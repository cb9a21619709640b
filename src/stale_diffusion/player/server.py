"""The player's server: the page, the movies of one folder, the clock, and the making of new ones."""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from stale_diffusion.errors import StaleError
from stale_diffusion.jsonio import read_object
from stale_diffusion.player import lanes, ranges
from stale_diffusion.player.guard import MAX_HEADER_BYTES, Guard
from stale_diffusion.player.library import Library
from stale_diffusion.player.making import Making, Wish
from stale_diffusion.player.shelf import Shelf
from stale_diffusion.player.transport import Transport
from stale_diffusion.version import VERSION

if TYPE_CHECKING:
    import uvicorn

    from stale_diffusion.show.clock import Clock

LOCAL = ("127.0.0.1", "localhost", "::1", "[::1]")
MAX_CONNECTIONS = 64
KINDS = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".woff2": "font/woff2",
         ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml", ".txt": "text/plain"}  # fmt: skip


def create_app(
    movie: Path | None,
    clock: Clock | None = None,
    *,
    token: str,
    folder: Path | None = None,
    hosts: Sequence[str] = (),
    model: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> ASGIApp:
    """The application, for any ASGI server.

    Args:
        movie: the file to play; None: the page begins with the making of one.
        clock: driven by the page while it plays `movie`.
        token: the secret that every request but those for the page's own files must bring.
        folder: where other movies lie and new ones go; the movie's own if None.
        hosts: names, besides the loopback ones, under which the page may be called.
        model: what new movies are made with, as for `load`; None: the model that ships.
        options: "steps", "size", "fps" of new movies.

    Raises:
        StaleError: no browser plays the movie.
    """
    if movie is not None:
        from stale_diffusion.media import check_playable

        check_playable(movie)
    path = movie.resolve() if movie is not None else None
    shelf = Shelf(folder or (path.parent if path else Path.cwd()), path.name if path else None)
    files = page_files()
    player = _Player(shelf, path.name if path else None, Transport(clock), Making(shelf.folder, model, options))
    routes = [Route(address, _static(*file)) for address, file in files.items()] + player.routes()
    app = Starlette(routes=routes, lifespan=player.lifespan, exception_handlers={
        StaleError: _stale, HTTPException: _http_error})  # fmt: skip
    return Guard(app, token, (*LOCAL, *hosts), files)


def page_files() -> dict[str, tuple[bytes, str]]:
    """The files of the page by address: nothing else is ever served from the package."""
    folder = resources.files(__package__) / "page"
    files = {f"/{f.name}": (f.read_bytes(), KINDS[Path(f.name).suffix]) for f in folder.iterdir()
             if Path(f.name).suffix in KINDS}  # fmt: skip
    return files | {"/": files["/index.html"]}


def _static(data: bytes, kind: str) -> Callable[[Request], Response]:
    def endpoint(request: Request) -> Response:
        return Response(data, media_type=kind)

    return endpoint


async def _stale(request: Request, error: Exception) -> Response:
    assert isinstance(error, StaleError)
    return JSONResponse({"what": error.what, "why": error.why, "mend": error.mend}, 400 if error.usage else 404)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"what": "There is nothing here.", "why": "", "mend": ""}, error.status_code)


class _Player:
    """The endpoints, and what they share."""

    def __init__(self, shelf: Shelf, first: str | None, transport: Transport, making: Making) -> None:
        self.shelf, self.first, self.transport = shelf, first, transport
        self.library = Library(shelf)
        self.making = making

    def routes(self) -> list[Route]:
        """Address -> endpoint."""
        reading: list[tuple[str, Any]] = [
            ("/api/state", self.state), ("/api/movies/{name}", self.about), ("/api/lanes/{name}", self.lanes),
            ("/api/heard/{name}", self.heard), ("/api/strip/{name}", self.strip), ("/media/{name}", self.media),
            ("/api/making", self.made), ("/api/making/still/{number:int}", self.still),
            ("/api/making/slot/{number:int}", self.slot), ("/api/making/lanes", self.felt),
            ("/api/making/movie.mp4", self.growing),
        ]  # fmt: skip
        changing: list[tuple[str, Any]] = [
            ("/api/transport", self.move), ("/api/making", self.make), ("/api/making/{order}", self.order),
        ]  # fmt: skip
        return [*(Route(address, endpoint, methods=["GET"]) for address, endpoint in reading),
                *(Route(address, endpoint, methods=["POST"]) for address, endpoint in changing)]  # fmt: skip

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        """While the server runs: watch the page; at its end nothing is left running."""
        watch = asyncio.create_task(self.transport.watch())
        try:
            yield
        finally:
            watch.cancel()
            with suppress(asyncio.CancelledError):
                await watch
            if self.transport.clock is not None:
                self.transport.clock.pause()
            await run_in_threadpool(self.making.close)
            self.library.close()

    async def state(self, request: Request) -> Response:
        names = await run_in_threadpool(self.shelf.names)
        return JSONResponse({
            "movie": self.first, "folder": self.shelf.folder.name, "movies": names, "version": VERSION,
            "clock": self.transport.clock is not None, "making": self.making.state(0),
            "channels": lanes.channels(),
        })  # fmt: skip

    async def about(self, request: Request) -> Response:
        name = request.path_params["name"]
        return JSONResponse(await run_in_threadpool(lambda: lanes.about(self.library.movie(name), name)))

    async def lanes(self, request: Request) -> Response:
        name = request.path_params["name"]
        start, end, columns = (_number(request, *q) for q in (("from", 0), ("to", 1e9), ("columns", lanes.COLUMNS)))
        return JSONResponse(
            await run_in_threadpool(lambda: lanes.lanes(self.library.movie(name), start, end, int(columns)))
        )

    async def heard(self, request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(self.library.heard, request.path_params["name"]))

    async def strip(self, request: Request) -> Response:
        picture = await run_in_threadpool(self.library.strip, request.path_params["name"])
        return Response(picture, media_type="image/jpeg")

    async def media(self, request: Request) -> Response:
        fragments = await run_in_threadpool(self.library.fragments, request.path_params["name"])

        async def read(start: int, size: int) -> bytes:
            return await run_in_threadpool(fragments.read, start, size)

        return ranges.answer(request, fragments.length, "video/mp4", read)

    async def move(self, request: Request) -> Response:
        body = await _body(request)
        if self.first is not None and body.get("movie") == self.first:
            self.transport.tell(str(body.get("action")), _position(body))
        return JSONResponse({"clock": self.transport.clock is not None})

    async def made(self, request: Request) -> Response:
        return JSONResponse(self.making.state(int(_number(request, "since", 0))))

    async def make(self, request: Request) -> Response:
        wish = Wish.read(await _body(request))
        await run_in_threadpool(self.making.start, wish)
        return JSONResponse(self.making.state(0))

    async def order(self, request: Request) -> Response:
        await run_in_threadpool(self.making.order, request.path_params["order"])
        return JSONResponse(self.making.state(0))

    async def still(self, request: Request) -> Response:
        picture = await run_in_threadpool(self.making.still, request.path_params["number"])
        return Response(picture, media_type="image/jpeg")

    async def slot(self, request: Request) -> Response:
        picture = await run_in_threadpool(self.making.slot, request.path_params["number"])
        return Response(picture, media_type="image/jpeg")

    async def felt(self, request: Request) -> Response:
        return Response(await run_in_threadpool(self.making.lanes), media_type="application/json")

    async def growing(self, request: Request) -> Response:
        grown = self.making.grown()

        async def read(start: int, size: int) -> bytes:
            return await grown.read(start, size)

        return ranges.answer(request, grown.length, "video/mp4", read)


async def _body(request: Request) -> dict[str, Any]:
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise StaleError("The request is not JSON.", mend="send content-type: application/json", usage=True)
    try:
        return read_object(await request.body(), "The request")
    except StaleError as error:
        raise StaleError(error.what, error.why, usage=True) from None


def _position(body: dict[str, Any]) -> float:
    position = body.get("position")
    if isinstance(position, bool) or not isinstance(position, int | float):
        raise StaleError("A position must be a number of seconds.", usage=True)
    return float(position)


def _number(request: Request, name: str, missing: float) -> float:
    text = request.query_params.get(name)
    try:
        value = float(text) if text is not None else float(missing)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1e9:
        raise StaleError(f"{name} must be a number from 0.", usage=True)
    return value


# ------------------------------------------------------------------------------------------------------- running


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        StaleError: the address is not this machine's, or the port is taken.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM,
                                                                flags=socket.AI_PASSIVE)[0]  # fmt: skip
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(64)
        except BaseException:
            listener.close()
            raise
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or str(error)
        mend = "choose another with --port, or leave it out" if port else "leave --host out to stay on this machine"
        raise StaleError(f"The player cannot listen on {host} port {port}.", why, mend, usage=True) from None
    return listener


def is_loopback(host: str) -> bool:
    """Whether a host is this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def address_of(listener: socket.socket, host: str, token: str) -> str:
    """What a person opens. The token stands behind the #, which no browser sends to anyone."""
    name, port = ("127.0.0.1" if host in ("0.0.0.0", "::") else host), listener.getsockname()[1]
    return f"http://{f'[{name}]' if ':' in name else name}:{port}/#{token}"


def new_token() -> str:
    """A secret of 128 bits."""
    return secrets.token_urlsafe(16)


def serve(app: ASGIApp, listener: socket.socket, ready: Callable[[], None]) -> None:
    """Run until Ctrl-C; `ready` is called when the first request can be answered."""
    server(app, ready).run(sockets=[listener])


def server(app: ASGIApp, ready: Callable[[], None]) -> uvicorn.Server:
    """The server, not yet running."""
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            ready()

    config = uvicorn.Config(
        app, http="h11", ws="none", loop="asyncio", log_level="critical", access_log=False, server_header=False,
        proxy_headers=False, h11_max_incomplete_event_size=MAX_HEADER_BYTES, limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=15, timeout_graceful_shutdown=1,
    )  # fmt: skip
    return Server(config)
