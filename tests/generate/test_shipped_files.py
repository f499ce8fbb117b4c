"""The shipped files are what `extauthz generate` writes: for Envoy, nginx and two gateways."""

from __future__ import annotations

from pathlib import Path

import pytest

from extauthz.cli import main
from tests.e2e.processes import REPOSITORY

ENVOY, NGINX = REPOSITORY / "envoy", REPOSITORY / "nginx"
GATEWAYS = REPOSITORY / "deploy" / "kubernetes" / "examples"
INVOCATIONS = {
    "envoy.yaml": (ENVOY, ["envoy", "--calls", "none"]),
    "envoy-mcp.yaml": (ENVOY, ["envoy", "--calls", "mcp"]),
    "envoy-body.yaml": (ENVOY, ["envoy", "--calls", "body"]),
    "envoy-http.yaml": (ENVOY, ["envoy-http"]),
    "nginx.conf": (NGINX, ["nginx"]),
}


@pytest.mark.parametrize("name", INVOCATIONS)
def test_the_file_is_what_is_written(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder, words = INVOCATIONS[name]
    inventory = str(folder / "extauthz.yaml")
    assert main(["generate", *words, "--config", inventory, "--output", str(tmp_path)]) == 0
    assert "warning" not in capsys.readouterr().err
    written = {file.name: file.read_text() for file in tmp_path.iterdir()}
    assert name in written
    for file, text in written.items():
        assert (folder / file).read_text() == text, f"{inventory} says how to write {file} again"


@pytest.mark.parametrize(("folder", "ending"), [(ENVOY, "yaml"), (NGINX, "conf")])
def test_no_file_is_left_out(folder: Path, ending: str, tmp_path: Path) -> None:
    shipped = {file.name for file in folder.glob(f"*.{ending}")} - {"extauthz.yaml"}
    written = set()
    for where, words in INVOCATIONS.values():
        if where == folder:
            config = ["--config", str(folder / "extauthz.yaml"), "--output", str(tmp_path)]
            assert main(["generate", *words, *config]) == 0
            written |= {file.name for file in tmp_path.iterdir()}
    assert shipped == written


@pytest.mark.parametrize("folder", [ENVOY, NGINX], ids=["envoy", "nginx"])
def test_the_inventory_says_how_its_files_are_written(folder: Path) -> None:
    text = " ".join((folder / "extauthz.yaml").read_text().split())
    for where, words in INVOCATIONS.values():
        if where == folder:
            config = f"--config {folder.name}/extauthz.yaml --output {folder.name}"
            assert f"extauthz generate {' '.join(words)} {config}" in text


@pytest.mark.parametrize("name", ["envoy-gateway", "istio"])
def test_the_example_for_a_gateway_is_what_is_written(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its inventory says how, above; the one warning is where the certificate belongs."""
    monkeypatch.chdir(tmp_path)
    inventory = GATEWAYS / "extauthz.yaml"
    words = ["generate", name, "--config", str(inventory), "--namespace", "mcp"]
    assert main([*words, "--output", str(tmp_path)]) == 0
    (warning,) = capsys.readouterr().err.splitlines()
    assert "the Secret mcp-edge-tls" in warning
    written = {file.name: file.read_text() for file in tmp_path.iterdir()}
    assert f"{name}.yaml" in written
    for file, text in written.items():
        assert (GATEWAYS / file).read_text() == text, f"{inventory} says how to write {file} again"
    said = " ".join(inventory.read_text().replace("#", "").replace("\\", "").split())
    where = GATEWAYS.relative_to(REPOSITORY)
    config = f"--config {where}/extauthz.yaml --namespace mcp --output {where}"
    assert f"extauthz generate {name} {config}" in said
