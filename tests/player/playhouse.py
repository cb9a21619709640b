"""What the tests of the player share: a player that listens, requests byte by byte, and a page in a browser."""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stale_diffusion.player import server

TOKEN = "a-token-for-the-tests-only"
EVIL = '<img src=x onerror="window.evil=1"> & <script>window.evil=1</script>'
SECRET = "the-secret-of-another-folder"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGUMENTS = [
    "--no-sandbox",
    "--headless",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--mute-audio",
    "--autoplay-policy=no-user-gesture-required",
]


@dataclass
class Running:
    """A player that listens."""

    port: int
    folder: Path

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/#{TOKEN}"

    def raw(self, request: bytes) -> bytes:
        """The answer to bytes, up to the end of the connection or of the answer."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
            answer = b""
            with suppress(ConnectionError):  # what is refused may be hung up on before it was all sent
                connection.sendall(request)
                while part := connection.recv(65536):
                    answer += part
            return answer

    def ask(self, line: str, *headers: str, host: str | None = None, token: bool = True, body: bytes = b"") -> bytes:
        """One request of HTTP/1.1 with a Host and, unless told otherwise, the token."""
        own = [f"Host: {host or f'127.0.0.1:{self.port}'}", "Connection: close"]
        own += [f"X-Token: {TOKEN}"] if token else []
        return self.raw("\r\n".join([f"{line} HTTP/1.1", *own, *headers, "", ""]).encode() + body)

    def post(self, path: str, body: bytes, *headers: str) -> bytes:
        """A request that changes something, as the page sends it."""
        own = [
            f"Origin: http://127.0.0.1:{self.port}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
        ]
        return self.ask(f"POST {path}", *own, *headers, body=body)


def status(answer: bytes) -> int:
    """The status of an answer; 0 where there is none."""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0


@contextmanager
def listening(app: Any, at: Path) -> Iterator[Running]:
    """Run an application on a port of its own until the block ends."""
    listener = server.listen("127.0.0.1", 0)
    ready = threading.Event()
    running = server.server(app, ready.set)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
    thread.start()
    assert ready.wait(20)
    try:
        yield Running(listener.getsockname()[1], at)
    finally:
        running.should_exit = True
        thread.join(20)
        assert not thread.is_alive(), "the server does not end"


class Page:
    """A page of the player; what its console says is kept."""

    def __init__(self, page: Any) -> None:
        self.page, self.said = page, list[str]()
        page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.said.append(f"error: {error}"))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.page, name)

    def until(self, expression: str, seconds: float = 30) -> Any:
        """Wait until an expression is true; the page's own rules forbid Playwright's way, which needs eval."""
        for _ in range(int(seconds * 20)):
            if value := self.page.evaluate(expression):
                return value
            self.page.wait_for_timeout(50)
        raise AssertionError(f"never true: {expression}; console: {self.said}; {self.page.inner_text('body')[:600]}")
