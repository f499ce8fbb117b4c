"""Whatever an issuer does, its known keys stay good, and nobody else notices.

One service has an issuer that misbehaves and one that does not. What clients see of the first
is in the table; of the second they must see nothing.
"""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from extauthz.demo.minting import SigningKey
from tests.attacks.table import ALLOW
from tests.faults.issuers import (
    FAULTS,
    UNAVAILABLE,
    Fault,
    OddIssuer,
    configured,
    odd_issuer,
    rude_server,
)
from tests.live import Live, until
from tests.tallies import Survived

pytestmark = [pytest.mark.long, pytest.mark.timeout(240)]

MEGABYTE = 1 << 20


@dataclass
class Town:
    live: Live
    odd: OddIssuer
    good: OddIssuer


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    live = Live(tmp_path_factory.mktemp("issuers"))
    with rude_server() as server:
        odd, good = odd_issuer(server, "odd"), odd_issuer(server, "good")
        live.configure([configured(odd, timeout="500ms"), configured(good)])
        with live.running():
            yield Town(live, odd, good)


@pytest.fixture
def warm(town: Town) -> Town:
    """Both issuers are well and their keys are known."""
    for issuer in (town.odd, town.good):
        knows(town.live, issuer)
    town.odd.next_key = SigningKey.generate("ES256")
    return town


def knows(live: Live, issuer: OddIssuer) -> None:
    """Rotate, and wait until that has been seen."""
    fresh = issuer.rotate()
    until(lambda: live.see_http(issuer.token(fresh)) == ALLOW)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_an_issuer_whose_keys_are_known(warm: Town, fault: Fault, survived: Survived) -> None:
    live, odd, good = warm.live, warm.odd, warm.good
    memory, logged = live.memory(), len(live.log.read_text())
    fault.make(odd)
    with survived("issuer", fault.name, seen=f"known keys: allow; new ones: {fault.new_key}"):
        if not fault.metadata:
            until(lambda: live.see_http(odd.token(odd.next_key)) == fault.new_key)
        until(lambda: re.search(fault.told, live.log.read_text()[logged:]))
        waits = []
        for issuer in [odd, good] * 20:
            began = time.monotonic()
            assert live.see_http(issuer.token()) == ALLOW
            waits.append(time.monotonic() - began)
        assert min(waits[::2]) < 0.2, "requests are held up"
        assert min(waits[1::2]) < 0.2, "another issuer's are held up"
        assert live.see(odd.token()) == live.see(good.token()) == ALLOW
        assert live.ready() == 200
        assert not live.issuer("good")["last_error"]
        assert live.memory() - memory < 16 * MEGABYTE
        knows(live, good)


def test_issuers_that_were_never_better(tmp_path: Path, survived: Survived) -> None:
    """All faults at once: their clients are refused, and the one good issuer serves in time."""
    live = Live(tmp_path)
    with rude_server() as server:
        odd = [odd_issuer(server, f"odd-{number}") for number in range(len(FAULTS))]
        for issuer, fault in zip(odd, FAULTS, strict=True):
            fault.make(issuer)
        good = odd_issuer(server, "good")
        live.configure([*(configured(one, timeout="2s") for one in odd), configured(good)])
        with live.running():
            until(lambda: live.see_http(good.token()) == ALLOW)
            until(lambda: live.ready() == 200)
            memory = live.memory()
            for issuer, fault in zip(odd, FAULTS, strict=True):
                expected = ALLOW if fault.new_key == ALLOW else UNAVAILABLE
                seen = f"never had keys: {expected}"
                with survived("issuer", f"{fault.name}, from the start", seen=seen):
                    until_said(live, issuer, fault.told)
                    assert live.see(issuer.token()) == expected
                assert live.see_http(good.token()) == ALLOW
            # The costliest document to read takes no more memory the tenth time.
            at = [fault.name for fault in FAULTS].index("sends 10,000 keys")
            before = server.paths().count(f"/{odd[at].name}/keys")
            until(lambda: server.paths().count(f"/{odd[at].name}/keys") >= before + 10)
            assert live.memory() - memory < 16 * MEGABYTE
            for issuer in odd:
                issuer.be_good()
            for issuer in odd:
                live.until_seen(issuer.token())


def until_said(live: Live, issuer: OddIssuer, pattern: str) -> None:
    until(lambda: re.search(pattern, said(live, issuer)))


def said(live: Live, issuer: OddIssuer) -> str:
    """The last fault of an issuer, as the status page tells it."""
    return str(live.issuer(issuer.name)["last_error"])


def test_a_redirect_from_https_to_http(tmp_path: Path, survived: Survived) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    live = Live(tmp_path)
    with rude_server(context) as secure, rude_server() as plain:
        odd, good = odd_issuer(secure, "odd"), odd_issuer(plain, "good")
        trap = odd_issuer(plain, "trap")
        odd_settings = configured(odd) | {"ca_file": str(tmp_path / "ca.pem")}
        live.configure([odd_settings, configured(good)])
        with live.running():
            until(lambda: live.see_http(odd.token()) == ALLOW)
            moved = f"HTTP/1.1 307 X\r\nLocation: {trap.url}/keys\r\nContent-Length: 0\r\n\r\n"
            odd.put("/keys", moved.encode())
            with survived(
                "issuer", "redirects to http", seen=f"known keys: allow; new ones: {UNAVAILABLE}"
            ):
                until(lambda: live.see_http(odd.token(odd.next_key)) == UNAVAILABLE)
                until(lambda: "redirects elsewhere" in said(live, odd))
                assert live.see(odd.token()) == live.see(good.token()) == ALLOW
                assert not [path for path in plain.paths() if "trap" in path]
