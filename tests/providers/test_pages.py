"""What holds for the page of every provider."""

from __future__ import annotations

import re

import pytest

from tests.providers.desk import PAGES, RESOURCE, configurations, load_configuration, page_text

PROVIDERS = sorted(page.stem for page in PAGES.glob("*.md") if page.stem != "README")


def test_the_table_has_every_page_once_and_no_other() -> None:
    rows = re.findall(r"^\| \[.*?\]\((.*?)\.md\) \|", page_text("README"), re.MULTILINE)
    assert sorted(rows) == PROVIDERS
    assert len(PROVIDERS) == 17


@pytest.mark.parametrize("page", PROVIDERS)
def test_a_page_tells_what_to_set_what_comes_and_what_goes_wrong(page: str) -> None:
    text = page_text(page)
    for heading in ("## At ", "## The token", "## MCP clients", "## When it is refused"):
        assert heading in text
    assert text.count("\nrefused: ") >= 2


@pytest.mark.parametrize(
    ("page", "number"),
    [(page, number) for page in PROVIDERS for number in range(len(configurations(page)))],
)
def test_a_configuration_is_accepted_without_a_warning(page: str, number: int) -> None:
    loaded = load_configuration(configurations(page)[number])
    assert loaded.warnings == ()
    assert [server.resource for server in loaded.settings.servers] == [RESOURCE]
