"""What ``--help`` tells: the options of the command at hand, and the settings in one place."""

from __future__ import annotations

import argparse
import importlib
from typing import Any, get_args

import pytest

from extauthz.cli import main
from extauthz.config import names
from extauthz.core import explain
from extauthz.doctor.examine import Part
from extauthz.generate import envoy

FLAGS = {"--" + name.replace(".", "-").replace("_", "-") for name in names.SETTINGS}
POINTER = "Every setting is a flag too: see `extauthz serve --help`."


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[str, str]:
    """What is printed on standard output and error before the command line is left."""
    with pytest.raises(SystemExit):
        main(arguments)
    printed = capsys.readouterr()
    return printed.out, printed.err


def words(text: str) -> set[str]:
    return set(text.replace("[", " ").split())


@pytest.mark.parametrize("command", ["validate", "explain", "replay", "generate", "doctor"])
def test_the_flags_of_settings_do_not_bury_the_options_of_a_command(
    capsys: pytest.CaptureFixture[str], command: str
) -> None:
    help_, _ = told(capsys, command, "--help")
    assert not FLAGS & words(help_)
    assert {"--config"} <= words(help_)
    assert POINTER in help_
    assert "settings:" not in help_


def test_serve_lists_every_setting_after_one_line_of_usage(
    capsys: pytest.CaptureFixture[str],
) -> None:
    help_, _ = told(capsys, "serve", "--help")
    assert help_.startswith("usage: extauthz serve [options]\n\n")
    assert words(help_) >= FLAGS
    assert POINTER not in help_


def test_a_choice_that_is_none_is_told_without_the_settings(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, error = told(capsys, "generate", "foo")
    assert "invalid choice: 'foo'" in error
    assert not FLAGS & words(error)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("validate", "r.yaml"), "r.yaml; give the file as --config r.yaml"),
        (("serve", "r.yml"), "r.yml; give the file as --config r.yml"),
        (("generate", "nginx", "r.yaml"), "r.yaml; give the file as --config r.yaml"),
        (("validate", "--config", "r.yaml", "s.yaml"), "s.yaml"),
        (("validate", "--r.yaml"), "--r.yaml"),
        (("validate", "--confg", "r.yaml"), "--confg r.yaml; did you mean --config?"),
        (("serve", "--confg=x"), "--confg=x; did you mean --config?"),
        (("serve", "x", "-Config", "y"), "x -Config y; did you mean --config?"),
        (("serve", "--listen-gprc", "x"), "--listen-gprc x; did you mean --listen-grpc?"),
        (("validate", "--listen-gprc", "x"), "--listen-gprc x; did you mean --listen-grpc?"),
        (("serve", "--listening-on", "x"), "--listening-on x"),
        (("serve", "-x"), "-x"),
        (("serve", ""), ""),
        (("version", "x"), "x"),
    ],
)
def test_what_a_command_does_not_know_is_told_with_its_usage(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    _, error = told(capsys, *arguments)
    command = arguments[0]
    assert error.startswith(f"usage: extauthz {command} ")
    assert error.splitlines()[-1].startswith(f"extauthz {command}")
    assert error.endswith(f": error: unrecognized arguments: {said}\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--confg", "version"), "--confg; options stand behind the command"),
        (("--config", "r.yaml", "validate"), "--config; options stand behind the command"),
        (("--config=r.yaml", "validate"), "--config=r.yaml; options stand behind the command"),
        (("--verison",), "--verison; did you mean --version?"),
        (("-v",), "-v; options stand behind the command"),
    ],
)
def test_an_option_before_the_command_is_told_with_the_usage_of_the_whole(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    _, error = told(capsys, *arguments)
    assert error.startswith("usage: extauthz [-h] [--version] COMMAND")
    assert error.endswith(f"extauthz: error: unrecognized arguments: {said}\n")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("srve", "'srve'; did you mean serve?"),
        ("Validate", "'Validate'; did you mean validate?"),
        ("help", "'help'; did you mean --help?"),
        ("start", "'start'; expected one of serve, validate, "),
        ("", "''; expected one of serve, validate, "),
    ],
)
def test_a_command_that_is_none_is_told_with_the_one_that_may_have_been_meant(
    capsys: pytest.CaptureFixture[str], command: str, said: str
) -> None:
    _, error = told(capsys, command, "--config", "x")
    assert f"extauthz: error: unknown command {said}" in error


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--vers",), "extauthz "),
        (("--version",), "extauthz "),
        (("--version", "anything"), "extauthz "),
        (("-h", "srve"), "usage: extauthz "),
    ],
)
def test_what_the_whole_knows_is_no_mistake(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(said)


@pytest.mark.parametrize(
    ("proxy", "said"),
    [
        ("ngnix", "'ngnix'; did you mean nginx?"),
        ("envoy-htpp", "'envoy-htpp'; did you mean envoy-http?"),
        ("apache", "'apache'; expected one of envoy, envoy-http, nginx, "),
    ],
)
def test_a_proxy_that_is_none_is_told_with_the_one_that_may_have_been_meant(
    capsys: pytest.CaptureFixture[str], proxy: str, said: str
) -> None:
    _, error = told(capsys, "generate", proxy)
    assert f"argument PROXY: invalid choice: {said}" in error


@pytest.mark.parametrize(
    ("command", "option", "known"),
    [
        ("doctor", "--only", Part),
        ("generate", "--calls", envoy.Calls),
        ("explain", "--calls", explain.Calls),
    ],
)
def test_what_can_be_chosen_is_what_there_is(command: str, option: str, known: Any) -> None:
    """A command does not import what it may not need, and so says it itself."""
    parser = argparse.ArgumentParser()
    importlib.import_module(f"extauthz.cli.{command}").add_options(parser)
    (found,) = (action for action in parser._actions if option in action.option_strings)
    assert found.choices == get_args(known)
