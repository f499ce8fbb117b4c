"""What somebody with a good token tries: to be another, to be nobody, to be somewhere else."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

from extauthz.core.model import Reason
from extauthz.core.near_misses import near_misses
from extauthz.core.policy import IDENTITY_HEADERS, Server
from extauthz.core.token import UnverifiedToken, parse_token

from .catalogue import Code
from .examination import SPOOF, Examination
from .intruder import made_up
from .mcp import DISCOVER, INITIALIZE, INITIALIZED, LINES, MODERN, PING, Echo, Session
from .replies import Reply

_MOST = 1024 * 1024
_MOST_NEIGHBOURS = 50
_MOST_EXTRA = 10
_BY_REASON = {
    Reason.UNKNOWN_ISSUER: Code.TOKEN_ISSUER,
    Reason.WRONG_AUDIENCE: Code.TOKEN_AUDIENCE,
    Reason.TOKEN_EXPIRED: Code.TOKEN_EXPIRED,
    Reason.INSUFFICIENT_SCOPE: Code.TOKEN_SCOPE,
    Reason.UNVERIFIED_CALL: Code.CALLS_NOT_SHOWN,
}
# extauthz gives none of these to who has a token for a server, but a 503 whose body is lost.
_OF_THE_SERVER = frozenset({404, 405, 406, 410, 415, 421, 502, 503, 504})
_HOP_BY_HOP = ("Connection", "Keep-Alive", "TE", "Proxy-Connection")


def enter(exam: Examination) -> bool:
    """Open a session with the token. False when it is refused: then nothing more can be tried."""
    with exam.report.step("the token opens the server"):
        server = exam.expected.server
        if server is not None and server.header_versions:
            exam.session = Session(max(server.header_versions))
        reply = exam.with_token(DISCOVER if exam.session.version else INITIALIZE)
        if reply.reason == Reason.UNVERIFIED_CALL and exam.session.version is None:
            # Where only headers tell the call, clients of older versions are refused.
            exam.session = Session(MODERN)
            reply = exam.with_token(DISCOVER)
        if not reply.ok:
            _refused(exam, reply)
            return False
        if exam.session.version is None:
            exam.session = Session.of(reply)
            exam.with_token(INITIALIZED)
        exam.harmless = DISCOVER if exam.session.is_modern else PING
        return True


def leave(exam: Examination) -> None:
    """End the session, if the server opened one."""
    if exam.session.session_id is not None:
        lines = [*exam.session.lines(b""), *exam.authorization]
        exam.wire.send("DELETE", exam.edge.path, lines)


def _refused(exam: Examination, reply: Reply) -> None:
    seen = f"POST {exam.edge.path} with the token: {reply}"
    try:
        reason = Reason(reply.reason or "")
    except ValueError:
        if 300 <= reply.status < 400:
            seen += f", to {(reply.get('location') or '').partition('?')[0][:200]!a}"
        exam.found(_nobodys(reply.status), seen)
        return
    code = _BY_REASON.get(reason, Code.TOKEN_REFUSED)
    hints = [*_compared(exam, reason), *_near_misses(exam, reason)]
    for hint in dict.fromkeys(hints) or [seen]:
        exam.found(code, hint if hint == seen else f"{seen}; {hint}")


def _nobodys(status: int) -> Code:
    """What a refusal means that gives no reason of extauthz's: most are not its own."""
    if 300 <= status < 400 or status in _OF_THE_SERVER:
        return Code.NO_MCP_SERVER
    return Code.EDGE_BREAKS if status >= 500 else Code.TOKEN_REFUSED


def _claims(exam: Examination) -> UnverifiedToken | None:
    token = parse_token(exam.token or "", _MOST)
    return token if isinstance(token, UnverifiedToken) else None


def _compared(exam: Examination, reason: Reason) -> Iterator[str]:
    """What the token says beside what the resource metadata says."""
    token = _claims(exam)
    if token is None:
        return
    if reason is Reason.UNKNOWN_ISSUER:
        named = exam.metadata.get("authorization_servers")
        yield f"its iss is {token.issuer!r}, the server's issuers are {named}"
    elif reason is Reason.WRONG_AUDIENCE:
        audience = token.shown_to_its_owner().get("aud")
        yield f"its aud is {audience!r}, the server's resource is {exam.metadata.get('resource')!r}"
    elif reason is Reason.INSUFFICIENT_SCOPE:
        scopes = token.shown_to_its_owner().get("scope")
        yield f"its scope is {scopes!r}, the challenge asks for {exam.challenge.get('scope')!r}"


def _near_misses(exam: Examination, reason: Reason) -> tuple[str, ...]:
    token, server = _claims(exam), exam.expected.server
    if token is None or server is None:
        return ()
    return near_misses(reason, server, token, server.scopes, exam.now)


def identity(exam: Examination) -> Echo | None:
    """What the MCP server is told about the caller; None where no tool reports it."""
    with exam.report.step("the MCP server is told who is calling") as step:
        if exam.echo_tool is None:
            step.skipped = "no --echo-tool: spoofs are judged by statuses only"
            return None
        reply, echo = exam.echo()
        if echo is None:
            count = len(list(reply.messages()))
            what = f"{len(reply.body)} bytes with {count} {'message' if count == 1 else 'messages'}"
            exam.found(Code.ECHO_UNUSABLE, f"tools/call {exam.echo_tool}: {reply}, {what}")
            return None
        token = _claims(exam)
        claims = {} if token is None else token.shown_to_its_owner()
        for name, claim in (("x-auth-subject", "sub"), ("x-auth-issuer", "iss")):
            told = [unquote(value) for value in echo.identity.get(name, ())]
            if isinstance(claims.get(claim), str) and told != [claims[claim]]:
                exam.found(Code.IDENTITY_MISSING, f"{name} is {told or 'absent'}")
        arrived = echo.token_arrived or (exam.token or "") in echo.text
        if arrived and not exam.expected.token_may_arrive:
            exam.found(Code.TOKEN_ARRIVES, f"tools/call {exam.echo_tool} reports it")
        return echo


def spoofs(exam: Examination, normal: Echo | None) -> None:
    """A client's own identity headers, in every spelling: overwritten, removed or refused."""
    with exam.report.step("no identity header that the client made up arrives"):
        for name in spellings(IDENTITY_HEADERS, exam.expected.extra_names):
            for lines in ([(name, SPOOF)], [(name, SPOOF), (name, f"{SPOOF}2")]):
                what = f"{name}: {SPOOF}" + (" twice" if len(lines) == 2 else "")
                reply, echo = exam.echo(lines)
                if reply.broken:
                    exam.found(Code.EDGE_BREAKS, f"{what}: {reply}")
                elif reply.ok and SPOOF.encode() in reply.body:
                    exam.found(Code.SPOOF_ARRIVES, what)
                elif echo is not None and normal is not None and echo.subject != normal.subject:
                    exam.found(Code.SPOOF_ARRIVES, f"{what} changes the subject")
        # Some proxies pass on what comes after the body, and some web servers call it headers.
        names = (*IDENTITY_HEADERS, *exam.expected.extra_names)
        for announced in ((), [("Trailer", ", ".join(names))]):
            reply, _ = exam.echo(announced, trailers=[(name, SPOOF) for name in names])
            if reply.ok and SPOOF.encode() in reply.body:
                what = "announced trailers" if announced else "trailers"
                exam.found(Code.SPOOF_ARRIVES, f"{what} after a chunked body")


def spellings(names: tuple[str, ...], extra: tuple[str, ...]) -> Iterator[str]:
    """Each name, and every kind of look-alike of the first and of some extra ones.

    Contract, section 5.
    """
    yield from (*names, *extra)
    for name in (names[0], *extra[:_MOST_EXTRA]):
        first, *rest = name.split("-")
        yield name.title()
        yield name.upper()
        for joint in "_.!~|":
            yield joint.join((first, *rest))
        if len(rest) > 1:
            yield f"{first}-{'_'.join(rest)}"
            yield f"{first}_{'-'.join(rest)}"
    yield from ("X-Auth-Anything", "x_auth_anything", "x-auth-")


def dropped(exam: Examination, normal: Echo | None) -> None:
    """Naming a header in Connection makes some proxies take it away, ours included."""
    with exam.report.step("a client cannot have identity headers taken away") as step:
        if normal is None:
            step.skipped = "no tool reports what arrives"
            return
        named = ", ".join(sorted(normal.identity))
        for name in _HOP_BY_HOP:
            reply, echo = exam.echo([(name, named)])
            if echo is not None and set(echo.identity) < set(normal.identity):
                lost = ", ".join(sorted(set(normal.identity) - set(echo.identity)))
                exam.found(Code.IDENTITY_DROPPED, f"{name}: {named} takes away {lost}")
            elif reply.broken:
                exam.found(Code.EDGE_BREAKS, f"{name}: {named}: {reply}")


def two_tokens(exam: Examination) -> None:
    """A good token beside another one, and a good one where it does not belong."""
    with exam.report.step("a good token does not pass beside another, or in the query"):
        good, other = f"Bearer {exam.token}", f"Bearer {made_up(exam)}"
        for what, lines in (
            ("good, then made up", [good, other]),
            ("made up, then good", [other, good]),
            ("the same twice", [good, good]),
            ("good, made up in one line", [f"{good}, {other}"]),
            ("made up, good in one line", [f"{other},{good}"]),
            ("good in Basic's company", ["Basic YTpi", good]),
        ):
            pairs = [("Authorization", line) for line in lines]
            exam.try_out(f"two tokens: {what}", pairs, code=Code.TWO_TOKENS_TAKEN)
        exam.try_out(
            "the token in the query",
            target=f"{exam.edge.path}?access_token={exam.token}",
            code=Code.STRAY_TOKEN_TAKEN,
        )
        for what, pair in (
            ("in a cookie", ("Cookie", f"access_token={exam.token}")),
            ("in X-Authorization", ("X-Authorization", good)),
        ):
            exam.try_out(f"the token {what}", [pair], code=Code.STRAY_TOKEN_TAKEN)


def elsewhere(exam: Examination) -> None:
    """The token of one server is refused by the others of its host."""
    with exam.report.step("the token opens no other server") as step:
        token = _claims(exam)
        if token is None or not exam.expected.neighbours:
            step.skipped = "no other server of this host is known (--config)"
            return
        audience = token.shown_to_its_owner().get("aud")
        meant = set(audience if isinstance(audience, list) else [audience])
        for server in exam.expected.neighbours[:_MOST_NEIGHBOURS]:
            accepted = server.audiences
            if accepted is None or not accepted.isdisjoint(meant) or server.audit:
                continue
            path = _endpoint(server)
            if any(path.startswith(public) for public in server.public_prefixes):
                continue
            reply = exam.wire.send("POST", path, [*LINES, *exam.authorization], INITIALIZE)
            exam.judge(f"POST {path} of {server.name}", reply, Code.TOKEN_ELSEWHERE)


def _endpoint(server: Server) -> str:
    """Where clients call a server: the path of its resource, if that is where it is matched."""
    path = urlsplit(server.resource or "").path or "/"
    inside = any(f"{path}/".startswith(f"{each}/") for each in server.paths)
    return path if inside else server.paths[0] or "/"
