"""The shipped proxy files are what they say they are, and the real proxies take them."""

from __future__ import annotations

import copy
import importlib
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from envoy_data_plane.envoy.config.bootstrap.v3 import Bootstrap

from extauthz.core.policy import IDENTITY_HEADERS
from tests.e2e.processes import REPOSITORY, envoy_path, nginx_path, required

ENVOY_FILES = sorted((REPOSITORY / "envoy").glob("envoy*.yaml"))


def _parsed(text: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.load(text, yaml.CSafeLoader)  # noqa: TID251
    return document


def _document(file: Path) -> dict[str, Any]:
    return _parsed(file.read_text())


def _connection_manager(document: dict[str, Any]) -> Any:
    listener = document["static_resources"]["listeners"][0]
    return listener["filter_chains"][0]["filters"][0]["typed_config"]


def _filters(document: dict[str, Any]) -> dict[str, Any]:
    filters = _connection_manager(document)["http_filters"]
    return {each["name"]: each["typed_config"] for each in filters}


def _ext_authz(document: dict[str, Any]) -> Any:
    return _filters(document)["envoy.filters.http.ext_authz"]


def _ids(file: Path) -> str:
    return file.name


@pytest.mark.e2e
@pytest.mark.parametrize("file", ENVOY_FILES, ids=_ids)
def test_envoy_accepts_the_file(file: Path) -> None:
    command: list[str | Path] = [envoy_path(), "--mode", "validate", "-c", file]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in done.stderr.lower()


@pytest.mark.parametrize("file", ENVOY_FILES, ids=_ids)
def test_every_field_is_one_of_the_envoy_api(file: Path) -> None:
    """A second reader of the API, which refuses unknown fields inside typed_config too."""
    text = file.read_text()
    for package in re.findall(r'"@type": type.googleapis.com/([a-z0-9_.]+)\.', text):
        importlib.import_module(f"envoy_data_plane.{package}")
    Bootstrap.from_dict(_parsed(text))


@pytest.mark.e2e
def test_nginx_accepts_the_files(tmp_path: Path) -> None:
    config = REPOSITORY / "nginx" / "nginx.conf"
    command: list[str | Path] = [nginx_path(), "-t", "-e", "stderr", "-p", tmp_path, "-c", config]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    assert "[warn]" not in done.stderr


@pytest.mark.parametrize("file", ENVOY_FILES, ids=_ids)
def test_ext_authz_fails_closed_with_room_for_a_wait_for_keys(file: Path) -> None:
    """No failure lets a request pass; the timeouts exceed the 250 ms of contract section 9.

    Envoy takes the longest back-off of a gRPC service for the time limit of each try.
    """
    ext_authz = _ext_authz(_document(file))
    service = ext_authz.get("grpc_service") or ext_authz["http_service"]["server_uri"]
    assert ext_authz["failure_mode_allow"] is False
    assert ext_authz["status_on_error"] == {"code": "ServiceUnavailable"}
    assert ext_authz["validate_mutations"] is True
    assert service["timeout"] == "1s"
    if "retry_policy" in service:
        assert service["retry_policy"]["retry_back_off"]["max_interval"] == "0.5s"
    assert "clear_route_cache" not in ext_authz


@pytest.mark.parametrize("file", ENVOY_FILES, ids=_ids)
def test_streams_may_last(file: Path) -> None:
    """Envoy would end a response after 15 s and a silent one after 5 min."""
    (virtual_host,) = _connection_manager(_document(file))["route_config"]["virtual_hosts"]
    servers = [each["route"] for each in virtual_host["routes"] if "idle_timeout" in str(each)]
    assert {route["cluster"] for route in servers} == {"calculator", "notes"}
    for route in servers:
        assert (route["timeout"], route["idle_timeout"]) == ("0s", "0s")


@pytest.mark.parametrize("file", ENVOY_FILES, ids=_ids)
def test_the_file_ends_with_a_404_that_extauthz_is_asked_about(file: Path) -> None:
    """Envoy asks only where a route matches, and documents are answered in the reply."""
    (virtual_host,) = _connection_manager(_document(file))["route_config"]["virtual_hosts"]
    last = virtual_host["routes"][-1]
    overrides = last.get("typed_per_filter_config", {})
    assert last["match"] == {"prefix": "/"}
    assert last["direct_response"] == {"status": 404}
    assert "envoy.filters.http.ext_authz" not in overrides


def test_the_body_file_differs_in_the_body_alone() -> None:
    plain = _document(REPOSITORY / "envoy" / "envoy.yaml")
    body = _document(REPOSITORY / "envoy" / "envoy-body.yaml")
    assert _ext_authz(body).pop("with_request_body") == {
        "max_request_bytes": 1 << 20,
        "allow_partial_message": False,
        "pack_as_bytes": True,
    }
    assert body == plain


def test_the_mcp_file_differs_from_the_body_file_in_the_mcp_filter_alone() -> None:
    mcp = _document(REPOSITORY / "envoy" / "envoy-mcp.yaml")
    body = _document(REPOSITORY / "envoy" / "envoy-body.yaml")
    name = "envoy.filters.http.mcp"
    assert next(iter(_filters(mcp))) == name, "the MCP filter must stand ahead of ext_authz"
    assert _ext_authz(mcp).pop("metadata_context_namespaces") == [name]
    manager = _connection_manager(mcp)
    del manager["http_filters"][0]
    (virtual_host,) = manager["route_config"]["virtual_hosts"]
    by_name = {route["name"]: route for route in virtual_host["routes"]}
    for route in virtual_host["routes"]:
        override = route.get("typed_per_filter_config", {}).pop(name, None)
        exempt = route["name"].endswith("_options") or route["name"] == "everything_else"
        assert (override is not None) == exempt, route["name"]
        assert override is None or override["traffic_mode"] == "PASS_THROUGH"
        if route["name"].endswith("_options"):
            twin = copy.deepcopy(by_name[route["name"].removesuffix("_options")])
            assert route["match"].pop("headers")[0]["string_match"] == {"exact": "OPTIONS"}
            assert {**route, "name": twin["name"]} == twin
    routes = [each for each in virtual_host["routes"] if not each["name"].endswith("_options")]
    assert routes[-1].pop("typed_per_filter_config") == {}
    virtual_host["routes"] = routes
    assert mcp == body


def test_nginx_overwrites_every_identity_header() -> None:
    """A name that were missing here would reach the MCP server as the client wrote it."""
    text = (REPOSITORY / "nginx" / "extauthz-location.conf").read_text()
    words = [line.split() for line in text.splitlines()]
    written = {line[1].lower(): line[2] for line in words if line[:1] == ["proxy_set_header"]}
    taken = {line[1]: line[2] for line in words if line[:1] == ["auth_request_set"]}
    for header in IDENTITY_HEADERS:
        variable = written[header].rstrip(";")
        assert taken[variable] == f"$upstream_http_{header.replace('-', '_')};"


def test_a_missing_proxy_is_an_error_in_ci_and_a_skip_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing is left untested in silence."""
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="NOT TESTED: there is no no-such-proxy"):
        required("no-such-proxy", "install it")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no-such-proxy is missing"):
        required("no-such-proxy", "install it")
