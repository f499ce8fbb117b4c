"""Key sets in the shapes that real providers publish, with keys of our own.

Written after what the providers' endpoints show; only the shape is theirs. ``signs`` are the
kids of the keys that may verify tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from extauthz.demo.minting import without_none
from tests.tokens import b64, signer


@dataclass(frozen=True)
class Provider:
    """A key set, the kids that sign, and an algorithm of each."""

    keys: list[dict[str, Any]]
    signs: dict[str, str]

    @property
    def document(self) -> dict[str, Any]:
        return {"keys": self.keys}


CERTIFICATE = "MIIC/TCCAeWgAwIBAgIIF5Q3mT4mvXkwDQYJKoZIhvcNAQELBQAwLTErMCkGA1UEAxMiYWNjb3VudHM="


def _rsa(kid: str, **members: Any) -> dict[str, Any]:
    return without_none(signer("RS256", kid).public_jwk() | members)


def _ec(kid: str, algorithm: str = "ES256", **members: Any) -> dict[str, Any]:
    return signer(algorithm, kid).public_jwk() | members


def _entra() -> Provider:
    tenants = "https://login.microsoftonline.com/{tenantid}/v2.0"
    consumers = "https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0"
    issuers = {"HS23b7Do7TcaU1RoLHwpIq24VYg": tenants, "CNv0OI3RwqlHFEVn": consumers}
    usual = {"alg": None, "x5c": [CERTIFICATE], "cloud_instance_name": "microsoftonline.com"}
    keys = [_rsa(kid, x5t=kid, issuer=issuer, **usual) for kid, issuer in issuers.items()]
    return Provider(keys, dict.fromkeys(issuers, "RS256"))


def _keycloak() -> Provider:
    usual = {"x5c": [CERTIFICATE], "x5t": "wPrm", "x5t#S256": "3oBU"}
    keys = [
        _rsa("enc-kid", **usual) | {"use": "enc", "alg": "RSA-OAEP"},
        _rsa("sig-kid", **usual),
        signer("EdDSA", "ed-kid").public_jwk(),
    ]
    return Provider(keys, {"sig-kid": "RS256", "ed-kid": "EdDSA"})


def _ad_fs() -> Provider:
    keys = [
        _rsa("Wnvh", x5t="Wnvh", x5c=[CERTIFICATE]),
        _rsa("encK", x5c=[CERTIFICATE])
        | {"use": "enc", "alg": "http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p"},
    ]
    return Provider(keys, {"Wnvh": "RS256"})


def _ping() -> Provider:
    keys = [
        _rsa("default", alg=None, x5c=[CERTIFICATE], **{"x5t#S256": "x"}),
        without_none(_ec("ec-default", alg=None)),
    ]
    return Provider(keys, {"default": "PS256", "ec-default": "ES256"})


def _gitlab() -> Provider:
    # GitLab's first key has 4096 bits; 3072 are as long to the checks and quicker to make.
    keys = [_rsa("kewiQq9jiC84CvSsJYOB-N6A8WFLSV20Mb-y7IlWDSQ"), _rsa("4i3sFE7sxqNPOT7FdvcGA1Z")]
    return Provider(keys, {key["kid"]: "RS256" for key in keys})


PROVIDERS: dict[str, Provider] = {
    "Entra ID": _entra(),
    "Google": Provider(
        [_rsa("d543e21a02737f1b"), _rsa("9f2532097adf66a")],
        {"d543e21a02737f1b": "RS256", "9f2532097adf66a": "RS256"},
    ),
    "Keycloak": _keycloak(),
    "Auth0": Provider(
        [_rsa("NjVBRjY5MDlCMUIwNzU4RTA2", x5t="NjVB", x5c=[CERTIFICATE])],
        {"NjVBRjY5MDlCMUIwNzU4RTA2": "RS256"},
    ),
    "Cognito": Provider(
        [_rsa("1234example/+="), _rsa("5678example+a/b=")],
        {"1234example/+=": "RS256", "5678example+a/b=": "RS256"},
    ),
    "Ping": _ping(),
    "Apple": Provider(
        [_rsa("fh6Bs8C"), _rsa("lVHdOx8ltR")], {"fh6Bs8C": "RS256", "lVHdOx8ltR": "RS256"}
    ),
    "GitLab": _gitlab(),
    "AD FS": _ad_fs(),
    "Okta": Provider(
        [_rsa("FHRTUfXN", **{"x5t#S256": "x"}), _ec("ec", key_ops=["verify"])],
        {"FHRTUfXN": "RS256", "ec": "ES256"},
    ),
    "Clerk": Provider([_rsa("ins_2abc")], {"ins_2abc": "RS256"}),
    "post-quantum early bird": Provider(
        [
            {"kty": "AKP", "alg": "ML-DSA-65", "kid": "pq", "pub": b64(bytes(32)), "use": "sig"},
            _ec("classic", "ES384"),
        ],
        {"classic": "ES384"},
    ),
}
