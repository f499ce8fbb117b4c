"""``extauthz explain``: every check of one request in order, and the exact answer."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from .options import add_config, add_settings, load_or_complain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from extauthz.core.explain import Explanation
    from extauthz.core.model import Decision, Step
    from extauthz.core.policy import Policy

_NAMELESS: Final = frozenset({"DELETE", "GET", "HEAD", "OPTIONS"})
_HTTP_METHODS: Final = _NAMELESS | {"PATCH", "POST", "PUT"}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Say what the command does, and add its options."""
    parser.description = (
        "Judge one request as `serve` would and show every check: expected, "
        "found, the rule that decided, and the exact answer. Exit 0: allowed, 1: refused."
    )
    add_config(parser)
    parser.add_argument("--token", metavar="T", help="the access token; - reads standard input")
    parser.add_argument("--url", help="host, path and query in one")
    parser.add_argument("--host", help="default: the host of the only server's resource")
    parser.add_argument("--path", help="default: the path of the only server's resource")
    parser.add_argument(
        "--method",
        metavar="M",
        help="HTTP method (GET) or JSON-RPC method (tools/list); default: POST with --tool, "
        "else GET",
    )
    parser.add_argument(
        "--tool",
        metavar="NAME",
        help="the tool that is called; with --method prompts/get a prompt, with resources/read, "
        "resources/subscribe and resources/unsubscribe the URI of a resource",
    )
    parser.add_argument(
        "--calls",
        choices=("mcp", "none"),
        default="mcp",
        help="mcp: the proxy tells which call is made, as Envoy with its MCP filter does; none: it "
        "does not, as nginx, Caddy, HAProxy, and Traefik and Envoy's http_service unless they send "
        "the body; default: mcp",
    )
    parser.add_argument("--origin", help="the Origin header of a browser")
    parser.add_argument("--server", metavar="NAME", help="the server the proxy names")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_settings(parser)


def run(options: argparse.Namespace) -> int:
    """Explain one request."""
    from extauthz.config.compile import compile_policy  # noqa: PLC0415
    from extauthz.core.engine import Engine  # noqa: PLC0415
    from extauthz.core.explain import explain, question  # noqa: PLC0415
    from extauthz.core.near_requests import token_alone  # noqa: PLC0415
    from extauthz.service.keys_once import fetch_keys_once  # noqa: PLC0415

    misuse = _misuse(options)
    if misuse is not None:
        print(f"extauthz explain: {misuse}", file=sys.stderr)
        return 2
    loaded = load_or_complain(options)
    if loaded is None:
        return 1
    policy = compile_policy(loaded)
    host, path = _asked_for(options, policy)
    if host is None or path is None:
        print("extauthz explain: give --host and --path, or --url", file=sys.stderr)
        return 2
    token = sys.stdin.read() if options.token == "-" else options.token
    if options.token == "-" and not token.strip():
        print("extauthz explain: --token -: nothing came on standard input", file=sys.stderr)
        return 2
    request = question(
        host=host,
        path=path,
        method=options.method,
        tool=options.tool,
        token=token if token is None else token_alone(token),
        origin=options.origin,
        server=options.server,
        calls=options.calls,
    )
    keys, failed = asyncio.run(fetch_keys_once(loaded))
    explained = explain(
        Engine(policy),
        request,
        keys,
        now=time.time(),
        failing=failed,
        calls=options.calls,
    )
    (_print_json if options.json else _print_text)(explained, failed)
    return 0 if explained.allowed else 1


def _asked_for(options: argparse.Namespace, policy: Policy) -> tuple[str | None, str | None]:
    """Host and path; of the only server's resource where there is one and nothing is said."""
    if options.url is not None:
        parts = urlsplit(options.url)
        query = f"?{parts.query}" if parts.query else ""
        return parts.netloc, (parts.path or "/") + query
    host, path = options.host, options.path
    if (host is None or path is None) and len(policy.servers) == 1:
        where = urlsplit(policy.servers[0].resource or "http://localhost/")
        return host or where.netloc, path or where.path or "/"
    return host, path


def _misuse(options: argparse.Namespace) -> str | None:
    """What is wrong with the question: it would be answered, but not as it was meant."""
    from extauthz.config.urls import split_url  # noqa: PLC0415
    from extauthz.core.calls import NAMED_BY  # noqa: PLC0415

    method: str | None = options.method
    if options.url is not None and split_url(options.url) is None:
        return "--url is no absolute http(s) URL"
    if method is None:
        return None
    if method != method.upper() and method.upper() in _HTTP_METHODS:
        return f"HTTP methods are written in capitals: --method {method.upper()}"
    if options.tool is None and method in NAMED_BY:
        return f"{method} names what it calls; expected --tool with that name"
    if options.tool is not None and method in _NAMELESS:
        return f"--tool is for a POST; expected no --method {method}"
    if options.tool is not None and method != method.upper() and method not in NAMED_BY:
        return f"{method} names no tool; expected --tool with one of {', '.join(NAMED_BY)}"
    return None


def _print_text(explained: Explanation, failed: Mapping[str, str]) -> None:
    from extauthz.core.model import Allow  # noqa: PLC0415

    for name, problem in failed.items():
        print(f"keys of {name}: {problem}")
    for step in explained.steps:
        _print_step(step)
    print()
    reason = explained.reason
    print("allowed" if explained.allowed else "refused", end="")
    print(f": {reason}" if reason else "")
    if reason and explained.allowed:
        print("  (mode: audit lets it through; mode: enforce would refuse)")
    for hint in explained.hints:
        print(f"  near miss: {hint}")
    print("\nanswer:")
    first, *more = _answer_lines(explained.decision)
    print(f"  {first}")
    # What is sent on belongs to the line that says where to; an answer stands as it is sent.
    indented = " " * (4 if isinstance(explained.decision, Allow) else 2)
    for line in more:
        print(f"{indented}{line}".rstrip())


def _print_step(step: Step) -> None:
    mark = "ok  " if step.passed else "FAIL"
    print(f"{mark} {step.check}")
    for word, text in (("expected", step.expected), ("found", step.found), ("hint", step.hint)):
        if text:
            print(f"       {word:<9}{text}")


def _answer_lines(decision: Decision) -> list[str]:
    from extauthz.core.model import Allow  # noqa: PLC0415

    if isinstance(decision, Allow):
        set_ = [f"{name}: {value}" for name, value in decision.headers]
        removed = [f"(removed) {name}" for name in decision.remove]
        return [f"to the server {decision.server}:", *set_, *removed]
    lines = [f"HTTP {decision.status}"]
    lines += [f"{name}: {value}" for name, value in decision.headers]
    if decision.body:
        lines += ["", decision.body.decode()]
    return lines


def _print_json(explained: Explanation, failed: Mapping[str, str]) -> None:
    document = {
        "allowed": explained.allowed,
        "reason": explained.reason,
        "detail": explained.detail,
        "steps": [asdict(step) for step in explained.steps],
        "near_misses": explained.hints,
        "answer": _answer_lines(explained.decision),
        **_answer(explained.decision),
        "keys": dict(failed),
    }
    print(json.dumps(document, indent=2))


def _answer(decision: Decision) -> dict[str, object]:
    """The answer for programs; ``status`` and ``body`` are null where the server answers."""
    from extauthz.core.model import Allow  # noqa: PLC0415

    common = {"server": decision.server, "headers": dict(decision.headers)}
    if isinstance(decision, Allow):
        return {**common, "status": None, "removed": list(decision.remove), "body": None}
    return {**common, "status": decision.status, "removed": [], "body": decision.body.decode()}
