"""Without a file: every row of the contract's table, by every accepted name."""

from __future__ import annotations

import pytest

from extauthz.config.addresses import TcpAddress
from extauthz.config.compile import compile_policy
from extauthz.config.environment import EnvironmentMode
from extauthz.config.load import Loaded
from extauthz.core.policy import HostPattern, Server
from tests.config.desk import SERVERS, Desk

ISSUER = "https://idp.example.com/realms/acme"
RESOURCE = "https://mcp.example.com/mcp"
LEAST = {"OAUTH_ISSUER": ISSUER, "OAUTH_AUDIENCE": RESOURCE}


def mode(loaded: Loaded) -> EnvironmentMode:
    assert loaded.environment is not None
    return loaded.environment


def server(loaded: Loaded) -> Server:
    (found,) = compile_policy(loaded).servers
    return found


def test_issuer_and_audience_are_enough(desk: Desk) -> None:
    loaded = desk.load(environ=LEAST)
    assert loaded.source is None
    found = server(loaded)
    assert found.hosts == (HostPattern("*"),)
    assert found.paths == ("",)
    assert found.resource == RESOURCE
    assert found.name == "mcp.example.com/mcp"
    assert found.audiences == frozenset({RESOURCE})
    assert found.origins == frozenset({"https://mcp.example.com"})
    assert [issuer.name for issuer in found.issuers] == ["idp.example.com/realms/acme"]


@pytest.mark.parametrize("name", ["OAUTH_ISSUER", "OAUTH_ISSUER_URL", "OAUTH2_ISSUER"])
@pytest.mark.parametrize("issuer", [ISSUER, ISSUER + "/"])
def test_issuer_by_every_name_with_and_without_final_slash(
    desk: Desk, name: str, issuer: str
) -> None:
    environ = {name: issuer, "OAUTH_AUDIENCE": RESOURCE}
    loaded = desk.load(environ=environ)
    (found,) = compile_policy(loaded).issuers
    assert found.issuer == found.advertised == issuer
    assert found.accepted == {ISSUER, ISSUER + "/"}
    (warning,) = loaded.warnings
    assert str(warning).startswith(f'environment: {name}: tokens of "{issuer}" and of "')


@pytest.mark.parametrize("name", ["OAUTH_AUDIENCE", "OAUTH2_AUDIENCE"])
def test_audience_by_every_name(desk: Desk, name: str) -> None:
    loaded = desk.load(environ={"OAUTH_ISSUER": ISSUER, name: "api://default"})
    assert server(loaded).audiences == frozenset({"api://default"})


@pytest.mark.parametrize("name", ["OAUTH_JWKS_URL", "OAUTH_JWKS_URI"])
def test_key_url_by_every_name(desk: Desk, name: str) -> None:
    loaded = desk.load(environ={**LEAST, name: "https://idp.example.com/keys"})
    assert loaded.settings.issuers[0].jwks_uri == "https://idp.example.com/keys"


def test_metadata_url(desk: Desk) -> None:
    loaded = desk.load(environ={**LEAST, "OAUTH_WELL_KNOWN_URL": "https://idp.example.com/w?a=b"})
    assert mode(loaded).metadata_url == "https://idp.example.com/w?a=b"


def test_a_registered_client_is_shown_and_not_required(desk: Desk) -> None:
    loaded = desk.load(environ={**LEAST, "OAUTH2_CLIENT_ID": "me"})
    assert mode(loaded).registered_client_id == "me"
    assert server(loaded).allowed_clients is None


def test_allowed_clients_are_separated_by_commas(desk: Desk) -> None:
    loaded = desk.load(environ={**LEAST, "EXTAUTHZ_ALLOWED_CLIENTS": "a, b"})
    assert server(loaded).allowed_clients == frozenset({"a", "b"})


def test_the_resource_wins_over_the_audience(desk: Desk) -> None:
    loaded = desk.load(environ={**LEAST, "EXTAUTHZ_RESOURCE": "https://other.example/x"})
    assert server(loaded).resource == "https://other.example/x"
    assert server(loaded).audiences == frozenset({RESOURCE})


@pytest.mark.parametrize("audience", ["api://default", "account", "http://mcp.example.com/x"])
def test_no_resource_means_no_metadata_and_a_warning(desk: Desk, audience: str) -> None:
    loaded = desk.load(environ={**LEAST, "OAUTH_AUDIENCE": audience})
    assert server(loaded).resource is None
    assert server(loaded).name == "default"
    assert any("no resource metadata" in str(warning) for warning in loaded.warnings)


def test_why_an_audience_is_not_taken_for_the_public_url(desk: Desk) -> None:
    def said(audience: str) -> str:
        loaded = desk.load(environ={**LEAST, "OAUTH_AUDIENCE": audience})
        return next(str(one) for one in loaded.warnings if "no resource metadata" in str(one))

    assert said("http://mcp.example.com/x").endswith(
        'expected EXTAUTHZ_RESOURCE (OAUTH_AUDIENCE is none: "http://mcp.example.com/x" is plain '
        "http; expected the https URL that clients use, even where TLS ends before the proxy; http "
        "is for loopback only)"
    )
    assert "user name or password" in (told := said("https://me:hunter2@mcp.example.com/x"))
    assert "hunter2" not in told
    assert said("api://default").endswith("expected EXTAUTHZ_RESOURCE")
    assert server(desk.load(environ={**LEAST, "OAUTH_AUDIENCE": "http://localhost/x"})).resource


@pytest.mark.parametrize("audience", ["https://mcp.example.com", "https://mcp.example.com/"])
def test_an_audience_without_path_counts_with_and_without_slash(desk: Desk, audience: str) -> None:
    found = server(desk.load(environ={**LEAST, "OAUTH_AUDIENCE": audience}))
    assert found.resource == audience
    assert found.audiences == frozenset({"https://mcp.example.com", "https://mcp.example.com/"})


@pytest.mark.parametrize("seconds", ["1", "3600", "86400"])
def test_key_refresh_is_in_seconds(desk: Desk, seconds: str) -> None:
    loaded = desk.load(environ={**LEAST, "OAUTH2_JWKS_CACHE_TTL": seconds})
    assert loaded.settings.issuers[0].keys.refresh == int(seconds)


@pytest.mark.parametrize(
    ("environ", "address"),
    [
        ({}, TcpAddress("127.0.0.1", 8080)),
        ({"HOST": "10.1.2.3"}, TcpAddress("10.1.2.3", 8080)),
        ({"PORT": "3000"}, TcpAddress("127.0.0.1", 3000)),
        ({"HOST": "::", "PORT": "80"}, TcpAddress("::", 80)),
        ({"PORT": "80", "EXTAUTHZ_LISTEN_HTTP": "h:1"}, TcpAddress("h", 1)),
    ],
)
def test_http_listener(desk: Desk, environ: dict[str, str], address: TcpAddress) -> None:
    assert desk.load(environ={**LEAST, **environ}).settings.listen.http == address


def test_any_audience_must_be_said_out_loud(desk: Desk) -> None:
    only_issuer = {"OAUTH_ISSUER": ISSUER}
    assert desk.problems(environ=only_issuer) == [
        (
            "environment: OAUTH_AUDIENCE: missing; expected the audience of the tokens "
            "(EXTAUTHZ_ANY_AUDIENCE=true takes any, at your risk)"
        )
    ]
    said = {**only_issuer, "EXTAUTHZ_ANY_AUDIENCE": "false"}
    assert len(desk.problems(environ=said)) == 1
    loaded = desk.load(environ={**only_issuer, "EXTAUTHZ_ANY_AUDIENCE": "true"})
    assert server(loaded).audiences is None
    assert any("tokens for any audience are taken" in str(one) for one in loaded.warnings)


@pytest.mark.parametrize(
    ("environ", "problem"),
    [
        (
            {"OAUTH2_ISSUER": "https://other.example"},
            (
                "OAUTH2_ISSUER: differs from OAUTH_ISSUER, which means the same; expected only one "
                "of them"
            ),
        ),
        (
            {"OAUTH2_AUDIENCE": "x"},
            (
                "OAUTH2_AUDIENCE: differs from OAUTH_AUDIENCE, which means the same; expected only "
                "one of them"
            ),
        ),
        (
            {"OAUTH_JWKS_URL": "https://a/k", "OAUTH_JWKS_URI": "https://b/k"},
            (
                "OAUTH_JWKS_URI: differs from OAUTH_JWKS_URL, which means the same; expected only "
                "one of them"
            ),
        ),
        (
            {"EXTAUTHZ_ANY_AUDIENCE": "yes"},
            'EXTAUTHZ_ANY_AUDIENCE: "yes" is neither; expected true or false',
        ),
        (
            {"EXTAUTHZ_ANY_AUDIENCE": "true"},
            "EXTAUTHZ_ANY_AUDIENCE: contradicts OAUTH_AUDIENCE; expected one of them",
        ),
        (
            {"EXTAUTHZ_RESOURCE": "http://mcp.example.com"},
            (
                'EXTAUTHZ_RESOURCE: "http://mcp.example.com" is plain http; expected the https '
                "URL that clients use, even where TLS ends before the proxy; http is for loopback "
                "only"
            ),
        ),
        (
            {"EXTAUTHZ_ALLOWED_CLIENTS": "a,,b"},
            "EXTAUTHZ_ALLOWED_CLIENTS: an empty entry; expected client ids: a,b",
        ),
        (
            {"OAUTH_WELL_KNOWN_URL": "http://idp.example.com/x"},
            (
                "OAUTH_WELL_KNOWN_URL: plain http, whose answers anyone on the way can forge; "
                "expected https"
            ),
        ),
        (
            {"OAUTH2_JWKS_CACHE_TTL": "1h"},
            'OAUTH2_JWKS_CACHE_TTL: "1h" is not a time; expected whole seconds such as 600',
        ),
        (
            {"OAUTH2_JWKS_CACHE_TTL": "0"},
            "OAUTH2_JWKS_CACHE_TTL: 0 is out of range; expected 1 to 86400 seconds",
        ),
        (
            {"OAUTH2_JWKS_CACHE_TTL": "86401"},
            "OAUTH2_JWKS_CACHE_TTL: 86401 is out of range; expected 1 to 86400 seconds",
        ),
        ({"PORT": "http"}, 'PORT: "http" is not a port; expected a number up to 65535'),
        (
            {"HOST": "a b"},
            'HOST: "a b:8080" is not an address; expected host:port or unix:/path, or off',
        ),
        (
            {"OAUTH_ISSUER": "http://idp.example.com"},
            (
                'OAUTH_ISSUER: "http://idp.example.com" is plain http, whose answers anyone on the '
                "way can forge; expected https, or its host in allow_http_hosts of a configuration "
                "file"
            ),
        ),
        (
            {"OAUTH_ISSUER": "foo"},
            (
                'OAUTH_ISSUER: "foo" is no URL, so clients cannot be told where to log in; '
                "expected the https URL of the issuer, or a configuration file with "
                "advertised_issuer"
            ),
        ),
        (
            {"EXTAUTHZ_LISTEN_GRPC_TLS_KEY_FILE": "k"},
            (
                "EXTAUTHZ_LISTEN_GRPC_TLS_KEY_FILE: listen.grpc_tls.cert_file is missing; expected "
                "the certificate of key_file (variable EXTAUTHZ_LISTEN_GRPC_TLS_CERT_FILE)"
            ),
        ),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_mistakes_name_the_variable(desk: Desk, environ: dict[str, str], problem: str) -> None:
    assert desk.problems(environ={**LEAST, **environ}) == [f"environment: {problem}"]


def test_names_that_agree_are_fine(desk: Desk) -> None:
    desk.load(environ={**LEAST, "OAUTH2_ISSUER": ISSUER, "OAUTH2_AUDIENCE": RESOURCE})


def test_an_empty_variable_counts_as_not_set(desk: Desk) -> None:
    desk.load(environ={**LEAST, "OAUTH2_ISSUER": "", "EXTAUTHZ_NONSENSE": ""})
    assert len(desk.problems(environ={**LEAST, "OAUTH_AUDIENCE": ""})) == 1


def test_nothing_at_all_says_what_there_could_be(desk: Desk) -> None:
    (problem,) = desk.problems()
    for name in ("./extauthz.yaml", "/etc/extauthz/extauthz.yaml", "--config", "OAUTH_ISSUER"):
        assert name in problem


def test_dotenv_is_read_and_real_variables_win(desk: Desk) -> None:
    desk.files[".env"] = f"OAUTH_ISSUER={ISSUER}\nOAUTH_AUDIENCE=from-file\nPORT=1\n"
    loaded = desk.load(environ={"OAUTH_AUDIENCE": "real"})
    assert server(loaded).audiences == frozenset({"real"})
    assert loaded.settings.listen.http == TcpAddress("127.0.0.1", 1)


def test_settings_may_stand_in_dotenv_and_mistakes_name_its_line(desk: Desk) -> None:
    desk.files[".env"] = "# x\nEXTAUTHZ_WORKERS=3\nEXTAUTHZ_LOG_LEVEL=loud\nnonsense"
    assert desk.problems(environ=LEAST) == [
        '.env:3:20: EXTAUTHZ_LOG_LEVEL: found "loud"; expected one of debug, info, warning, error',
        ".env:4:1: expected NAME=value or a # comment",
    ]


def test_a_folder_called_dotenv_is_passed_over(desk: Desk) -> None:
    desk.files[".env"] = IsADirectoryError(21, "Is a directory")
    desk.load(environ=LEAST)


def test_dotenv_that_cannot_be_read_is_reported(desk: Desk) -> None:
    desk.files[".env"] = PermissionError(13, "Permission denied")
    assert desk.problems(environ=LEAST) == [
        ".env: cannot be read: Permission denied; expected a readable file, or none"
    ]


def test_dotenv_cannot_name_the_file(desk: Desk) -> None:
    desk.files[".env"] = "EXTAUTHZ_CONFIG=/x"
    assert desk.problems(environ=LEAST) == [
        (
            ".env:1:17: EXTAUTHZ_CONFIG: not read here; expected it in the real environment, or "
            "--config"
        )
    ]


def test_with_a_file_none_of_this_is_read_and_one_warning_says_so(desk: Desk) -> None:
    desk.files[".env"] = "OAUTH_ISSUER=nonsense\nEXTAUTHZ_WORKERS=7\n"
    environ = {"OAUTH_AUDIENCE": "x", "PORT": "1", "EXTAUTHZ_RESOURCE": "y"}
    loaded = desk.load(SERVERS, environ=environ)
    assert loaded.environment is None
    assert loaded.settings.workers == 1
    assert loaded.settings.listen.http == TcpAddress("127.0.0.1", 8080)
    assert [str(warning) for warning in loaded.warnings] == [
        (
            "environment: not read, since there is a configuration file: OAUTH_AUDIENCE, PORT, "
            "EXTAUTHZ_RESOURCE, .env"
        )
    ]


def test_the_digest_follows_what_was_said(desk: Desk) -> None:
    one = desk.load(environ=LEAST)
    same = desk.load(environ=dict(reversed(LEAST.items())))
    other = desk.load(environ={**LEAST, "EXTAUTHZ_ALLOWED_CLIENTS": "a"})
    assert one.digest == same.digest != other.digest
