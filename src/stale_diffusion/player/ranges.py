"""HTTP range requests (RFC 9110, 14.2) over bytes that are made, or have yet to be made, when they are asked for."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

CHUNK = 256 * 1024
Read = Callable[[int, int], Awaitable[bytes]]
"""read(start, size): 1 to `size` bytes from `start`; none where there will never be any."""


def span(header: str | None, length: int) -> tuple[int, int] | None:
    """The bytes [start, stop) that a Range header asks for; the whole where it asks for nothing that is understood.

    Returns:
        None where nothing of what it asks for exists (416).
    """
    found = re.fullmatch(r"bytes=(\d{0,18})-(\d{0,18})", (header or "").replace(" ", ""))
    if found is None or found.groups() == ("", ""):
        return 0, length  # several ranges at once included: the whole is always a right answer
    first, last = found.groups()
    if not first:
        return (max(0, length - int(last)), length) if int(last) and length else None
    start, stop = int(first), min(int(last) + 1, length) if last else length
    if last and int(last) < start:
        return 0, length
    return (start, stop) if start < length else None


def answer(request: Request, length: int, kind: str, read: Read) -> Response:
    """The answer to a request for something of `length` bytes."""
    wanted = span(request.headers.get("range"), length)
    if wanted is None:
        return Response(status_code=416, headers={"content-range": f"bytes */{length}"})
    start, stop = wanted
    headers = {"accept-ranges": "bytes", "content-length": str(stop - start)}
    partial = (start, stop) != (0, length) or request.headers.get("range", "").startswith("bytes=")
    if partial:
        headers["content-range"] = f"bytes {start}-{stop - 1}/{length}"
    status = 206 if partial else 200
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=kind)
    return StreamingResponse(_pieces(read, start, stop), status, headers, kind)


async def _pieces(read: Read, start: int, stop: int) -> AsyncIterator[bytes]:
    while start < stop:
        piece = await read(start, min(CHUNK, stop - start))
        if not piece:
            return
        yield piece
        start += len(piece)
