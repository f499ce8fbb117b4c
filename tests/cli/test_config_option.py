"""``--config``: every command takes it, and an empty one is a mistake in the call."""

from __future__ import annotations

import argparse
import importlib

import pytest

from extauthz.cli import COMMANDS, main
from extauthz.cli.healthcheck import NotReadyError, admin_address

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize("command", ["serve", "validate", "generate envoy", "healthcheck"])
def test_an_empty_path_never_means_another_file(command: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*command.split(), "--config", ""])
    assert ended.value.code == 2
    assert "argument --config: found an empty path; expected the path" in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_takes_it(command: str) -> None:
    parser = argparse.ArgumentParser()
    importlib.import_module(f"extauthz.cli.{command}").add_options(parser)
    options = {each for action in parser._actions for each in action.option_strings}
    assert "--config" in options


@pytest.mark.parametrize("command", ["version", "schema"])
def test_what_needs_no_file_does_not_look_for_it(command: str, capsys: Capture) -> None:
    assert main([command, "--config", "nowhere"]) == 0
    assert capsys.readouterr().out


def test_healthcheck_never_takes_another_file_for_an_empty_path() -> None:
    def read(path: str) -> bytes:
        if path:
            return b"listen: {admin: 10.0.0.1:9000}"
        raise FileNotFoundError(2, "No such file or directory")

    with pytest.raises(NotReadyError, match="cannot read"):
        admin_address("", {}, read)
    assert admin_address(None, {"EXTAUTHZ_CONFIG": ""}, read) == "10.0.0.1:9000"
