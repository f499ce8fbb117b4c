"""What deploy/README.md shows beside Kubernetes is what the service and Prometheus take."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest

from extauthz.config.load import load
from tests.deploy.manifests import ROOT, objects
from tests.e2e.processes import required

README = (ROOT / "deploy/README.md").read_text()
NGINX = (ROOT / "docs/proxies/nginx.md").read_text()


def shown(language: str, beginning: str, page: str = README) -> str:
    """The one block in that language that begins so."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    (found,) = [block for block in blocks if block.startswith(beginning)]
    return str(found)


def compose() -> Any:
    (document,) = objects(shown("yaml", "services:"))
    return document


def test_the_container_is_reached_from_outside_and_trusts_its_network_alone() -> None:
    document = compose()
    environment = document["services"]["extauthz"]["environment"]
    file = (ROOT / "deploy/kubernetes/base/extauthz.yaml").read_bytes()
    listen = load("extauthz.yaml", environ=environment, read=lambda _: file).settings.listen
    assert {str(listen.grpc), str(listen.http), str(listen.admin)} == {
        "0.0.0.0:9191",
        "0.0.0.0:8080",
        "0.0.0.0:9090",
    }
    (network,) = document["networks"]["default"]["ipam"]["config"]
    assert [str(one) for one in listen.trusted_proxies] == [network["subnet"]]


def test_no_port_of_the_container_is_public() -> None:
    for port in compose()["services"]["extauthz"]["ports"]:
        assert port.startswith("127.0.0.1:")


def unit(page: str = README) -> ConfigParser:
    parser = ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(shown("ini", "[Unit]", page))
    return parser


def test_systemd_waits_longer_than_a_shutdown_lasts() -> None:
    assert int(unit()["Service"]["TimeoutStopSec"]) > 10


def test_systemd_leaves_the_end_of_workers_to_their_supervisor() -> None:
    """As a reload, which goes to that process alone."""
    assert unit()["Service"]["KillMode"] == "mixed"
    assert unit()["Service"]["ExecReload"].endswith(" $MAINPID")


def test_nginx_as_a_service_has_a_standard_output_that_it_can_open(tmp_path: Path) -> None:
    """What systemd gives it otherwise is a socket."""
    service = unit(NGINX)["Service"]
    nginx = required("nginx", "apt-get install nginx-light")
    way, _, log = service["StandardOutput"].partition(":")
    assert (way, log[0]) == ("append", "/")
    command = service["ExecStart"].replace("/etc/edge", str(ROOT / "nginx"))
    words = [nginx, "-t", *command.replace("/var/lib/edge", str(tmp_path)).split()[1:]]
    with (tmp_path / "edge.log").open("ab") as file:
        assert subprocess.run(words, stdout=file, check=False).returncode == 0
    ours, theirs = socket.socketpair()
    with ours, theirs:
        told = subprocess.run(
            words, stdout=theirs.fileno(), stderr=subprocess.PIPE, text=True, check=False
        )
    (complaint,) = re.findall(r"`(open\(\).*?)`", NGINX, re.DOTALL)
    assert complaint.replace("\n", " ") in told.stderr


@pytest.mark.parametrize("page", [README, NGINX], ids=["extauthz", "nginx"])
def test_systemd_takes_the_unit(tmp_path: Path, page: str) -> None:
    checker = shutil.which("systemd-analyze")
    if checker is None:
        pytest.skip("NOT TESTED: there is no systemd-analyze here")
    command = unit(page)["Service"]["ExecStart"].split()[0]
    file = tmp_path / "edge.service"
    # It looks whether the program is there.
    file.write_text(shown("ini", "[Unit]", page).replace(command, "/bin/true"))
    told = subprocess.run([checker, "verify", file], capture_output=True, text=True, check=False)
    assert (told.returncode, told.stderr) == (0, "")


def test_prometheus_takes_what_it_is_shown(tmp_path: Path) -> None:
    checker = required("promtool", "apt-get install prometheus")
    shutil.copy(ROOT / "deploy/prometheus/alerts.yaml", tmp_path)
    file = tmp_path / "prometheus.yml"
    file.write_text(shown("yaml", "rule_files:"))
    told = subprocess.run(
        [checker, "check", "config", file], capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stderr
