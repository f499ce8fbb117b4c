"""What pages in browsers may do, and what clients find at paths that nobody owns."""

from __future__ import annotations

from extauthz.core.documents import (
    AUTHORIZATION_SERVER,
    OPENID_CONFIGURATION,
    RESOURCE_METADATA,
)

from .catalogue import Code
from .examination import STRANGER, Examination
from .mcp import HEADERS, INITIALIZE, NOBODYS
from .replies import Reply

_ASKED = "authorization, content-type, mcp-protocol-version"


def preflights(exam: Examination) -> None:
    """A page of an allowed origin may ask, a stranger's may not (Fetch standard)."""
    with exam.report.step("browsers: preflights are answered, by origin"):
        own = _preflight(exam, exam.own_origin)
        allowed = own.get("access-control-allow-origin") in (exam.own_origin, "*")
        headers = (own.get("access-control-allow-headers") or "").lower()
        if not own.ok or not allowed or "authorization" not in headers:
            what = f"origin {exam.own_origin}: {own}"
            exam.found(Code.PREFLIGHT_REFUSED, what if allowed else f"{what}, no leave")
        if exam.expected.any_origin:
            return
        foreign = _preflight(exam, STRANGER)
        if foreign.get("access-control-allow-origin") in (STRANGER, "*"):
            leave = foreign.get("access-control-allow-origin")
            exam.found(Code.PREFLIGHT_OPEN, f"origin {STRANGER}: leave for {leave}")


def _preflight(exam: Examination, origin: str) -> Reply:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": _ASKED,
    }
    return exam.visitor.ask("OPTIONS", exam.edge.path, headers)


def origins(exam: Examination, first: Reply) -> None:
    """A page can read the challenge of its own server; a foreign Origin is refused."""
    with exam.report.step("browsers: the challenge can be read, a foreign origin is refused") as s:
        if first.ok:
            s.skipped = "nothing is refused"
            return
        own = _from_page(exam, exam.own_origin)
        allowed = own.get("access-control-allow-origin") in (exam.own_origin, "*")
        exposed = (own.get("access-control-expose-headers") or "").lower()
        if own.status == 401 and not (allowed and "www-authenticate" in exposed):
            leave = f"Access-Control-Allow-Origin {own.get('access-control-allow-origin')}"
            exam.found(Code.CORS_NOT_EXPOSED, f"{leave}, exposed headers: {exposed or 'none'}")
        if exam.expected.any_origin:
            return
        foreign = _from_page(exam, STRANGER)
        if foreign.status not in (400, 403):
            exam.found(Code.ORIGIN_NOT_JUDGED, f"Origin {STRANGER}: {foreign}")


def _from_page(exam: Examination, origin: str) -> Reply:
    headers = {**HEADERS, "Origin": origin}
    return exam.visitor.ask("POST", exam.edge.path, headers, INITIALIZE)


def unowned_paths(exam: Examination) -> None:
    """Metadata of nobody, and the endpoints of an authorization server: 404 and no challenge."""
    with exam.report.step("paths that clients look for and nobody owns are 404"):
        for path in (
            f"{RESOURCE_METADATA}/{NOBODYS}",
            f"{AUTHORIZATION_SERVER}/{NOBODYS}",
            f"{OPENID_CONFIGURATION}/{NOBODYS}",
            "/register",
            "/authorize",
            "/token",
        ):
            reply = exam.visitor.ask("GET", path)
            if reply.status != 404 or reply.challenge() is not None:
                exam.found(Code.NOT_A_404, f"GET {path}: {reply}")
        for path in (RESOURCE_METADATA, AUTHORIZATION_SERVER, OPENID_CONFIGURATION):
            reply = exam.visitor.ask("GET", path)
            if reply.status not in (200, 307, 404):
                exam.found(Code.NOT_A_404, f"GET {path}: {reply}")


def somebody_else(exam: Examination) -> None:
    """Whether another site answers on the same host; what it says is no way in."""
    with exam.report.step("a path that nobody owns leads to nobody"):
        answers = set()
        for path in (f"/{NOBODYS}", f"/{NOBODYS}/{NOBODYS}"):
            for method, body in (("GET", b""), ("POST", INITIALIZE)):
                reply = exam.wire.send(method, path, list(HEADERS.items()), body)
                if reply.ok:
                    answers.add((reply.status, reply.body.decode("latin-1")))
                    exam.found(Code.UNOWNED_PATHS, f"{method} {path}: {reply}")
        exam.elsewhere = frozenset(answers)
