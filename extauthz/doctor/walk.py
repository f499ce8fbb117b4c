"""The way of an MCP client: refused, challenged, and led to the issuer."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from urllib.parse import urlsplit

from extauthz.core.documents import RESOURCE_METADATA
from extauthz.core.keyset import KeySetError
from extauthz.keys.discovery import Discovered, IssuerMismatch, discover
from extauthz.keys.fetch import FetchError, fetch
from extauthz.keys.load import load_keys
from extauthz.keys.source import IssuerSource

from .catalogue import Code
from .edge import Unreachable
from .examination import Examination
from .mcp import HEADERS, INITIALIZE
from .replies import Reply, split_url

_MOST_ISSUERS = 20


def knock(exam: Examination) -> Reply | None:
    """Ask without a token; None when nobody is there."""
    with exam.report.step("a request without a token is refused and challenged"):
        edge = exam.edge
        if edge.scheme == "http" and edge.host not in ("127.0.0.1", "localhost", "::1"):
            exam.found(Code.PLAIN_HTTP, edge.url)
        try:
            reply = exam.visitor.ask("POST", edge.path, HEADERS, INITIALIZE)
        except Unreachable as error:
            exam.found(Code.UNREACHABLE, f"{edge.address[0]}:{edge.address[1]}: {error}")
            return None
        _judge_refusal(exam, reply)
        return reply


def _judge_refusal(exam: Examination, reply: Reply) -> None:
    seen = f"POST {exam.edge.path} without a token: {reply}"
    if reply.ok:
        if not exam.expected.audit:
            exam.found(Code.OPEN_WITHOUT_TOKEN, seen)
        return
    if reply.status >= 500 or reply.status == 0:
        exam.found(Code.NO_ANSWER, seen)
        return
    if 300 <= reply.status < 400:
        exam.found(Code.UNEXPECTED_REFUSAL, f"{seen}, to {reply.get('location')}")
        return
    if reply.status != 401:
        by_reason = {
            "no_matching_server": Code.NO_SERVER,
            "untrusted_proxy": Code.UNTRUSTED_PROXY,
        }
        missing = Code.NO_ROUTE if reply.status == 404 else Code.UNEXPECTED_REFUSAL
        exam.found(by_reason.get(reply.reason or "", missing), seen)
        return
    challenge = reply.challenge()
    if challenge is None:
        exam.found(Code.NO_CHALLENGE, seen)
    elif "resource_metadata" not in challenge:
        exam.found(Code.NO_METADATA_LINK, seen)
    exam.challenge = challenge or {}
    if reply.reason is None:
        kind = reply.get("content-type") or "no content-type"
        exam.found(Code.REFUSAL_LOST, f"{seen}, with {kind}")


def follow_metadata(exam: Examination) -> None:
    """Fetch the resource metadata that the challenge names (RFC 9728)."""
    with exam.report.step("the resource metadata leads to the issuer"):
        usual = exam.edge.origin + RESOURCE_METADATA + exam.edge.path.rstrip("/")
        url = exam.metadata_url or exam.challenge.get("resource_metadata") or usual
        where = split_url(url)
        if where is None or where.netloc != exam.edge.authority:
            exam.found(Code.METADATA_WRONG, f"the challenge names {url}")
        path = urlsplit(usual).path if where is None else where.path or "/"
        reply = exam.visitor.ask("GET", path, {"Accept": "application/json"})
        document = reply.json()
        if reply.status != 200 or not isinstance(document, dict):
            exam.found(Code.METADATA_MISSING, f"GET {path}: {reply}")
            return
        exam.metadata = document
        if document.get("resource") != exam.edge.url:
            exam.found(Code.METADATA_WRONG, f"resource is {document.get('resource')!r}")
        if reply.get("access-control-allow-origin") is None:
            exam.found(Code.METADATA_CLOSED, f"GET {path}")
        if not _issuers(exam):
            exam.found(Code.METADATA_WRONG, "it names no authorization_servers")


def _issuers(exam: Examination) -> list[str]:
    named = exam.metadata.get("authorization_servers")
    return [each for each in named if isinstance(each, str)] if isinstance(named, list) else []


def follow_issuers(exam: Examination) -> None:
    """Each issuer's metadata and keys, as clients and extauthz need them."""
    with exam.report.step("each issuer's metadata and keys can be had") as step:
        issuers = _issuers(exam)
        if not issuers:
            step.skipped = "the resource metadata names no issuer"
        for issuer in issuers[:_MOST_ISSUERS]:
            _follow_issuer(exam, issuer)


def _follow_issuer(exam: Examination, issuer: str) -> None:
    try:
        found = asyncio.run(_discovered(exam, issuer))
    except IssuerMismatch as error:
        exam.found(Code.ISSUER_MISMATCH, str(error))
    except FetchError as error:
        exam.found(Code.ISSUER_METADATA, f"{issuer}: {error}")
    except (KeySetError, _NoKeys) as error:
        exam.found(Code.ISSUER_KEYS, f"{issuer}: {error}")
    else:
        methods = found.metadata.get("code_challenge_methods_supported")
        announced = isinstance(methods, list) and "S256" in methods
        if "authorization_endpoint" in found.metadata and not announced:
            exam.found(Code.NO_PKCE, f"{issuer}: code_challenge_methods_supported is {methods!r}")


class _NoKeys(Exception):
    """The metadata is there, the keys are not."""


async def _discovered(exam: Examination, issuer: str) -> Discovered:
    source = IssuerSource(name=issuer, issuer=issuer, timeout=exam.edge.timeout)
    if known := exam.expected.sources.get(issuer):
        source = replace(source, ca_file=known.ca_file, egress_proxy=known.egress_proxy)
    try:
        found = await discover(source, fetch)
    except FetchError as error:
        # A private authority of the edge's need not be the issuer's, but may be.
        if error.answered or source.ca_file is not None or exam.edge.ca_file is None:
            raise
        source = replace(source, ca_file=exam.edge.ca_file)
        found = await discover(source, fetch)
    try:
        await load_keys(source)
    except FetchError as error:
        raise _NoKeys(str(error)) from error
    return found
