"""JSON of untrusted origin, read strictly; JSON of any length, written in pieces."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from stale_diffusion.errors import StaleError

MAX_BYTES = 64 * 2**20
MAX_DEPTH = 32  # of lists and objects within each other; the deepest format that is read, .hjif, has 12
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_NO_BRACKET = bytes(set(range(256)) - set(b"[]{}"))


def read_object(data: bytes | str, source: str) -> dict[str, Any]:
    """Parse a JSON object: no NaN, nothing infinite, no duplicate keys, bounded size and depth.

    Raises:
        StaleError: it is anything else.
    """
    if len(data) > MAX_BYTES:
        raise refusal(source, f"it is larger than {MAX_BYTES >> 20} MB")
    try:
        text = data.decode("utf-8-sig") if isinstance(data, bytes) else data
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite)
    except RecursionError:
        raise refusal(source, "it is nested too deeply") from None
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError are ValueErrors
        raise refusal(source, f"it is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise refusal(source, "it is not a JSON object")
    if _deeper(text.encode("utf-8", "surrogatepass"), MAX_DEPTH):
        raise refusal(source, f"it is nested more than {MAX_DEPTH} deep")
    return value


def _deeper(text: bytes, depth: int) -> bool:
    """Whether valid JSON is nested deeper: each pass takes the innermost pairs of brackets away."""
    skeleton = _STRING.sub(b"", text).translate(None, _NO_BRACKET)
    for _ in range(depth):
        skeleton = skeleton.replace(b"[]", b"").replace(b"{}", b"")
    return bool(skeleton)


def refusal(source: str, why: str) -> StaleError:
    """The error for a file that cannot be read."""
    return StaleError(f"{source} cannot be read.", why, "export it again from the program that made it")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number of JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is too large a number")
    return value


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


@dataclass(frozen=True)
class Fields:
    """Typed access to the fields of an untrusted object; what does not fit is a `refusal`."""

    source: str

    def number(self, record: Any, name: str, low: float, high: float, default: float | None = None) -> float:
        """A number from low to high; `default` where there is no such field."""
        value = record.get(name, default) if isinstance(record, dict) else None
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise refusal(self.source, f"{name} must be a number from {low:g} to {high:g}")
        return float(value)

    def text(self, record: Any, name: str) -> str:
        """A short text on one line."""
        value = record.get(name) if isinstance(record, dict) else None
        if not isinstance(value, str) or not 0 < len(value) <= 200 or not value.isprintable():
            raise refusal(self.source, f"{name} must be a short text")
        return value

    def list(self, record: Any, name: str, longest: int) -> Sequence[Any]:
        """A list of at most so many items."""
        value = record.get(name) if isinstance(record, dict) else None
        if not isinstance(value, list) or len(value) > longest:
            raise refusal(self.source, f"{name} must be a list of at most {longest}")
        return value
