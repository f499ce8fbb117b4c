"""``extauthz token``: a client_credentials token from an issuer, alone on stdout.

Finds the token endpoint by discovery (RFC 8414, OpenID Connect Discovery), asks for a
token (RFC 6749 section 4.4) for the named resources (RFC 8707), and remembers it until it
is about to expire. Everything else it has to say goes to stderr.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from extauthz.config.issuer import IssuerSettings
from extauthz.config.urls import check_url, is_plain_http

from . import token_cache
from .options import load_or_complain
from .token_request import TokenError, TokenQuestion, Way, request_token


def add_options(parser: argparse.ArgumentParser) -> None:
    """Say what the command does, and add its options."""
    parser.description = (
        "Get a client_credentials token from an issuer and print it, for scripts: "
        'curl -H "Authorization: Bearer $(extauthz token ...)" URL'
    )
    parser.add_argument(
        "--issuer",
        required=True,
        type=_issuer,
        metavar="URL",
        help="the issuer identifier, or with --config the name of an issuer there",
    )
    parser.add_argument(
        "--config", metavar="FILE", help="the configuration file that names the issuer"
    )
    parser.add_argument("--client-id", required=True, metavar="ID")
    parser.add_argument(
        "--client-secret-file",
        required=True,
        metavar="FILE",
        help="file that holds the client secret; - for standard input",
    )
    parser.add_argument(
        "--scope",
        action="append",
        default=[],
        metavar="SCOPES",
        help="scopes to ask for, separated by spaces; may be repeated",
    )
    parser.add_argument(
        "--resource",
        action="append",
        default=[],
        metavar="URL",
        help="what the token is for, the audience (RFC 8707); may be repeated",
    )
    parser.add_argument("--ca-file", metavar="FILE", help="PEM certificates of a private CA")
    parser.add_argument(
        "--fresh", action="store_true", help="ask the issuer even if a token is remembered"
    )
    parser.set_defaults(refuse=parser.error)


def run(args: argparse.Namespace) -> int:
    """Print the token; 0, or 1 with the cause on stderr."""
    if "://" not in args.issuer and args.config is None:
        what = f"{args.issuer} is no URL; expected one, or the name of an issuer in a --config file"
        args.refuse(f"argument --issuer: {what}")
    way = Way(ca_file=args.ca_file)
    issuer = args.issuer
    if "://" not in issuer:
        named = _named(args)
        if named is None:
            return 1
        issuer = named.advertised
        way = Way(ca_file=args.ca_file or named.ca_file, egress_proxy=named.egress_proxy)
    question = TokenQuestion(
        issuer=issuer,
        client_id=args.client_id,
        scopes=tuple(" ".join(args.scope).split()),
        resources=tuple(args.resource),
    )
    try:
        secret = _secret(args.client_secret_file)
        print(_token(question, secret, way, fresh=args.fresh))
    except TokenError as error:
        print(f"extauthz token: {error}", file=sys.stderr)
        return 1
    return 0


def _token(question: TokenQuestion, secret: str, way: Way, *, fresh: bool) -> str:
    directory = token_cache.cache_directory(os.environ)
    file = token_cache.cache_file(directory, question.members(), secret) if directory else None
    if file and not fresh:
        remembered = token_cache.read(file, time.time())
        if remembered:
            return remembered.text
    granted = request_token(question, secret, way)
    if file and granted.lifetime is not None:
        expires_at = time.time() + granted.lifetime
        try:
            token_cache.write(file, token_cache.CachedToken(granted.text, expires_at))
        except OSError as error:
            print(f"extauthz token: not remembered: {error}", file=sys.stderr)
    return granted.text


def _secret(name: str) -> str:
    """The content of a file without the line ends behind it."""
    try:
        given = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        text = given.decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise TokenError(f"cannot read the client secret from {name}: {reason}") from error
    secret = text.rstrip("\r\n")
    if not secret:
        raise TokenError(f"the client secret in {name} is empty")
    return secret


def _named(args: argparse.Namespace) -> IssuerSettings | None:
    """The issuer with this name, or None after the cause was written to stderr."""
    loaded = load_or_complain(args)
    if loaded is None:
        return None
    issuers = {issuer.name: issuer for issuer in loaded.settings.issuers}
    try:
        named = issuers[args.issuer]
        _issuer(named.advertised)
    except KeyError:
        what = f"no issuer of {args.config}; expected a URL or one of {', '.join(issuers)}"
    except argparse.ArgumentTypeError as error:
        what = str(error)
    else:
        return named
    print(f"extauthz token: --issuer {args.issuer}: {what}", file=sys.stderr)
    return None


def _issuer(text: str) -> str:
    if "://" not in text:
        return text
    try:
        check_url(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if is_plain_http(text):
        raise argparse.ArgumentTypeError("plain http is for loopback only; expected an https URL")
    return text
