"""What a running service writes of its decisions."""

from __future__ import annotations

import time
from typing import Any

from tests.service.conftest import Running, until
from tests.tokens import mint


def test_each_question_that_comes_again_has_a_line_of_its_own(service: Running) -> None:
    asked = {
        "x_original_uri": "/notes/mcp",
        "x_original_method": "POST",
        "x_original_host": "mcp.example.com",
        "authorization": f"Bearer {mint({}, now=time.time())}",
    }
    for number in range(20):
        answer = service.ask("http", "/auth/nginx", **asked, x_request_id=f"request-{number}")
        assert answer[0] == 200
    until(lambda: len(decisions(service)) == 20)
    lines = decisions(service)
    assert [line["request_id"] for line in lines] == [f"request-{number}" for number in range(20)]
    assert {(line["subject"], line["path"]) for line in lines} == {("alice", "/notes/mcp")}
    assert [line["ts"] for line in lines] == sorted(line["ts"] for line in lines)


def decisions(service: Running) -> list[dict[str, Any]]:
    return [line for line in service.lines() if line.get("event") == "decision"]
