"""Rows 22-30: header parameters, the compact form, and sizes (RFC 7515, RFC 7797, RFC 8725)."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator

from extauthz.core.model import Reason
from tests.attacks.table import ALLOW, Case, Sent, Stage, allowed, asked, refused, row
from tests.tokens import as_json, b64

MALFORMED = Reason.MALFORMED_TOKEN
TOO_LARGE = Reason.TOKEN_TOO_LARGE
LIMIT = 16 * 1024


@row(22, "crit, whatever it says")
def critical(stage: Stage) -> Iterator[Case]:
    values: list[object] = [
        ["exp"], ["wat"], [], "exp", None, {}, ["alg"], [1], ["exp", "exp"], ["b64"], True,
    ]  # fmt: skip
    for value in values:
        yield refused(value, stage.mint(header={"crit": value, "exp": 1}), MALFORMED)


@row(23, "b64=false in every form")
def unencoded(stage: Stage) -> Iterator[Case]:
    key_header = {"alg": "ES256", "kid": "es256"}
    header = b64(as_json({**key_header, "b64": False, "crit": ["b64"]}))
    payload = as_json(stage.claims())
    from_raw = stage.mint(header={"b64": False, "crit": ["b64"]}).split(".")
    signature = from_raw[2]
    raw = f"{header}.{payload.decode()}.{signature}"
    yield refused("raw payload", raw, MALFORMED, Reason.MALFORMED_REQUEST)
    yield refused("encoded payload", ".".join(from_raw), MALFORMED)
    yield refused("detached", f"{header}..{signature}", MALFORMED)
    yield refused("without crit", stage.mint(header={"b64": False}), MALFORMED)
    yield refused("true, without crit", stage.mint(header={"b64": True}), MALFORMED)
    yield refused("text", stage.mint(header={"b64": "false"}), MALFORMED)


@row(24, "zip and other members of no meaning in a JWS are not looked at", policy=True)
def without_meaning(stage: Stage) -> Iterator[Case]:
    yield allowed("zip, plain payload", stage.mint(header={"zip": "DEF"}))
    yield allowed("Crit", stage.mint(header={"Crit": ["exp"]}))
    deflated = zlib.compress(as_json(stage.claims()))
    yield refused("zip, deflated", stage.raw(deflated, header={"zip": "DEF"}), MALFORMED)
    bomb = zlib.compress(bytes(10_000_000), 9)[:10_000]
    yield refused("zip, bomb", stage.raw(bomb, header={"zip": "DEF"}), MALFORMED)


@row(25, "a JWT in a JWT")
def nested(stage: Stage) -> Iterator[Case]:
    inner = stage.mint()
    for payload in (inner.encode(), as_json(inner)):
        yield refused("nested", stage.raw(payload, header={"cty": "JWT"}), MALFORMED)


@row(26, "dots and parts in any number")
def parts(stage: Stage) -> Iterator[Case]:
    token = stage.mint()
    header, payload, signature = token.split(".")
    texts = [
        ".", "..", "...", "." * 10_000, token + "." * 5_000, header, f"{header}.{payload}",
        f"{token}.x", f"{token}.x.y", f"{token}.x.y.z", f".{payload}.{signature}",
        f"{header}..{signature}", token.replace(".", ".."),
    ]  # fmt: skip
    for number, text in enumerate(texts):
        yield refused(f"{number}: {text.count('.')} dots", text, MALFORMED)
    yield refused("nothing", "", Reason.MISSING_TOKEN)
    yield refused("an empty signature", f"{header}.{payload}.", MALFORMED)


@row(27, "encrypted tokens: nothing is decrypted")
def encrypted(stage: Stage) -> Iterator[Case]:
    pbes2 = {"alg": "PBES2-HS512+A256KW", "enc": "A256GCM", "p2c": 2**31, "p2s": b64(b"salt")}
    for header in ({"alg": "RSA-OAEP", "enc": "A256GCM", "zip": "DEF"}, pbes2):
        text = ".".join((b64(json.dumps(header)), *map(b64, (b"k", b"iv", b"c", b"tag"))))
        yield refused(header["alg"], text, MALFORMED)
    direct = b64(json.dumps({"alg": "dir", "enc": "A128GCM"}))
    yield refused("dir", f"{direct}..{b64(b'iv')}.{b64(b'c')}.{b64(b'tag')}", MALFORMED)
    flat = stage.mint(header={"alg": "dir", "enc": "A128GCM"})
    yield refused("three parts", flat, Reason.UNSUPPORTED_ALGORITHM)


@row(28, "other serialisations, and several tokens at once")
def other_forms(stage: Stage) -> Iterator[Case]:
    token = stage.mint()
    header, payload, signature = token.split(".")
    flattened = {"protected": header, "payload": payload, "signature": signature}
    general = {"payload": payload, "signatures": [{"protected": header, "signature": signature}]}
    one = Reason.MALFORMED_REQUEST
    yield refused("flattened", json.dumps(flattened), one, MALFORMED)
    yield refused("general", json.dumps(general), one, MALFORMED)
    yield refused("SD-JWT", f"{token}~{b64(b'[]')}~", MALFORMED)
    yield refused("joined by a comma", f"{token},{token}", one)
    yield refused("joined by a comma and a blank", f"{token}, {token}", one)
    yield refused("joined by a blank", f"{token} {token}", MALFORMED)


@row(29, "a megabyte of claims or of header, genuinely signed")
def megabytes(stage: Stage) -> Iterator[Case]:
    yield refused("claims", stage.mint({"fill": "x" * 1_000_000}), TOO_LARGE)
    yield refused("header", stage.mint(header={"fill": "x" * 300_000}), TOO_LARGE)
    yield refused("signature", stage.mint(sign=lambda _: bytes(1_000_000)), TOO_LARGE)


@row(30, "the size limit is tokens.max_bytes, 16 KiB", policy=True)
def size_limit(stage: Stage) -> Iterator[Case]:
    yield refused("60 kB", stage.mint({"fill": "x" * 60_000}), TOO_LARGE)
    # Three characters of JSON are four of base64url: the fill that just fits is found by trying.
    fill = (LIMIT - len(stage.mint({"fill": ""}))) * 3 // 4
    fits = next(f for f in range(fill + 3, 0, -1) if len(stage.mint({"fill": "x" * f})) <= LIMIT)
    yield asked("it fits", Sent(token=stage.mint({"fill": "x" * fits})), ALLOW)
    yield refused("too much", stage.mint({"fill": "x" * (fits + 1)}), TOO_LARGE)
