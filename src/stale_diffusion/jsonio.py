"""JSON of untrusted origin, read strictly; JSON of any length, written in pieces."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from stale_diffusion.errors import StaleError

MAX_BYTES = 64 * 2**20


def read_object(data: bytes | str, source: str) -> dict[str, Any]:
    """Parse a JSON object: no NaN, no duplicate keys, bounded size and depth.

    Raises:
        StaleError: it is anything else.
    """
    if len(data) > MAX_BYTES:
        raise refusal(source, f"it is larger than {MAX_BYTES >> 20} MB")
    try:
        text = data.decode("utf-8-sig") if isinstance(data, bytes) else data
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except RecursionError:
        raise refusal(source, "it is nested too deeply") from None
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError are ValueErrors
        raise refusal(source, f"it is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise refusal(source, "it is not a JSON object")
    return value


def refusal(source: str, why: str) -> StaleError:
    """The error for a file that cannot be read."""
    return StaleError(f"{source} cannot be read.", why, "export it again from the movie it belongs to")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number of JSON")


def dumps(value: Any) -> str:
    """Compact JSON, no NaN."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def joined(items: Iterable[Iterable[str]]) -> Iterator[str]:
    """Items, each in pieces itself, with commas between them."""
    for i, item in enumerate(items):
        if i:
            yield ",\n"
        yield from item


def with_list(record: dict[str, Any], key: str, items: Iterable[Iterable[str]]) -> Iterator[str]:
    """A record as JSON in pieces, its last member a list of `items`."""
    yield dumps(record)[:-1] + ("," if record else "") + dumps(key) + ":["
    yield from joined(items)
    yield "]}"


def each(values: Iterable[Any]) -> Iterator[Iterable[str]]:
    """Plain values as items."""
    for value in values:
        yield (dumps(value),)
