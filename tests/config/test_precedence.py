"""Flag, environment, file, default: in this order; and which file it is."""

from __future__ import annotations

import hashlib

import pytest

from extauthz.config import names
from extauthz.config.base import TlsSettings
from extauthz.config.model import Settings
from tests.config.desk import SERVERS, Desk

SAMPLES = {
    "listen.grpc": ("unix:/run/x", "unix:/run/x"),
    "listen.http": ("off", "None"),
    "listen.admin": ("[::1]:1", "[::1]:1"),
    "listen.grpc_transport": ("native", "native"),
    "listen.unix_mode": ("0660", "432"),
    "listen.trusted_proxies": ("10.0.0.0/8, ::1", "(IPv4Network('10.0.0.0/8'), IPv6Network("),
    "tokens.max_bytes": ("8KiB", "8192"),
    "tokens.cache_entries": ("0", "0"),
    "state_dir": ("17", "17"),
    "workers": ("2", "2"),
    "drain": ("1s", "1.0"),
    "log.level": ("error", "error"),
    "log.format": ("text", "text"),
    "log.allow_sample": ("0.5", "0.5"),
    "log.subject": ("off", "off"),
}


def value(settings: Settings, path: str) -> object:
    found: object = settings
    for part in path.split("."):
        found = getattr(found, part)
    return found


@pytest.mark.parametrize("setting", SAMPLES)
def test_every_setting_has_a_variable_and_a_flag(desk: Desk, setting: str) -> None:
    text, expected = SAMPLES[setting]
    by_variable = desk.load(SERVERS, environ={names.variable(setting): text}).settings
    by_flag = desk.load(SERVERS, flags={setting: text}).settings
    assert str(value(by_variable, setting)).startswith(expected)
    assert by_variable == by_flag


@pytest.mark.parametrize("door", ["grpc", "http"])
def test_tls_can_be_given_by_variables(desk: Desk, door: str) -> None:
    prefix = f"EXTAUTHZ_LISTEN_{door.upper()}_TLS_"
    environ = {prefix + name: name for name in ("CERT_FILE", "KEY_FILE", "CLIENT_CA_FILE")}
    tls = value(desk.load(SERVERS, environ=environ).settings, f"listen.{door}_tls")
    assert tls == TlsSettings(
        cert_file="CERT_FILE", key_file="KEY_FILE", client_ca_file="CLIENT_CA_FILE"
    )


def test_no_setting_outside_issuers_servers_and_edge_lacks_a_variable() -> None:
    def leaves(model: type[object], path: str = "") -> set[str]:
        found = set()
        for name, info in getattr(model, "model_fields", {}).items():
            inner = info.annotation
            if hasattr(inner, "model_fields"):
                found |= leaves(inner, f"{path}{name}.")
            else:
                found.add(path + name)
        return found

    without = {"version", "issuers", "servers"}
    settings = {leaf for leaf in leaves(Settings) if leaf.split(".")[0] not in {*without, "edge"}}
    assert settings == set(names.SETTINGS)
    tls = {name for name in names.SETTINGS if "_tls." in name}
    assert set(SAMPLES) | tls == set(names.SETTINGS)


def test_flag_beats_environment_beats_file_beats_default(desk: Desk) -> None:
    file, environ, flags = SERVERS + "workers: 2\n", {"EXTAUTHZ_WORKERS": "3"}, {"workers": "4"}
    assert desk.load(SERVERS).settings.workers == 1
    assert desk.load(file).settings.workers == 2
    assert desk.load(file, environ=environ).settings.workers == 3
    assert desk.load(file, environ=environ, flags=flags).settings.workers == 4


def test_variables_and_flags_work_without_a_file_too(desk: Desk) -> None:
    environ = {
        "OAUTH_ISSUER": "https://a.example",
        "OAUTH_AUDIENCE": "x",
        "EXTAUTHZ_WORKERS": "3",
        "EXTAUTHZ_DRAIN": "1s",
    }
    settings = desk.load(environ=environ, flags={"workers": "4"}).settings
    assert (settings.workers, settings.drain) == (4, 1.0)


def test_mistakes_in_variables_and_flags_name_them(desk: Desk) -> None:
    problems = desk.problems(
        SERVERS,
        environ={"EXTAUTHZ_DRAIN": "soon", "EXTAUTHZ_WORKERS": "9" * 50},
        flags={"listen.grpc_transport": "c"},
    )
    assert problems == [
        'command line: --listen-grpc-transport: found "c"; expected one of grpcio, native',
        f'environment: EXTAUTHZ_WORKERS: found "{"9" * 50}"; expected a whole number',
        (
            'environment: EXTAUTHZ_DRAIN: "soon" is not a duration; expected a duration such as '
            "500ms, 30s, 10m or 24h"
        ),
    ]


def test_what_a_variable_wins_over_must_be_good_all_the_same(desk: Desk) -> None:
    """Else it would come to light on the day when the variable goes."""
    text = SERVERS + "log: {level: loud}\nlisten: {trusted_proxies: [x], http: 5}\nworkers: *two\n"
    environ = {"EXTAUTHZ_LOG_LEVEL": "debug", "EXTAUTHZ_LISTEN_TRUSTED_PROXIES": "::1"}
    problems = desk.problems(text, environ={**environ, "EXTAUTHZ_WORKERS": "2"}, flags={})
    assert problems == desk.problems(text)
    assert len(problems) == 4
    assert problems[0].startswith("6:14: log.level: found")
    good = SERVERS + "log: {level: info}\nlisten: {trusted_proxies: ['::1'], http: off}\n"
    desk.load(good, environ=environ, flags={"listen.http": "127.0.0.1:1"})


def test_what_a_variable_asks_for_is_asked_of_it_and_not_of_the_file(desk: Desk) -> None:
    name = "EXTAUTHZ_LISTEN_HTTP_TLS_CERT_FILE"
    assert desk.problems(SERVERS, environ={name: "a"}) == [
        (
            f"environment: {name}: listen.http_tls.key_file is missing; expected the key of "
            "cert_file (variable EXTAUTHZ_LISTEN_HTTP_TLS_KEY_FILE)"
        )
    ]
    flag = "listen.http_tls.cert_file"
    (problem,) = desk.problems(SERVERS, flags={flag: "a"})
    assert problem.startswith("command line: --listen-http-tls-cert-file: listen.http_tls.key_file")


def test_a_variable_stands_in_for_what_is_no_value_in_the_file(desk: Desk) -> None:
    text = SERVERS + "workers: *two\n"
    assert len(desk.problems(text)) == 1
    assert len(desk.problems(text, environ={"EXTAUTHZ_WORKERS": "many"})) == 2


def test_a_setting_that_has_no_flag_is_a_mistake_of_the_program(desk: Desk) -> None:
    with pytest.raises(KeyError):
        desk.load(SERVERS, flags={"version": "1"})


def test_a_variable_does_not_hide_that_its_holder_is_no_mapping(desk: Desk) -> None:
    assert desk.problems(SERVERS + "log: 1\n", environ={"EXTAUTHZ_LOG_LEVEL": "info"}) == [
        "6:6: log: found the number 1; expected a mapping of keys to values"
    ]


@pytest.mark.parametrize(
    "name",
    [
        "EXTAUTHZ_PORT",
        "EXTAUTHZ_PORT_9191_TCP_ADDR",
        "EXTAUTHZ_SERVICE_HOST",
        "EXTAUTHZ_SERVICE_PORT_GRPC",
        "EXTAUTHZ_CANARY_PORT_9191_TCP",
        "EXTAUTHZ_CANARY_SERVICE_HOST",
    ],
)
def test_what_kubernetes_injects_is_passed_over(desk: Desk, name: str) -> None:
    desk.load(SERVERS, environ={name: "tcp://10.0.0.1:9191"})


def test_other_unknown_variables_are_mistakes(desk: Desk) -> None:
    environ = {"EXTAUTHZ_LOG_LEVL": "x", "EXTAUTHZ_FOO": "secret", "EXTAUTHZ": "x"}
    assert desk.problems(SERVERS, environ=environ) == [
        "environment: EXTAUTHZ_LOG_LEVL: unknown variable; expected EXTAUTHZ_LOG_LEVEL?",
        "environment: EXTAUTHZ_FOO: unknown variable; expected a setting's path in upper case",
    ]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("EXTAUTHZ_HOST", "HOST, without the prefix"),
        ("EXTAUTHZ_OAUTH_ISSUER", "OAUTH_ISSUER, without the prefix"),
        ("EXTAUTHZ_OAUTH_ISUER", "OAUTH_ISSUER?"),
        ("EXTAUTHZ_POT", "PORT?"),
        ("EXTAUTHZ_RESOURCES", "EXTAUTHZ_RESOURCE?"),
        ("EXTAUTHZ_WORKER", "EXTAUTHZ_WORKERS?"),
        ("EXTAUTHZ_log_level", "EXTAUTHZ_LOG_LEVEL?"),
    ],
)
def test_what_is_suggested_instead_is_a_name_that_is_read(
    desk: Desk, name: str, meant: str
) -> None:
    assert desk.problems(SERVERS, environ={name: "x"}) == [
        f"environment: {name}: unknown variable; expected {meant}"
    ]


def test_where_the_file_is_looked_for(desk: Desk) -> None:
    places = ["/etc/extauthz/extauthz.yaml", "./extauthz.yaml", "by-variable", "by-flag"]
    environ: dict[str, str] = {}
    config = None
    for count, place in enumerate(places, start=1):
        desk.files[place] = SERVERS + f"workers: {count}\n"
        if place == "by-variable":
            environ = {"EXTAUTHZ_CONFIG": place}
        if place == "by-flag":
            config = place
        loaded = desk.load(environ=environ, config=config)
        assert (loaded.source, loaded.settings.workers) == (place, count)


@pytest.mark.parametrize(
    ("config", "environ", "problem"),
    [
        ("x", {}, "x: cannot be read: No such file or directory; expected a readable file"),
        (
            None,
            {"EXTAUTHZ_CONFIG": "x"},
            (
                "x: cannot be read: No such file or directory (named by EXTAUTHZ_CONFIG); expected "
                "a readable file"
            ),
        ),
    ],
)
def test_a_named_file_must_be_there(
    desk: Desk, config: str | None, environ: dict[str, str], problem: str
) -> None:
    desk.files["./extauthz.yaml"] = SERVERS
    assert desk.problems(config=config, environ=environ) == [problem]


def test_an_empty_path_is_a_mistake_and_an_empty_variable_is_none(desk: Desk) -> None:
    desk.files["./extauthz.yaml"] = SERVERS
    assert desk.problems(config="") == [
        "command line: --config: is empty; expected the path of a file"
    ]
    assert desk.load(environ={"EXTAUTHZ_CONFIG": ""}).source == "./extauthz.yaml"


def test_a_file_that_cannot_be_read_is_not_passed_over(desk: Desk) -> None:
    desk.files["./extauthz.yaml"] = PermissionError(13, "Permission denied")
    desk.files["/etc/extauthz/extauthz.yaml"] = SERVERS
    assert desk.problems() == [" cannot be read: Permission denied; expected a readable file"]


def test_the_digest_is_that_of_the_file(desk: Desk) -> None:
    assert desk.load(SERVERS).digest == hashlib.sha256(SERVERS.encode()).hexdigest()
