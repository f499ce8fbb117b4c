"""What the pages of Envoy and nginx show to be added by hand is what `generate` would add."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import indent

import pytest

from extauthz.generate.proxies import Choices, generate
from tests.generate.inventories import inventory, loaded, server

PAGES = Path(__file__).parents[2] / "docs/proxies"
WEATHER = server(
    "weather", match={"hosts": ["*"], "paths": ["/weather"]}, upstream="http://127.0.0.1:8003"
)


def without_comments(text: str) -> str:
    return re.sub(r"\s+#.*$", "", text, flags=re.MULTILINE).rstrip()


@pytest.mark.parametrize(("page", "language"), [("envoy", "yaml"), ("nginx", "nginx")])
def test_a_server_by_hand_is_what_generate_adds(page: str, language: str) -> None:
    section = (PAGES / f"{page}.md").read_text().split("## Another server")[1].split("\n## ")[0]
    blocks = re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)
    assert len(blocks) > 1
    artefact = generate(page, loaded(inventory(WEATHER)), Choices())
    written = without_comments(artefact.files[0].text)
    for block in map(without_comments, blocks[:2]):
        first, second = map(re.escape, block.splitlines()[:2])
        (depth,) = re.findall(rf"^( *){first}\n\1{second}$", written, re.MULTILINE)
        assert indent(block, depth) in written
