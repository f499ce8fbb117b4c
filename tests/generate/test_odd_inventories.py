"""No value of a valid inventory breaks a written file: the real proxies take it, or we refuse."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from extauthz.config.load import Loaded
from extauthz.generate.artefacts import CannotWrite
from extauthz.generate.proxies import Choices, generate
from tests.generate import checkers
from tests.generate.envoy_gateway import translated
from tests.generate.inventories import HEADER_CHARS, odd_inventories

pytestmark = pytest.mark.e2e

few = settings(
    max_examples=12,
    # Each example runs a proxy: what fails is shown as it was found.
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.filter_too_much,
    ],
)


def fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    return folder


@few
@given(loaded=odd_inventories(), calls=st.sampled_from(["mcp", "body", "none"]))
def test_envoy_takes_whatever_is_valid(loaded: Loaded, calls, tmp_path: Path) -> None:
    artefact = generate("envoy", loaded, Choices(calls=calls))
    assert checkers.envoy(artefact, fresh(tmp_path / "envoy")) == ""


@few
@given(loaded=odd_inventories())
def test_envoy_over_http_takes_whatever_is_valid(loaded: Loaded, tmp_path: Path) -> None:
    artefact = generate("envoy-http", loaded, Choices())
    assert checkers.envoy(artefact, fresh(tmp_path / "envoy")) == ""


@settings(few, max_examples=20)
@given(loaded=odd_inventories(with_ports=False))
def test_envoy_gateway_takes_it_or_we_refuse(loaded: Loaded, tmp_path: Path) -> None:
    """And its Envoy takes what it makes of it."""
    try:
        artefact = generate("envoy-gateway", loaded, Choices())
    except CannotWrite:
        return
    document = translated(artefact, fresh(tmp_path / "objects"))
    assert checkers.envoy_document(document, fresh(tmp_path / "envoy")) == ""


@settings(few, max_examples=20)
@given(loaded=odd_inventories(with_ports=False, headers=HEADER_CHARS))
def test_nginx_takes_whatever_can_be_written(loaded: Loaded, tmp_path: Path) -> None:
    artefact = generate("nginx", loaded, Choices())
    assert checkers.nginx(artefact, fresh(tmp_path / "nginx")) == ""


@settings(few, max_examples=20)
@pytest.mark.parametrize("proxy", ["nginx", "caddy", "haproxy", "traefik"])
@given(loaded=odd_inventories())
def test_others_take_it_or_we_refuse(loaded: Loaded, proxy: str, tmp_path: Path) -> None:
    try:
        artefact = generate(proxy, loaded, Choices())
    except CannotWrite:
        return
    assert getattr(checkers, proxy)(artefact, fresh(tmp_path / proxy)) == ""
