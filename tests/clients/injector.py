"""A reverse proxy that adds a token to every request, for programs that know of none.

    python injector.py TOKEN_FILE TARGET_PORT PORT

Everything else passes as it came: paths, Host, Origin, bodies and streams.
"""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path


async def serve(token: str, target: int, port: int) -> None:
    # One request a connection, so that each one's head is seen.
    added = f"Authorization: Bearer {token}\r\nConnection: close\r\n\r\n".encode()

    async def inject(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = re.sub(rb"(?im)^connection:.*\r\n", b"", await reader.readuntil(b"\r\n\r\n"))
        upstream_reader, upstream = await asyncio.open_connection("127.0.0.1", target)
        upstream.write(head.removesuffix(b"\r\n") + added)
        upload = asyncio.create_task(pipe(reader, upstream))
        await pipe(upstream_reader, writer)
        upload.cancel()
        upstream.close()
        writer.close()

    async with await asyncio.start_server(inject, "localhost", port) as server:
        await server.serve_forever()


async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        return


if __name__ == "__main__":
    file, *ports = sys.argv[1:]
    asyncio.run(serve(Path(file).read_text(), *map(int, ports)))
