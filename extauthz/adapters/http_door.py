"""The HTTP door: forward-auth for other proxies, and the OAuth documents, as a handler of requests.

docs/contract.md, section 7. Each proxy flavour has a URL of its own, so that no flavour's
headers are believed by another.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from extauthz.authorizer import BROKEN, Authorizer
from extauthz.core.challenge import Challenger
from extauthz.core.model import Decision, Reason, Refusal, Request

from .forward_auth import from_client, from_envoy, from_forwarder, from_nginx
from .head_words import HeadWords
from .http_message import HttpRequest, HttpResponse
from .http_reply import Reply, to_client, to_envoy, to_forwarder, to_nginx
from .recurring import LONGEST, LeftOut, Recurring, may_hold
from .replies import Replies
from .trust import TrustedPeers

_log = logging.getLogger(__name__)

TRANSPORT: Final = "http"

NGINX: Final = "/auth/nginx"
FORWARD: Final = "/auth/forward"
ENVOY: Final = "/auth/envoy"
_ENVOY_PREFIX: Final = ENVOY + "/"
_DOORS: Final = "/auth/"

_Replies = Replies[HttpResponse]

_NO_DOOR: Final = Refusal(Reason.NO_MATCHING_SERVER, "there is no such URL under /auth/")
_LAST_RESORT: Final = Challenger(None, None).deny(BROKEN, None)


class HttpDoor:
    """Answers HTTP requests.

    ``trusted`` says whose ``X-Original-*``, ``X-Forwarded-*`` and ``X-Mcp-Server`` count.
    """

    def __init__(self, authorizer: Authorizer, trusted: TrustedPeers) -> None:
        self._trusted = trusted
        self._recurring = Recurring[HttpResponse](HeadWords())
        self._authorizer = authorizer
        self._nginx = Replies(lambda decision: _written(to_nginx(decision)))
        self._forward = Replies(lambda decision: _written(to_forwarder(decision)))
        self._envoy = Replies(lambda decision: _written(to_envoy(decision)))
        self._client = Replies(lambda decision: _written(to_client(decision)))
        # Made beforehand, so that nothing is left that could fail.
        self._last_resort = _written(to_forwarder(_LAST_RESORT))
        self._last_resort_nginx = _written(to_nginx(_LAST_RESORT))

    def trust(self, trusted: TrustedPeers) -> None:
        """Believe these peers from now on, and no others."""
        self._trusted = trusted
        self._recurring.clear()

    def __call__(self, asked: HttpRequest) -> HttpResponse | Awaitable[HttpResponse]:
        """The response, or a promise of it where a token has to be verified first.

        Never raises, nor does the promise, but for cancellation.
        """
        try:
            request, replies = self._understand(asked)
            if isinstance(request, Refusal):
                return replies.of(self._authorizer.refuse(request, TRANSPORT))
            if request.in_band:
                return replies.of(self._authorizer.answer(request, TRANSPORT))
            decision = self._authorizer.check_now(request, TRANSPORT)
            if decision is None:
                return self._wait(asked, request, replies)
            return self._learned(asked, request, decision, replies.of(decision))
        except Exception:  # noqa: BLE001  a door must answer, whatever broke behind it
            return self._broken(asked)

    def again(self, raw: bytes, peer: str | None) -> HttpResponse | None:
        """The response to a question that came before, from that peer and with these octets."""
        if len(raw) > LONGEST:
            return None
        name, left_out = self._name(raw, peer)
        known = self._recurring.get(name)
        if known is None:
            return None
        allow = self._authorizer.again(known.standing, TRANSPORT, partial(known.recurs, left_out))
        return None if allow is None else known.reply

    def _learned(
        self, asked: HttpRequest, request: Request, decision: Decision, response: HttpResponse
    ) -> HttpResponse:
        raw = asked.raw
        if raw is not None and len(raw) <= LONGEST and may_hold(decision):
            name, engine = self._name(raw, asked.peer)[0], self._authorizer.engine
            self._recurring.learn(
                name, raw, request=request, allow=decision, reply=response, engine=engine
            )
        return response

    def _name(self, raw: bytes, peer: str | None) -> tuple[bytes, LeftOut]:
        # First the peer, whose end no octets of a head can shift.
        return self._recurring.name(raw, f"{peer}\n".encode())

    async def _wait(self, asked: HttpRequest, request: Request, replies: _Replies) -> HttpResponse:
        try:
            return replies.of(await self._authorizer.check(request, TRANSPORT))
        except Exception:  # noqa: BLE001  as above
            return self._broken(asked)

    def _broken(self, asked: HttpRequest) -> HttpResponse:
        _log.exception("an HTTP request failed; it is refused")
        by_nginx = asked.target.startswith(NGINX)
        return self._last_resort_nginx if by_nginx else self._last_resort

    def _understand(self, asked: HttpRequest) -> tuple[Request | Refusal, _Replies]:
        target = asked.target
        path = target.partition("?")[0]
        if path == NGINX:
            return self._believed(from_nginx, asked), self._nginx
        if path == FORWARD:
            return self._believed(from_forwarder, asked), self._forward
        if path.startswith(_ENVOY_PREFIX):
            original = target.removeprefix(ENVOY)
            return from_envoy(asked, original), self._envoy
        if path.startswith(_DOORS):
            return _NO_DOOR, self._client
        return from_client(asked), self._client

    def _believed(
        self, read: Callable[[HttpRequest], Request | Refusal], asked: HttpRequest
    ) -> Request | Refusal:
        if self._trusted.trusts(asked.peer):
            return read(asked)
        whom = asked.peer or "a peer without an address"
        return Refusal(Reason.UNTRUSTED_PROXY, f"{whom} is not in listen.trusted_proxies")


def _written(reply: Reply) -> HttpResponse:
    lines = [(name.encode("ascii"), value.encode("latin-1")) for name, value in reply.headers]
    return HttpResponse.make(reply.status, lines, reply.body)
