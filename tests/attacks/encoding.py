"""Rows 31-43: base64url and JSON as two readers may read them differently (RFC 8725 3.7)."""

from __future__ import annotations

from collections.abc import Iterator

from extauthz.core.model import Reason
from tests.attacks.table import Case, Sent, Stage, allowed, asked, refused, row
from tests.tokens import as_json, b64, signer, with_member

MALFORMED = Reason.MALFORMED_TOKEN
REQUEST = Reason.MALFORMED_REQUEST
TOO_LARGE = Reason.TOKEN_TOO_LARGE
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@row(31, "padding after the signature")
def padded(stage: Stage) -> Iterator[Case]:
    for padding in ("=", "==", "==="):
        yield refused(padding, stage.mint() + padding, MALFORMED)


@row(32, "the last character with other spare bits")
def spare_bits(stage: Stage) -> Iterator[Case]:
    for algorithm in ("ES256", "RS256", "EdDSA"):
        token = stage.mint(key=signer(algorithm))
        last = ALPHABET.index(token[-1])
        for bit in (1, 2, 4, 8):
            other = token[:-1] + ALPHABET[last ^ bit]
            yield refused(f"{algorithm} {bit}", other, MALFORMED)


@row(33, "characters around and inside the token")
def around(stage: Stage) -> Iterator[Case]:
    token = stage.mint()
    header, payload, signature = token.split(".")
    outside = ["\n", "\r\n", "\0", "\x0b", "\x0c", "\xa0", "\u3000"]
    for text in outside:
        for odd in (token + text, text + token):
            yield refused(repr(odd[:3] + odd[-3:]), odd + "x", MALFORMED, REQUEST)
    inside = [
        f"{token}.", f'"{token}"', f"'{token}'", f"<{token}>", f"{header} .{payload}.{signature}",
        f"{header}.{payload}\n.{signature}", f"{header}.\t{payload}.{signature}",
        f"{header}%2E{payload}%2E{signature}", f"{header}.!!!!.{signature}",
        f"{header}．{payload}．{signature}", f"{token[:-4]}!{token[-4:]}",
        f"{header}.{payload}.{signature[:4]}+/{signature[6:]}", f"{token}#", f"{token}?x",
        f"{token}&", f"{token}/", f"{header}.{payload}=.{signature}",
    ]  # fmt: skip
    for text in inside:
        yield refused(repr(text[:3] + text[-3:]), text, MALFORMED, REQUEST)
    # Blanks at either end of a header value are not part of it (RFC 9110 section 5.5).
    for value in (f" Bearer {token} ", f"\tBearer {token}\t", f"Bearer   {token}"):
        sent = Sent(headers=(("Authorization", value),))
        yield asked(f"outer blanks {value[0]!r}", sent, "allow")


@row(34, "an issuer that signs over padding", policy=True)
def padded_payload(stage: Stage) -> Iterator[Case]:
    key = signer()
    header = b64(as_json({"alg": key.alg, "kid": key.kid}))
    for fill in ("", "x", "xx"):
        payload = b64(as_json(stage.claims(fill=fill)))
        payload += "=" * (-len(payload) % 4 or 4)
        signed = f"{header}.{payload}"
        yield refused(fill, f"{signed}.{b64(key.sign(signed.encode()))}", MALFORMED)


@row(35, "duplicate members, plain and escaped")
def duplicates(stage: Stage) -> Iterator[Case]:
    for header in (
        b'{"alg":"none","alg":"ES256","kid":"es256"}',
        b'{"alg":"ES256","alg":"none","kid":"es256"}',
        b'{"alg":"ES256","kid":"x","kid":"es256"}',
        b'{"alg":"ES256","\\u006bid":"x","kid":"es256"}',
    ):
        yield refused(header.decode(), stage.mint(header=header), MALFORMED)
    claims = as_json(stage.claims())
    for member in (b'"sub":"root"', b'"\\u0073ub":"root"', b'"scope":"all"', b'"exp":9999999999'):
        for payload in (claims[:-1] + b"," + member + b"}", b"{" + member + b"," + claims[1:]):
            yield refused(member, stage.raw(payload), MALFORMED)
    inner = with_member(stage.claims(), "realm", b'{"a":1,"a":2}')
    yield refused("inside", stage.raw(inner), MALFORMED)


@row(36, "other encodings of the same text")
def encodings(stage: Stage) -> Iterator[Case]:
    text = as_json(stage.claims()).decode()
    header = '{"alg":"ES256","kid":"es256"}'
    for encoding in ("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"):
        yield refused(f"claims {encoding}", stage.raw(text.encode(encoding)), MALFORMED)
        odd = stage.mint(header=header.encode(encoding))
        yield refused(f"header {encoding}", odd, MALFORMED)


@row(37, "bytes that are no UTF-8")
def not_utf8(stage: Stage) -> Iterator[Case]:
    for text in (b"\xff", b"\xc0\xaf", b"\xe0\x80\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"):
        payload = with_member(stage.claims(), "sub", b'"' + text + b'"')
        yield refused(text, stage.raw(payload), MALFORMED)
        header = b'{"alg":"ES256","kid":"es256","x":"' + text + b'"}'
        yield refused(text, stage.mint(header=header), MALFORMED)


@row(38, "lone surrogates; NUL in a claim that is forwarded", policy=True)
def surrogates(stage: Stage) -> Iterator[Case]:
    for text in (r'"\ud800"', r'"\udc00a"', r'"\ud83d\ud83d"', r'"a\ude00\ud83d"'):
        for name in ("sub", "email", "anything"):
            payload = with_member(stage.claims(), name, text)
            yield refused(f"{name} {text}", stage.raw(payload), MALFORMED)
    yield refused("a name", stage.raw(with_member(stage.claims(), "x\ud800", "1")), MALFORMED)
    yield refused("NUL in sub", stage.mint({"sub": "a\0b"}), MALFORMED)
    yield allowed("a pair", stage.raw(with_member(stage.claims(), "sub", r'"\ud83d\ude00"')))


@row(39, "what only lenient readers take for JSON")
def lenient(stage: Stage) -> Iterator[Case]:
    claims = as_json(stage.claims())
    bodies = [
        claims + b"x", claims + claims, claims + b"\n{}", claims[:-1] + b",}", claims + b",",
        b"/* */" + claims, claims + b"// x", claims.replace(b'"', b"'"), b"\x00" + claims,
        claims + b"\x00", claims[:-1], claims[1:], b"{sub:1}", b"<x/>", b"\x1f\x8b" + claims,
        claims.replace(b'"alice"', b'"al\nice"'), claims.replace(b'"alice"', b'"al\\ice"'),
        claims.replace(b'"alice"', b'"\\x41"'), claims.replace(b'"alice"', b"undefined"),
    ]  # fmt: skip
    for number, payload in enumerate(bodies):
        yield refused(number, stage.raw(payload), MALFORMED)


@row(40, "JSON that is no object")
def no_object(stage: Stage) -> Iterator[Case]:
    for text in (b"[]", b'"x"', b"1", b"null", b"true", b"[{}]", b" "):
        yield refused(f"claims {text!r}", stage.raw(text), MALFORMED)
        yield refused(f"header {text!r}", stage.mint(header=text), MALFORMED)
    yield refused("claims {}", stage.raw(b"{}"), Reason.MISSING_CLAIM)
    yield refused("header {}", stage.mint(header=b"{}"), MALFORMED)


@row(41, "numbers that are none")
def not_a_number(stage: Stage) -> Iterator[Case]:
    for literal in ("NaN", "Infinity", "-Infinity", "nan", "1e400", "-1e999"):
        for name in ("exp", "level"):
            payload = with_member(stage.claims(), name, literal)
            yield refused(f"{name} {literal}", stage.raw(payload), MALFORMED)


@row(42, "integers of thousands of digits")
def huge_integers(stage: Stage) -> Iterator[Case]:
    for digits in (401, 5_000, 9_000):
        for name in ("exp", "level"):
            payload = with_member(stage.claims(), name, "9" * digits)
            yield refused(f"{name} {digits}", stage.raw(payload), MALFORMED)
    yield refused("header", stage.mint(header=b'{"alg":' + b"9" * 5_000 + b"}"), MALFORMED)


@row(43, "nesting beyond 64 levels", policy=True)
def nesting(stage: Stage) -> Iterator[Case]:
    for depth in (64, 1_000, 5_000):
        for opening, closing in (("[", "]"), ('{"a":', "}")):
            if depth * len(opening) > 9_000:
                continue
            literal = opening * depth + "1" + closing * depth
            payload = with_member(stage.claims(), "deep", literal)
            yield refused(f"{depth} {opening}", stage.raw(payload), MALFORMED)
    yield refused("opened only", stage.raw(b'{"deep":' + b"[" * 9_000), MALFORMED)
    yield refused("header", stage.mint(header=b'{"alg":' + b"[" * 9_000), MALFORMED)
    twenty = with_member(stage.claims(), "deep", "[" * 20_000 + "]" * 20_000)
    yield refused("20,000", stage.raw(twenty), TOO_LARGE)
    quotes = b"[" * 65 + b'"' + b'\\"' * 5_500
    yield refused("65 and an open string", stage.raw(quotes), MALFORMED)
    fits = with_member(stage.claims(), "deep", "[" * 63 + "]" * 63)
    yield allowed("64 with the object", stage.raw(fits))
