"""What the demo prints: the table of steps, where everything is, and what to try."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Sequence
from pathlib import Path

from .journey import Row
from .layout import CLIENT_ID, Ports, WorkDirectory
from .serving import LOOPBACK

_HEADINGS = ("tried", "expected", "got", "")
_METADATA = "/.well-known/oauth-protected-resource"
_WIDTHS = (32, 31, 31, 5)


def heading() -> str:
    """The first two lines of the table."""
    return f"{_line(_HEADINGS)}\n{_line(tuple('-' * width for width in _WIDTHS))}"


def row(step: Row) -> str:
    """The lines of one step."""
    return _line((step.tried, step.expected, step.got, "ok" if step.ok else "WRONG"))


def summary(rows: Sequence[Row]) -> str:
    """The last line of the table."""
    good = sum(step.ok for step in rows)
    if good == len(rows):
        return f"All {good} steps went as expected."
    return f"{len(rows) - good} of {len(rows)} steps did not go as expected."


def places(ports: Ports, work: WorkDirectory) -> str:
    """Where everything listens, and where its files are."""
    base = f"http://{LOOPBACK}"
    return f"""\
edge (Envoy)    {ports.resource("calculator")}
                {ports.resource("notes")}
extauthz        {base}:{ports.admin}/status
issuer          {ports.issuer_url}
MCP servers     {base}:{ports.calculator}, {base}:{ports.notes}
files and logs  {work.path}
"""


def suggestions(ports: Ports, work: WorkDirectory, extauthz: Sequence[str]) -> str:
    """Lines for a shell. ``extauthz`` is how this program is called."""
    calculator, notes = ports.resource("calculator"), ports.resource("notes")
    accept = "-H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream'"
    post = f"curl -si -w '\\n' {accept}"

    def token(variable: str, resource: str, scope: str, *more: str) -> str:
        options = {
            "--issuer": ports.issuer_url,
            "--client-id": CLIENT_ID,
            "--client-secret-file": str(work.secret_file.absolute()),
            "--resource": resource,
            "--scope": scope,
        }
        words = [*extauthz, "token", *(word for pair in options.items() for word in pair), *more]
        return f"{variable}=$({shlex.join(words)})"

    examined = {
        "--url": calculator,
        "--config": str(work.extauthz_file.absolute()),
        "--token-file": "-",
        "--echo-tool": "get_me",
    }
    doctor = shlex.join(
        [*extauthz, "doctor", *(word for pair in examined.items() for word in pair)]
    )

    def call(tool: str, arguments: str = "{}") -> str:
        params = f'{{"name":"{tool}","arguments":{arguments}}}'
        return f"""-d '{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}'"""

    return f"""\
To try in another shell:

# no token: 401, and a challenge that names the metadata
{post} {calculator} -d '{{"jsonrpc":"2.0","id":1,"method":"tools/list"}}'

# the metadata names the issuer
curl -s -w '\\n' {calculator.replace("/calculator", f"{_METADATA}/calculator")}

# a fresh token, and what it opens
{token("TOKEN", calculator, "calculator.use")}
{post} -H "Authorization: Bearer $TOKEN" {calculator} {call("add", '{"a":2,"b":3}')}

# an identity of one's own choice does not arrive
{post} -H "Authorization: Bearer $TOKEN" -H 'x-auth-subject: admin' {calculator} {call("get_me")}

# the other server wants a token of its own, and rules for its tools
{post} -H "Authorization: Bearer $TOKEN" {notes} {call("list_notes")}
{token("NOTES", notes, "notes.read")}
{post} -H "Authorization: Bearer $NOTES" {notes} {call("add_note", '{"text":"milk"}')}

# new keys for the issuer: its next token works at once
# extauthz asks an issuer for unknown keys at most once in 10 s (keys.cooldown): soon after
# another rotation, such as the demo's own, it may take that long
curl -s -w '\\n' -X POST {ports.issuer_url}/rotate
{token("TOKEN", calculator, "calculator.use", "--fresh")}
{post} -H "Authorization: Bearer $TOKEN" {calculator} {call("add", '{"a":2,"b":3}')}

# the edge, walked as a client does and attacked as an intruder would: nothing is found
echo "$TOKEN" | {doctor}

Everything keeps running until Ctrl-C."""


def logs(files: Sequence[Path]) -> str:
    """Where to look after a failure."""
    return "What the programs said is in:\n" + "\n".join(f"  {file}" for file in files)


def _line(cells: Sequence[str]) -> str:
    """One row of the table; a cell that is too long goes on below."""
    columns = [
        textwrap.wrap(cell, width) or [""] for cell, width in zip(cells, _WIDTHS, strict=True)
    ]
    height = max(len(column) for column in columns)
    lines = []
    for index in range(height):
        parts = [
            (column[index] if index < len(column) else "").ljust(width)
            for column, width in zip(columns, _WIDTHS, strict=True)
        ]
        lines.append("  ".join(parts).rstrip())
    return "\n".join(lines)
