"""The page for newcomers: every proxy that is a program of its own, and a request that opens."""

from __future__ import annotations

import json
import re
from pathlib import Path

from extauthz.cli.generate import PROXIES

PAGE = (Path(__file__).parents[2] / "docs/guides/first-server.md").read_text()
NOT_STARTED_HERE = {"envoy-http", "envoy-gateway", "istio"}


def test_every_proxy_has_a_line_that_writes_its_files_where_its_start_looks_for_them() -> None:
    rows = re.findall(
        r"^\| \[\w+\]\(\.\./proxies/(\w+)\.md\) \| `(.+?)` \| (.+?) \|", PAGE, re.MULTILINE
    )
    assert {proxy for proxy, _, _ in rows} == {*PROXIES} - NOT_STARTED_HERE
    for proxy, written, started in rows:
        assert written == f"extauthz generate {proxy} --output {proxy}/"
        assert f"{proxy}/" in started or f"cd {proxy} " in started or started == "as above"


def test_the_request_that_proves_access_is_the_first_of_every_session() -> None:
    (body,) = re.findall(r"-d '(\{.*\})'", PAGE)
    message = json.loads(body)
    assert message["method"] == "initialize"
    assert set(message["params"]) == {"protocolVersion", "capabilities", "clientInfo"}
