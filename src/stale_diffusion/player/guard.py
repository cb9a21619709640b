"""What every request must pass before anything looks at it, and what every answer says to the browser.

A page in the same browser can send requests to 127.0.0.1, and by DNS rebinding read the answers under a name of its
own. So: the Host must be ours, on every request; the token, which only the address in the terminal holds, on all but
the files of the page itself; the Origin, on every request that changes something; and no CORS.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
from collections.abc import Collection
from typing import Any
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY = 64 * 1024  # bytes of a request; a plot is the longest thing that is ever sent
MAX_HEADERS = 64
MAX_HEADER_BYTES = 16 * 1024
MAX_ADDRESS = 4096  # bytes of path and query
READING = ("GET", "HEAD")
CSP = (
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS = {
    "content-security-policy": CSP,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cache-control": "no-store",
}
STATUS = {400: "This is not a request of the page.", 403: "This request is refused.", 405: "Only GET, HEAD and POST.",
          413: "This request is too large.", 431: "The headers of this request are too large."}  # fmt: skip


class Guard:
    """ASGI middleware: refuses what is not from our own page, limits what is read, adds HEADERS to every answer.

    Args:
        app: what answers the requests that pass.
        token: the secret in the page's address.
        hosts: names by which the page may be called, without port: "127.0.0.1", "localhost".
        open_paths: the files of the page, which hold nothing private and need no token.
    """

    def __init__(self, app: ASGIApp, token: str, hosts: Collection[str], open_paths: Collection[str]) -> None:
        self.app, self.token = app, token
        self.hosts, self.open_paths = {host.lower() for host in hosts}, frozenset(open_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; anything but HTTP (and the server's own start and end) is closed."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, _with_headers(send))

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        status = self._refused(scope)
        if status:
            await _answer(send, status)
            return
        body = await _body(receive)
        if body is None:
            await _answer(send, 413)
            return

        async def replay() -> Message:
            nonlocal body
            if body is None:
                return await receive()  # what comes after the body: the end of the connection
            message, body = {"type": "http.request", "body": body, "more_body": False}, None
            return message

        await self.app(scope, replay, send)

    def _refused(self, scope: Scope) -> int:
        """The status with which a request is refused; 0 where it may pass."""
        headers = _single(scope["headers"])
        if headers is None or len(scope["raw_path"]) + len(scope["query_string"]) > MAX_ADDRESS:
            return 400
        size = sum(len(name) + len(value) + 4 for name, value in scope["headers"])
        if len(scope["headers"]) > MAX_HEADERS or size > MAX_HEADER_BYTES:
            return 431
        if not self._ours(headers.get("host", ""), scope["server"]):
            return 403
        if scope["method"] not in (*READING, "POST"):
            return 405
        changes = scope["method"] == "POST"
        if changes and headers.get("origin", "").lower() != f"http://{headers['host']}".lower():
            return 403
        if (changes or scope["path"] not in self.open_paths) and not self._knows(headers, scope):
            return 403
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdecimal()):
            return 400
        return 413 if int(length) > MAX_BODY else 0

    def _ours(self, host: str, server: tuple[str, int | None]) -> bool:
        """Whether a Host names this server: by a name of ours, or by the very address that was connected to.

        A rebound name is never an address, so an address that is our own end of the connection is safe.
        """
        name, _, port = host.rpartition(":") if host.rfind(":") > host.rfind("]") else (host, "", "80")
        if port != str(server[1]):
            return False
        bare = name.lower()
        return bare in self.hosts or bare.strip("[]") == _plain_address(server[0])

    def _knows(self, headers: dict[str, str], scope: Scope) -> bool:
        """Whether a request has the token: in a header; where a browser cannot send one (video), in the query.

        What changes something needs the header, which no form and no link can send.
        """
        given = headers.get("x-token", "")
        if not given and scope["method"] in READING:
            given = parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=16).get("token", [""])[0]
        return hmac.compare_digest(given.encode(), self.token.encode())


def _plain_address(address: str) -> str | None:
    """An address as a browser writes it (IPv4 inside IPv6 as IPv4); None for what is none."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped or parsed)


def _single(headers: list[tuple[bytes, bytes]]) -> dict[str, str] | None:
    """Headers as text; None where one that decides something comes twice or holds something odd."""
    found: dict[str, str] = {}
    for raw_name, raw_value in headers:
        name = raw_name.decode("latin-1").lower()
        if name in found and name in ("host", "origin", "x-token", "content-length"):
            return None
        found[name] = raw_value.decode("latin-1").strip()
    return found


def _with_headers(send: Send) -> Send:
    extra = [(name.encode(), value.encode()) for name, value in HEADERS.items()]

    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = {name.lower() for name, _ in message.get("headers", [])}
            message["headers"] = [*message.get("headers", []), *(h for h in extra if h[0] not in own)]
        await send(message)

    return wrapped


async def _body(receive: Receive) -> bytes | None:
    """The whole body of a request; None where it is larger than MAX_BODY, or never ends."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > MAX_BODY or message["type"] == "http.disconnect":
            return None
    return body


async def _answer(send: Send, status: int) -> None:
    body = json.dumps({"what": STATUS[status], "why": "", "mend": "Open the address that the terminal shows."}).encode()
    headers: list[Any] = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()),
                          (b"connection", b"close")]  # fmt: skip
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
