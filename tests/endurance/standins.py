"""The MCP servers and the issuer of an endurance run, in a process of their own.

    python -m tests.endurance.standins FOLDER PORT

Every path that begins with ``/issuer/NAME/`` is answered with the key set in
``FOLDER/NAME.json``; everything else with the identity headers that arrived.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from extauthz.adapters.http_message import HttpRequest, HttpResponse
from extauthz.adapters.http_server import HttpServer
from extauthz.config.addresses import TcpAddress

_JSON = ((b"content-type", b"application/json"),)
_TOLD = ("x-auth-", "x-team", "authorization")


class StandIn:
    """Answers for all of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, request: HttpRequest) -> HttpResponse:
        path = request.target.split("?")[0]
        if path.startswith("/issuer/"):
            keys = (self._folder / f"{path.split('/')[2]}.json").read_bytes()
            return HttpResponse.make(200, _JSON, keys)
        seen = {name: text for name, text in request.headers.items() if name.startswith(_TOLD)}
        return HttpResponse.make(200, _JSON, json.dumps(seen).encode())


async def main(folder: Path, port: int) -> None:
    """Serve until the process is ended."""
    await HttpServer(StandIn(folder), TcpAddress("127.0.0.1", port)).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
