"""Addresses as a person types them; packets as the standard wants them."""

from __future__ import annotations

import pytest

from conftest import HOST, DmxLog, OscLog, soon
from stale_diffusion.errors import StaleError
from stale_diffusion.show.outputs import Osc, Sacn, from_spec, parse_osc, parse_sacn


def test_addresses() -> None:
    assert parse_osc("127.0.0.1:9000") == ("127.0.0.1", 9000)
    assert parse_osc("localhost:9000") == ("127.0.0.1", 9000)
    assert parse_osc("[::1]:9000") == ("::1", 9000)
    assert parse_sacn("1") == (1, None, 5568)
    assert parse_sacn("63999@127.0.0.1") == (63999, "127.0.0.1", 5568)
    assert parse_sacn("7@localhost:6000") == (7, "127.0.0.1", 6000)


@pytest.mark.parametrize("text", ["", "9000", "host:", ":9000", "h:0", "h:65536", "h:9x", "h:٣", "[]:1"])
def test_a_bad_osc_address_is_one_clear_error(text: str) -> None:
    with pytest.raises(StaleError, match="no address") as error:
        parse_osc(text)
    assert error.value.exit_code == 2


@pytest.mark.parametrize(
    "text", ["", "0", "64000", "-1", "1.5", "one", "1@", "1@:5", "1@h:", "1@h:0", "1@h:x", "99999999"]
)
def test_a_bad_universe_is_one_clear_error(text: str) -> None:
    with pytest.raises(StaleError, match="no universe") as error:
        parse_sacn(text)
    assert error.value.exit_code == 2


@pytest.mark.parametrize("host", ["no.such.host.invalid", "x" * 80, "a..b"])
def test_a_host_that_is_not_there(host: str) -> None:
    for parse, text in ((parse_osc, f"{host}:9000"), (parse_sacn, f"1@{host}")):
        with pytest.raises(StaleError, match="no way to"):
            parse(text)


def test_osc_sends_a_float_a_change(osc: OscLog) -> None:
    out = Osc(HOST, osc.port, ["/a", None, "/c"])
    out.send([255, 255, 51], [0, 1, 2])
    assert soon(lambda: len(osc.events) == 2)
    assert [(a, v) for _, a, v in osc.events] == [("/a", 1.0), ("/c", pytest.approx(0.2))]
    from_spec(out.spec()).zero()
    assert soon(lambda: osc.last("/a") == osc.last("/c") == 0)


def test_a_universe_holds_what_is_patched_and_no_more(dmx: DmxLog) -> None:
    out = Sacn(HOST, dmx.port, 7, [2, None, 100])
    assert len(out._packet) == 126 + 100
    assert out.due(0.0) == float("inf")
    out.send([10, 20, 30], [0, 1, 2])
    out.flush(0.0)
    assert soon(lambda: dmx.last(100) == 30)
    assert dmx.last(2) == 10 and sum(dmx.events[-1][1]) == 40
    out.close()
    assert soon(lambda: dmx.ends == 3)  # the stream says three times that it ends


def test_packets_keep_the_distance_that_the_line_needs() -> None:
    for slots, rate in ((24, 830), (100, 219), (512, 44)):
        out = Sacn(HOST, 9, 7, [slots])
        out.send([9], [0])
        out.flush(1.0)
        out.send([8], [0])
        assert 1 / out.due(1.0) == pytest.approx(rate, rel=0.01)
        out.flush(1.0 + out.due(1.0) / 2)
        assert out.due(1.0) < 1  # still waits
        out.flush(1.0 + out.due(1.0))
        assert out.due(2.0) == float("inf")
        out.close()


@pytest.mark.parametrize("last", [0, 7, 100, 250, 255])
def test_zeros_of_the_same_source_are_taken_whatever_number_the_last_packet_had(dmx: DmxLog, last: int) -> None:
    player = Sacn(HOST, dmx.port, 7, [1])
    player._packet[111] = last
    player.send([200], [0])
    player.flush(0.0)
    assert soon(lambda: dmx.last(1) == 200)
    from_spec(player.spec()).zero()  # the watchdog does not know how far the player has counted
    assert soon(lambda: dmx.last(1) == 0)
