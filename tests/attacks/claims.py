"""Rows 44-57: claims that are missing, of another type, or nearly right (RFC 7519, RFC 8725)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from extauthz.core.model import Reason
from tests.attacks.table import ALLOW, Case, Sent, Stage, allowed, asked, configured, refused, row
from tests.policies import ENTRA_ISSUER, OTHER_ISSUER, TENANT, other_signer
from tests.tokens import ABSENT, CALCULATOR, ISSUER, NOTES, jwks, signer, with_member

MALFORMED = Reason.MALFORMED_TOKEN
MISSING = Reason.MISSING_CLAIM
EXPIRED = Reason.TOKEN_EXPIRED
EARLY = Reason.TOKEN_NOT_YET_VALID
WRONG_AUDIENCE = Reason.WRONG_AUDIENCE
UNKNOWN_ISSUER = Reason.UNKNOWN_ISSUER
TOO_LARGE = Reason.TOKEN_TOO_LARGE
LACKING = Reason.INSUFFICIENT_SCOPE


@row(44, "exp missing, past, or no number")
def expiry(stage: Stage) -> Iterator[Case]:
    for value in (ABSENT, None):
        yield refused(value, stage.mint({"exp": value}), MISSING)
    for value in (int(stage.now) - 3600, 0, -1, 0.0, -1e9):
        yield refused(value, stage.mint({"exp": value}), EXPIRED)
    for value in ("1e12", "", True, False, [9999999999], {"exp": 9999999999}):
        yield refused(value, stage.mint({"exp": value}), MALFORMED)


@row(45, "times as numeric strings or booleans")
def times_as_text(stage: Stage) -> Iterator[Case]:
    good = {"exp": str(int(stage.now) + 300), "nbf": str(int(stage.now) - 5)}
    for name, value in good.items():
        yield refused(name, stage.mint({name: value}), MALFORMED)
    for name in ("nbf", "iat"):
        for odd in ([1], {"a": 1}, True, False, None, "0"):
            yield refused(f"{name} {odd}", stage.mint({name: odd}), MALFORMED)


@row(46, "exp far away: seconds up to the year 9999, no milliseconds", policy=True)
def far_away(stage: Stage) -> Iterator[Case]:
    for value in (10**400, 10**18, int(stage.now) * 1000, 253402300800, -(10**12)):
        yield refused(str(value)[:20], stage.mint({"exp": value}), MALFORMED)
    yield allowed("the year 9999", stage.mint({"exp": 253402300799}))


@row(47, "exp in other notations")
def notations(stage: Stage) -> Iterator[Case]:
    for literal in (
        "1e400", "-1e400", "NaN", "Infinity", "0x7fffffff", "+9999999999", "01", "9999999999.",
        ".5e12", "9_999_999_999", "9999999999L", "0b1", "1e", "--1",
    ):  # fmt: skip
        payload = with_member(stage.claims(), "exp", literal)
        yield refused(literal, stage.raw(payload), MALFORMED)
    for literal in ("4.1e9", "41e8", "4100000000.0", "4.1E+9"):
        yield allowed(literal, stage.raw(with_member(stage.claims(), "exp", literal)))


@row(48, "nbf and iat in the future, or no numbers")
def not_yet(stage: Stage) -> Iterator[Case]:
    for name in ("nbf", "iat"):
        for value in (int(stage.now) + 3600, 9e9):
            yield refused(f"{name} {value}", stage.mint({name: value}), EARLY)
        for literal in ("1e400", "NaN", '"2020-01-01"', "[1]", "10000000000000"):
            payload = with_member(stage.claims(), name, literal)
            yield refused(f"{name} {literal}", stage.raw(payload), MALFORMED)
    after = {"iat": int(stage.now) + 7200, "exp": int(stage.now) + 3600}
    yield refused("iat after exp", stage.mint(after), EARLY)
    for iat, exp in ((29, -2), (2, -29), (29, -29)):
        within = {"iat": int(stage.now) + iat, "exp": int(stage.now) + exp}
        label = f"iat after exp by more than the leeway: {iat}, {exp}"
        yield refused(label, stage.mint(within), MALFORMED)


@row(49, "exp, nbf and iat at both edges of the leeway")
def edges(stage: Stage) -> Iterator[Case]:
    now = int(stage.now)
    for leeway in (0, 30, 60):
        config = configured(leeway=f"{leeway}s")
        # A second of room where a real clock runs on between minting and judging.
        room = 0 if stage.now == now else 2
        for name, value, reason in (
            ("exp", now - leeway, EXPIRED),
            ("exp", now - leeway - 1, EXPIRED),
            ("nbf", now + leeway + 1 + room, EARLY),
            ("iat", now + leeway + 1 + room, EARLY),
        ):
            label = f"{name} {value - now:+} of {leeway}"
            yield refused(label, stage.mint({name: value}), reason, config=config)
        for name, value in (
            ("exp", now - leeway + 1 + room), ("nbf", now + leeway), ("iat", now + leeway),
        ):  # fmt: skip
            case = allowed(f"{name} {value - now:+} of {leeway}", stage.mint({name: value}))
            yield replace(case, config=config)


@row(50, "an audience that is not quite ours")
def audiences(stage: Stage) -> Iterator[Case]:
    for value in (ABSENT, None):
        yield refused(value, stage.mint({"aud": value}), MISSING)
    for value in (1, True, {"aud": NOTES}, [[NOTES]], [NOTES, 1], [NOTES, None], [{"a": NOTES}]):
        yield refused(value, stage.mint({"aud": value}), MALFORMED)
    nearly = [
        "https://other.example", "", [], [""], NOTES[:-1], NOTES + "x", NOTES + "/",
        NOTES.upper(), NOTES.replace("mcp.", "MCP."), NOTES.replace("https", "http"),
        NOTES.replace(".com", ".com:443"), NOTES.replace("//", "//user@"),
        "https://mcp.example.com", "https://mcp.example.com/notes", NOTES + "/child",
        f"{NOTES} {CALCULATOR}", f"{CALCULATOR},{NOTES}", "*", NOTES.replace("notes", "%6eotes"),
        NOTES + "#x", NOTES + "?x", NOTES + "\0", NOTES + "\n", f" {NOTES}", "notes",
        NOTES.replace("notes", "nоtes"), NOTES.replace("/notes", "/./notes"),
    ]  # fmt: skip
    for value in nearly:
        yield refused(repr(value)[-40:], stage.mint({"aud": value}), WRONG_AUDIENCE)


@row(51, "several audiences: one of them ours is enough", policy=True)
def several_audiences(stage: Stage) -> Iterator[Case]:
    for value in ([NOTES, CALCULATOR], [NOTES, NOTES], ["x", NOTES], [NOTES]):
        yield allowed(len(value), stage.mint({"aud": value}))
    many = [f"https://{number}.example" for number in range(20_000)]
    yield refused("20,000", stage.mint({"aud": [*many, NOTES]}), TOO_LARGE)


@row(52, "an issuer that is not quite ours")
def issuers(stage: Stage) -> Iterator[Case]:
    for value in (ABSENT, None):
        yield refused(value, stage.mint({"iss": value}), MISSING)
    for value in ([ISSUER], {"iss": ISSUER}, 1, True):
        yield refused(value, stage.mint({"iss": value}), MALFORMED)
    nearly = [
        "", ISSUER + "/", ISSUER.upper(), ISSUER[:-1], "h", ISSUER + "2", f" {ISSUER}",
        f"{ISSUER} ", f"{ISSUER}\n", ISSUER.replace("acme", "other"), ISSUER + "/../acme",
        ISSUER.replace("acme", "%61cme"), ISSUER.replace("acme", "аcme"), ENTRA_ISSUER,
        ENTRA_ISSUER.replace("{tenantid}", "22222222-2222-4333-8444-555555555555"),
        "corp", ISSUER.replace("https", "http"), ISSUER.replace(".com", ".com:443"),
    ]  # fmt: skip
    for value in nearly:
        yield refused(repr(value)[-40:], stage.mint({"iss": value}), UNKNOWN_ISSUER)


@row(53, "issuers and keys crossed")
def crossed(stage: Stage) -> Iterator[Case]:
    theirs = other_signer()
    same_kid = stage.mint(key=theirs)
    yield refused("iss A, B's key under A's kid", same_kid, Reason.BAD_SIGNATURE)
    kid_of_b = stage.mint(key=signer("ES256", "es256-other"))
    yield refused("iss A, kid of B", kid_of_b, Reason.UNKNOWN_KEY)
    crossed = stage.mint({"iss": OTHER_ISSUER}, key=signer())
    yield refused("iss B, A's key", crossed, Reason.BAD_SIGNATURE)
    yield allowed("iss B, B's key", stage.mint({"iss": OTHER_ISSUER}, key=theirs))
    audience = stage.mint({"iss": OTHER_ISSUER, "aud": CALCULATOR}, key=theirs)
    sent = Sent(target="/calculator/mcp")
    yield refused("B has no say here", audience, UNKNOWN_ISSUER, sent=sent)


@row(54, "a tenant's token signed by the key of other tenants")
def tenants(stage: Stage) -> Iterator[Case]:
    ours = ENTRA_ISSUER.replace("{tenantid}", TENANT)
    consumer = "9188040d-6c67-4c5b-b112-36a304b66dad"
    key = signer("ES256", "entra")
    claims = {"iss": ours, "tid": TENANT}
    token = stage.mint(claims, key=key)
    for issuer in (ours, ENTRA_ISSUER):
        keys = {"entra": jwks(key.public_jwk() | {"issuer": issuer})}
        yield replace(allowed(issuer, token), keys=keys)
    theirs = ENTRA_ISSUER.replace("{tenantid}", consumer)
    for issuer in (theirs, "", ISSUER, ENTRA_ISSUER.upper()):
        keys = {"entra": jwks(key.public_jwk() | {"issuer": issuer})}
        yield refused(f"key of {issuer}", token, Reason.UNKNOWN_KEY, keys=keys)
    for tid in (consumer, TENANT.upper(), f"{TENANT} ", "", "{tenantid}", ABSENT, None):
        odd = stage.mint(claims | {"tid": tid}, key=key)
        yield refused(f"tid {tid!r}", odd, UNKNOWN_ISSUER)
    odd = stage.mint({"iss": theirs, "tid": consumer}, key=key)
    yield refused("a tenant not listed", odd, UNKNOWN_ISSUER)
    literal = stage.mint({"iss": ENTRA_ISSUER, "tid": "{tenantid}"}, key=key)
    yield refused("the template itself", literal, UNKNOWN_ISSUER)


@row(55, "sub and jti that are no text")
def subjects(stage: Stage) -> Iterator[Case]:
    for value in (7, None, ["alice"], {"alice": 1}, True, 1.5):
        for name in ("sub", "jti"):
            yield refused(f"{name} {value}", stage.mint({name: value}), MALFORMED)
    for name in ("client_id", "azp", "cid", "appid"):
        for odd in (7, ["x"], {"x": 1}, True):
            yield refused(f"{name} {odd}", stage.mint({name: odd}), MALFORMED)


@row(56, "odd subjects: control characters refuse, others are sent reversibly", policy=True)
def odd_subjects(stage: Stage) -> Iterator[Case]:
    yield refused("64 kB", stage.mint({"sub": "x" * 65_536}), TOO_LARGE)
    for odd in ("a\rb", "a\nb", "a\r\nx-auth-subject: root", "a\x7f", "a\x85", "a\x9f", "\t", "\0"):
        yield refused(repr(odd), stage.mint({"sub": odd}), MALFORMED)
    for text in ("a,b", " a ", "  ", "a\u2028b", "\u202etoor", '"a"', "é", "č", "嘊嘍", "%0a", ""):
        yield allowed(repr(text), stage.mint({"sub": text}))
    rule = Reason.DENIED_BY_RULE
    encoded = with_member(stage.claims(), "sub", '"' + "é" * 3_500 + '"')
    yield refused("too much once encoded", stage.raw(encoded), rule)


@row(57, "scopes that grant nothing")
def scopes(stage: Stage) -> Iterator[Case]:
    nothing: list[object] = [
        7, {"notes": True}, None, ABSENT, True, "", " ", "note", "notesx", "notes:read", "NOTES",
        "notes,other", ["notes other"], [["notes"]], [], [7], "nоtes", {"0": "notes"},
    ]  # fmt: skip
    for value in nothing:
        yield refused(repr(value), stage.mint({"scope": value}), LACKING)
    for value in ("x\tnotes", "x\r\nnotes", "notes\0", ["notes\n"]):
        yield refused(repr(value), stage.mint({"scope": value}), MALFORMED)
    for value in ("notes", "a notes b", "  notes  ", ["notes"], ["a", 7, "notes"]):
        yield allowed(repr(value), stage.mint({"scope": value}))
    other = stage.mint({"scope": ABSENT, "scp": ["notes"]})
    yield asked("scp", Sent(token=other), ALLOW)
