"""What every check has at hand, and the ways of asking that they share."""

from __future__ import annotations

from dataclasses import dataclass, field

from .catalogue import Code
from .edge import Edge, Lines, Visitor, Wire
from .expectations import Expectations
from .findings import Report
from .mcp import INITIALIZE, Echo, Session, call, echo_of
from .replies import Reply, split_url

SPOOF = "extauthz-doctor-spoof"
STRANGER = "https://extauthz-doctor.invalid"
"""An origin that nobody allows by name."""


@dataclass(slots=True)
class Examination:
    """One examination under way. ``token`` is the caller's own, of whom nothing is shown."""

    edge: Edge
    wire: Wire
    visitor: Visitor
    report: Report
    expected: Expectations
    now: float
    token: str | None = None
    echo_tool: str | None = None
    metadata_url: str | None = None
    session: Session = field(default_factory=Session)
    harmless: bytes = INITIALIZE
    """What a server that is reached answers well and that changes nothing there."""
    challenge: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, object] = field(default_factory=dict)
    elsewhere: frozenset[tuple[int, str]] = frozenset()
    """Status and body of what a site on the same host answers to any path."""

    def found(self, code: Code, seen: str) -> None:
        """Something was found. Whatever an edge says, the token is not repeated."""
        self.report.found(code, seen.replace(self.token, "(the token)") if self.token else seen)

    def try_out(
        self,
        what: str,
        lines: Lines = (),
        *,
        code: Code,
        method: str = "POST",
        target: str | bytes | None = None,
        host: str | None = None,
    ) -> Reply:
        """Send what must not get through; ``code`` is found if it does, whoever answers."""
        body = self.harmless if method == "POST" else b""
        reply = self.wire.send(
            method,
            self.edge.path if target is None else target,
            [*self.session.lines(body), *lines],
            body,
            host=host,
        )
        return self.judge(what, reply, code)

    def judge(self, what: str, reply: Reply, code: Code) -> Reply:
        """The reply to what must not get through."""
        if reply.ok and not self.is_elsewhere(reply):
            self.found(code, f"{what}: {reply}")
        elif reply.broken:
            self.found(Code.EDGE_BREAKS, f"{what}: {reply}")
        return reply

    @property
    def own_origin(self) -> str:
        """The origin of the resource as the metadata has it, else of the URL: it may call."""
        parts = split_url(self.metadata.get("resource"))
        return self.edge.origin if parts is None else f"{parts.scheme}://{parts.netloc}"

    def is_elsewhere(self, reply: Reply) -> bool:
        """Whether this is what a site on the same host answers to any path."""
        return (reply.status, reply.body.decode("latin-1")) in self.elsewhere

    @property
    def authorization(self) -> tuple[tuple[str, str], ...]:
        """The line that carries the caller's token, if there is one."""
        return (("Authorization", f"Bearer {self.token}"),) if self.token else ()

    def with_token(self, body: bytes, lines: Lines = (), trailers: Lines = ()) -> Reply:
        """A request of the caller's."""
        everything = [*self.session.lines(body), *self.authorization, *lines]
        return self.wire.send("POST", self.edge.path, everything, body, trailers=trailers)

    def echo(self, lines: Lines = (), trailers: Lines = ()) -> tuple[Reply, Echo | None]:
        """What the MCP server says it received; None where no tool tells."""
        if self.echo_tool is None:
            return self.with_token(self.harmless, lines, trailers), None
        reply = self.with_token(call(self.echo_tool), lines, trailers)
        return reply, echo_of(reply)
