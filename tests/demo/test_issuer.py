"""The local issuer speaks OAuth as a client and a resource server expect it."""

from __future__ import annotations

import base64
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import jwt
import pytest
import trustme

from extauthz.demo.issuer import Fault, Issuer, main
from extauthz.demo.minting import SigningKey

RESOURCE = "https://mcp.example.com/calculator/mcp"
SECRET = "s:e c%ret"


@pytest.fixture(scope="module")
def shared() -> Iterator[Issuer]:
    with Issuer(
        path="/realms/acme",
        clients={"demo": SECRET},
        scopes=["calculator.add", "notes.read"],
        resources=[RESOURCE, "https://mcp.example.com/notes/mcp"],
    ) as issuer:
        yield issuer


@pytest.fixture
def issuer(shared: Issuer) -> Iterator[Issuer]:
    shared.counts.clear()
    yield shared
    shared.faults.clear()


def ask(issuer: Issuer, secret: str = SECRET, **form: Any) -> httpx.Response:
    pair = f"demo:{quote(secret, safe='')}"
    headers = {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
    form = {"grant_type": "client_credentials", **form}
    return httpx.post(issuer.token_endpoint, data=form, headers=headers)


def published(issuer: Issuer) -> dict[str, jwt.PyJWK]:
    key_set = jwt.PyJWKSet.from_dict(httpx.get(issuer.jwks_uri).json())  # noqa: TID251
    return {key.key_id or "": key for key in key_set.keys}


def verified(issuer: Issuer, token: str, audience: str = RESOURCE) -> dict[str, Any]:
    key = published(issuer)[jwt.get_unverified_header(token)["kid"]]
    claims: dict[str, Any] = jwt.decode(token, key, audience=audience, issuer=issuer.url)
    return claims


@pytest.mark.parametrize(
    "place",
    [
        "/realms/acme/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server/realms/acme",
        "/.well-known/openid-configuration/realms/acme",
    ],
)
def test_metadata_stands_at_all_three_places_and_names_its_issuer(
    issuer: Issuer, place: str
) -> None:
    document = httpx.get(issuer.origin + place).json()
    assert document["issuer"] == issuer.url == f"http://127.0.0.1:{issuer.port}/realms/acme"
    assert document["jwks_uri"] == issuer.jwks_uri
    assert document["token_endpoint"] == issuer.token_endpoint
    assert issuer.counts["discovery"] == 1


def test_a_form_of_discovery_can_be_switched_off() -> None:
    with Issuer(algorithms=["ES256"]) as issuer:
        issuer.forms = {"oauth"}
        assert httpx.get(f"{issuer.url}/.well-known/openid-configuration").status_code == 404
        assert httpx.get(f"{issuer.url}/.well-known/oauth-authorization-server").status_code == 200


def test_metadata_can_be_changed_member_by_member() -> None:
    with Issuer(algorithms=["ES256"]) as issuer:
        issuer.metadata = {"jwks_uri": None, "service_documentation": "https://docs.example.com/"}
        document = httpx.get(f"{issuer.url}/.well-known/openid-configuration").json()
    assert "jwks_uri" not in document
    assert document["service_documentation"] == "https://docs.example.com/"


@pytest.mark.parametrize("alg", ["RS256", "ES256"])
def test_a_minted_token_verifies_with_the_published_keys(issuer: Issuer, alg: str) -> None:
    claims = verified(issuer, issuer.mint(alg=alg, aud=RESOURCE, scope="a b"))
    assert claims["scope"] == "a b"
    assert claims["exp"] - claims["iat"] == 300
    assert {"sub", "client_id", "jti"} <= claims.keys()


def test_minting_takes_any_claim_header_key_and_life(issuer: Issuer) -> None:
    stranger = SigningKey.generate("ES256")
    token = issuer.mint(key=stranger, ttl=-60, headers={"typ": "JWT"}, sub=None, aud=[1, None])
    assert jwt.get_unverified_header(token) == {"alg": "ES256", "kid": stranger.kid, "typ": "JWT"}
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == -60
    assert claims["aud"] == [1, None]
    assert "sub" not in claims


def test_minting_reads_the_clock_it_was_given() -> None:
    issuer = Issuer(algorithms=["ES256"], clock=lambda: 1_000.9)
    claims = jwt.decode(issuer.mint(ttl=5), options={"verify_signature": False})
    assert (claims["iat"], claims["exp"]) == (1000, 1005)


def test_an_algorithm_without_a_key_is_refused_with_the_ones_there_are(issuer: Issuer) -> None:
    with pytest.raises(ValueError, match="no key for 'PS256', only for RS256, ES256"):
        issuer.mint(alg="PS256")


def test_a_client_gets_an_rfc_9068_token_for_the_resource_it_names(issuer: Issuer) -> None:
    answer = ask(issuer, scope="calculator.add", resource=RESOURCE)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    granted = answer.json()
    assert (granted["token_type"], granted["expires_in"]) == ("Bearer", 300)
    assert jwt.get_unverified_header(granted["access_token"])["typ"] == "at+jwt"
    claims = verified(issuer, granted["access_token"])
    assert claims["sub"] == claims["client_id"] == "demo"
    assert claims["scope"] == "calculator.add"
    assert {"iss", "aud", "iat", "exp", "jti"} <= claims.keys()


def test_two_resources_become_an_array_of_audiences(issuer: Issuer) -> None:
    both = [RESOURCE, "https://mcp.example.com/notes/mcp"]
    token = ask(issuer, resource=both).json()["access_token"]
    assert verified(issuer, token)["aud"] == both


def test_without_a_resource_the_audience_is_the_issuers_default(issuer: Issuer) -> None:
    token = ask(issuer).json()["access_token"]
    assert verified(issuer, token, audience=issuer.url)["aud"] == issuer.url


def test_the_secret_may_come_in_the_form(issuer: Issuer) -> None:
    form = {"grant_type": "client_credentials", "client_id": "demo", "client_secret": SECRET}
    assert httpx.post(issuer.token_endpoint, data=form).status_code == 200


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"scope": "calculator.add admin"}, 400, "invalid_scope"),
        ({"resource": "https://mcp.example.com/other/mcp"}, 400, "invalid_target"),
        ({"client_secret": "twice"}, 400, "invalid_request"),
        ({"scope": ["calculator.add", "notes.read"]}, 400, "invalid_request"),
        ({"secret": "wrong"}, 401, "invalid_client"),
    ],
)
def test_what_may_not_be_had_is_refused_as_rfc_6749_says(
    issuer: Issuer, form: dict[str, Any], status: int, error: str
) -> None:
    answer = ask(issuer, **form)
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert ("www-authenticate" in answer.headers) == (status == 401)


@pytest.mark.parametrize("header", ["Basic", "Basic !!!", "Basic ZGVtbw==", "Bearer abc"])
def test_unreadable_client_credentials_are_refused(issuer: Issuer, header: str) -> None:
    form = {"grant_type": "client_credentials"}
    answer = httpx.post(issuer.token_endpoint, data=form, headers={"Authorization": header})
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


def test_an_overlong_body_is_refused(issuer: Issuer) -> None:
    assert httpx.post(issuer.token_endpoint, content=b"a" * 70_000).status_code == 413


def test_rotation_signs_with_new_keys_and_publishes_the_old_ones_once_more() -> None:
    with Issuer(algorithms=["ES256"]) as issuer:
        first, before = issuer.key("ES256").kid, issuer.mint(alg="ES256", aud=RESOURCE)
        answer = httpx.post(f"{issuer.url}/rotate")
        second = issuer.key("ES256").kid
        assert answer.json() == {"kids": [second]}
        assert second != first
        assert verified(issuer, before)
        assert verified(issuer, issuer.mint(alg="ES256", aud=RESOURCE))
        issuer.rotate()
        assert first not in published(issuer)
        issuer.rotate(keep_previous=False)
        assert list(published(issuer)) == [issuer.key("ES256").kid]


def test_key_fetches_are_counted_and_unchanged_keys_are_not_sent_again() -> None:
    with Issuer(algorithms=["ES256"]) as issuer:
        issuer.etag, issuer.cache_control = True, "max-age=60"
        first = httpx.get(issuer.jwks_uri)
        assert first.headers["cache-control"] == "max-age=60"
        condition = {"If-None-Match": first.headers["etag"]}
        assert httpx.get(issuer.jwks_uri, headers=condition).status_code == 304
        issuer.rotate()
        assert httpx.get(issuer.jwks_uri, headers=condition).status_code == 200
        assert issuer.counts == {"keys": 3, "not_modified": 1}


def test_a_stopped_issuer_refuses_connections_and_comes_back_with_its_keys() -> None:
    with Issuer(algorithms=["ES256"]) as issuer:
        kids = list(published(issuer))
        issuer.stop()
        with pytest.raises(httpx.ConnectError):
            httpx.get(issuer.jwks_uri)
        issuer.start()
        assert list(published(issuer)) == kids


def test_each_fault_looks_as_it_is_called(issuer: Issuer) -> None:
    issuer.faults["keys"] = Fault.ERROR
    assert httpx.get(issuer.jwks_uri).status_code == 500
    issuer.faults["keys"] = Fault.REDIRECT
    answer = httpx.get(issuer.jwks_uri)
    assert (answer.status_code, answer.headers["location"]) == (302, issuer.redirect_to)
    issuer.faults["keys"] = Fault.BIG
    answer = httpx.get(issuer.jwks_uri)
    assert len(answer.content) > issuer.big_bytes > 1024 * 1024
    assert "content-length" not in answer.headers
    issuer.faults["keys"] = Fault.GARBAGE
    assert httpx.get(issuer.jwks_uri).text.startswith("<html>")
    issuer.faults["keys"] = Fault.NO_KEYS
    assert httpx.get(issuer.jwks_uri).json() == {"keys": []}
    issuer.faults["keys"] = Fault.TRUNCATED
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(issuer.jwks_uri)
    issuer.faults["discovery"] = Fault.WRONG_ISSUER
    document = httpx.get(f"{issuer.url}/.well-known/openid-configuration").json()
    assert document["issuer"] != issuer.url
    assert issuer.counts["keys"] == 6


def test_a_slow_issuer_outlasts_its_client_and_still_stops_at_once() -> None:
    with Issuer(algorithms=["ES256"]) as issuer:
        issuer.faults["keys"] = Fault.SLOW
        with pytest.raises(httpx.ReadTimeout):
            httpx.get(issuer.jwks_uri, timeout=0.05)


def test_odd_keys_can_be_published_besides(issuer: Issuer) -> None:
    issuer.extra_jwks.append({"kty": "oct", "k": "AA"})
    try:
        assert httpx.get(issuer.jwks_uri).json()["keys"][-1] == {"kty": "oct", "k": "AA"}
    finally:
        issuer.extra_jwks.clear()


def test_an_issuer_can_speak_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    certificate.private_key_pem.write_to_path(key)
    certificate.cert_chain_pems[0].write_to_path(chain)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with Issuer(algorithms=["ES256"], tls=(chain, key)) as issuer:
        answer = httpx.get(f"{issuer.url}/.well-known/openid-configuration", verify=context)
    assert answer.json()["issuer"] == f"https://127.0.0.1:{issuer.port}"


def test_as_a_program_it_prints_its_url_and_ends_well(tmp_path: Path) -> None:
    secret_file = tmp_path / "secret"
    secret_file.write_text(f"{SECRET}\n")
    module, option = "extauthz.demo.issuer", "--client-secret-file"
    command = [sys.executable, "-m", module, option, str(secret_file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        metadata = httpx.get(f"{url}/.well-known/oauth-authorization-server").json()
        granted = httpx.post(
            metadata["token_endpoint"],
            data={"grant_type": "client_credentials", "resource": RESOURCE},
            auth=("demo-client", quote(SECRET)),
        )
        process.terminate()
    assert metadata["issuer"] == url
    assert granted.status_code == 200
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot read {file}: No such file or directory"),
        (b"", "{file} is empty"),
        (b" \n", "{file} is empty"),
        (b"\xff", "cannot read {file}: it is not text"),
    ],
)
def test_as_a_program_it_does_not_start_without_a_client_secret(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    content: bytes | None,
    said: str,
) -> None:
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setattr("sys.argv", ["issuer", "--client-secret-file", str(file)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert said.format(file=file) in capsys.readouterr().err
