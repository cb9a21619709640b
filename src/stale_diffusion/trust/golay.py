"""The payload's error correction: an 8-bit check, six words of the extended Golay code [24, 12, 8], soft decisions.

Of 24 bits any 3 may be wrong; decoding compares with all 4,096 words, so that doubtful bits count less.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

PAYLOAD = 8  # bytes
BITS = 144  # in the mark
_GENERATOR = 0b101011100011  # of the binary Golay code [23, 12, 7]: x^11 + x^9 + x^7 + x^6 + x^5 + x + 1
_CHECK = 0x07  # CRC-8: x^8 + x^2 + x + 1


@lru_cache
def words() -> NDArray[np.float32]:
    """All words of the extended Golay code as signs, (4096, 24); row d begins with the 12 bits of d."""
    found = np.zeros((4096, 24), np.float32)
    for data in range(4096):
        rest = data << 11
        for bit in range(22, 10, -1):
            if rest >> bit & 1:
                rest ^= _GENERATOR << (bit - 11)
        word = data << 11 | rest
        word = word << 1 | word.bit_count() & 1
        found[data] = [1 - 2 * (word >> (23 - i) & 1) for i in range(24)]
    return found


def encode(payload: bytes) -> NDArray[np.float32]:
    """8 bytes as 144 signs in {-1, +1}."""
    if len(payload) != PAYLOAD:
        raise ValueError(f"a payload has {PAYLOAD} bytes, not {len(payload)}")
    bits = int.from_bytes(payload + bytes([_crc(payload)]), "big")
    return words()[[bits >> 12 * (5 - i) & 0xFFF for i in range(6)]].reshape(BITS)


def decode(soft: NDArray[np.float32]) -> bytes | None:
    """The payload nearest to 144 soft signs; None where its check fails."""
    best = (soft.reshape(6, 24) @ words().T).argmax(1)
    data = sum(int(word) << 12 * (5 - i) for i, word in enumerate(best)).to_bytes(PAYLOAD + 1, "big")
    return data[:PAYLOAD] if _crc(data[:PAYLOAD]) == data[PAYLOAD] else None


def _crc(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ _CHECK if crc & 0x80 else crc << 1) & 0xFF
    return crc
