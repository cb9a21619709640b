"""Where levels go: OSC messages and DMX over E1.31 (sACN). Light: the watchdog imports it too.

Shapes: E effects. Levels are 0 to 255.
"""

from __future__ import annotations

import math
import secrets
import socket
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, final

from stale_diffusion.errors import StaleError

OSC_PORTS, DMX_PORT, UNIVERSES = (1, 65535), 5568, (1, 63999)  # E1.31, 9.1.1
SOURCE = "Stale Diffusion"
MIN_SLOTS = 24  # what a DMX line carries in its shortest packet (ANSI E1.11)
BURST = 24  # a receiver discards packets up to 20 numbers behind the last (E1.31, 6.7.2): so many outrun any number


class Output(ABC):
    """A way to the devices; sends nothing by itself.

    `name` is what it is called in messages, `effects` how many effects it reaches.
    """

    name: str
    effects: int

    @abstractmethod
    def send(self, levels: Sequence[int], changed: Iterable[int]) -> None:
        """Take the levels (E,), of which those at the indices `changed` are new; OSError where the network is down."""

    @abstractmethod
    def zero(self) -> None:
        """Put everything to 0, now."""

    @abstractmethod
    def close(self) -> None:
        """Say goodbye and close; to be called after `zero`."""

    @abstractmethod
    def spec(self) -> dict[str, Any]:
        """What the watchdog needs to make the same output again, as JSON."""

    def due(self, now: float) -> float:
        """Seconds until `flush` is to be called; infinity where nothing waits."""
        return math.inf

    def flush(self, now: float) -> None:  # noqa: B027  (most outputs hold nothing back)
        """Send what waits and may go at `now`."""


@final
class Osc(Output):
    """A float from 0 to 1 for every change, a message each (small receivers know no bundles).

    Args:
        host, port: an IP address and a UDP port.
        addresses: of each effect, (E,); None for none.
    """

    def __init__(self, host: str, port: int, addresses: Sequence[str | None]) -> None:
        from pythonosc.udp_client import SimpleUDPClient

        self._target, self._addresses = (host, port), list(addresses)
        self.name, self.effects = f"OSC to {host} port {port}", sum(a is not None for a in addresses)
        self._client = SimpleUDPClient(host, port, allow_broadcast=True)

    def send(self, levels: Sequence[int], changed: Iterable[int]) -> None:
        """A message for each new level."""
        for i in changed:
            address = self._addresses[i]
            if address is not None:
                self._client.send_message(address, levels[i] / 255)

    def zero(self) -> None:
        """A 0.0 to every address."""
        self.send([0] * len(self._addresses), range(len(self._addresses)))

    def close(self) -> None:
        """Close the socket."""
        self._client.close()

    def spec(self) -> dict[str, Any]:
        """Host, port, addresses."""
        return {"kind": "osc", "host": self._target[0], "port": self._target[1], "addresses": self._addresses}


@final
class Sacn(Output):
    """One universe of DMX, by multicast or to one host.

    A packet holds the slots up to the highest channel of the patch and no more, and packets keep the distance that a
    DMX line needs for so many slots (E1.31, 6.6.1): up to 100 slots may change 200 times a second, 512 only 44 times.

    Args:
        host, port: an IPv4 address and a UDP port; host None is the universe's multicast address.
        universe: 1 to 63999.
        channels: of each effect, (E,), 1 to 512; None for none.
        cid: the sender's identity, 16 bytes; drawn if missing.
    """

    def __init__(
        self, host: str | None, port: int, universe: int, channels: Sequence[int | None], cid: bytes | None = None
    ) -> None:
        from sacn.messages.data_packet import DataPacket, calculate_multicast_addr

        self._host, self._port, self._universe, self._channels = host, port, universe, list(channels)
        self._cid = cid or secrets.token_bytes(16)
        self._target = (host or calculate_multicast_addr(universe), port)
        self.name = f"sACN universe {universe} to {self._target[0]}" + ("" if host else " (multicast)")
        self.effects = sum(c is not None for c in channels)
        slots = max(MIN_SLOTS, *(c for c in channels if c is not None))
        packet = bytearray(DataPacket(tuple(self._cid), SOURCE, universe).getBytes())[: 126 + slots]
        for at in (16, 38, 115):  # the three layers' flags and lengths, for fewer slots than the library's 512
            packet[at : at + 2] = (0x7000 | len(packet) - at).to_bytes(2, "big")
        packet[123:125] = (1 + slots).to_bytes(2, "big")
        self._packet = packet
        self._gap = max(1204, 104 + 44 * (1 + slots)) / 1e6  # break, mark, start code and slots, in seconds
        self._next, self._waits = 0.0, False
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 8)

    def send(self, levels: Sequence[int], changed: Iterable[int]) -> None:
        """Enter the new levels; `flush` sends them."""
        for i in changed:
            channel = self._channels[i]
            if channel is not None:
                self._packet[125 + channel] = levels[i]
                self._waits = True

    def due(self, now: float) -> float:
        """When the line is free again, if something waits."""
        return max(0.0, self._next - now) if self._waits else math.inf

    def flush(self, now: float) -> None:
        """One packet, if something waits and the line is free."""
        if self._waits and now >= self._next:
            self._next, self._waits = now + self._gap, False
            self._emit()

    def _emit(self) -> None:
        self._packet[111] = (self._packet[111] + 1) % 256
        self._socket.sendto(self._packet, self._target)

    def zero(self) -> None:
        """A burst of zeros, long enough to be taken whatever number the last packet of this source had."""
        self._packet[126:] = bytes(len(self._packet) - 126)
        self._waits = False
        for _ in range(BURST):
            self._emit()

    def close(self) -> None:
        """End the stream: three packets say so (E1.31, 6.2.6)."""
        self._packet[112] |= 0x40
        try:
            for _ in range(3):
                self._emit()
        finally:
            self._socket.close()

    def spec(self) -> dict[str, Any]:
        """Host, port, universe, channels and identity."""
        return {"kind": "sacn", "host": self._host, "port": self._port, "universe": self._universe,
                "channels": self._channels, "cid": self._cid.hex()}  # fmt: skip


def from_spec(spec: dict[str, Any]) -> Output:
    """The output that gave this `spec`."""
    if spec["kind"] == "osc":
        return Osc(spec["host"], spec["port"], spec["addresses"])
    return Sacn(spec["host"], spec["port"], spec["universe"], spec["channels"], bytes.fromhex(spec["cid"]))


# ------------------------------------------------------------------------------------- what the command line gives


def parse_osc(text: str) -> tuple[str, int]:
    """HOST:PORT as (IP address, port); a name is looked up once.

    Raises:
        StaleError: it is no address, or the name is not known.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not host.strip("[]") or not _is_port(port):
        raise StaleError(f"--osc {text} is no address.", mend="--osc 127.0.0.1:9000", usage=True)
    return _resolve(host.strip("[]"), int(port), f"--osc {text}", socket.AF_UNSPEC), int(port)


def parse_sacn(text: str) -> tuple[int, str | None, int]:
    """UNIVERSE[@HOST[:PORT]] as (universe, IP address or None for multicast, port).

    Raises:
        StaleError: it is none, or the name is not known.
    """
    number, at, address = text.partition("@")
    host, _, port = address.partition(":")
    good = number.isascii() and number.isdigit() and len(number) < 6 and UNIVERSES[0] <= int(number) <= UNIVERSES[1]
    if not good or bool(at) != bool(host) or (":" in address and not _is_port(port)):
        why = "a universe is a number from 1 to 63999, with @HOST for one receiver instead of multicast"
        raise StaleError(f"--sacn {text} is no universe.", why, "--sacn 1, or --sacn 1@192.168.0.20", usage=True)
    found = _resolve(host, int(port or DMX_PORT), f"--sacn {text}", socket.AF_INET) if at else None
    return int(number), found, int(port or DMX_PORT)


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 6 and OSC_PORTS[0] <= int(text) <= OSC_PORTS[1]


def _resolve(host: str, port: int, option: str, family: int) -> str:
    try:
        found = socket.getaddrinfo(host, port, family, socket.SOCK_DGRAM)
        found.sort(key=lambda f: f[0] != socket.AF_INET)  # "localhost" is both; most receivers listen on IPv4
        return str(found[0][4][0])
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise StaleError(f"{option}: there is no way to {host}.", why, "give the receiver's IP address") from None
