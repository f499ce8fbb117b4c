"""Finding an issuer's key set by its metadata (OpenID Connect Discovery, RFC 8414)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from extauthz.core import strict_json
from extauthz.core.documents import AUTHORIZATION_SERVER, OPENID_CONFIGURATION

from .addresses import Address, BadAddress, check_scheme
from .fetch import Fetcher, FetchError
from .reading import read
from .source import DiscoveryMode, IssuerSource


class IssuerMismatch(FetchError):
    """The metadata is another issuer's, or names keys that we will not fetch."""


@dataclass(frozen=True, slots=True)
class Discovered:
    """Where the keys are, and the whole metadata it was read from, fetched from ``url``."""

    jwks_uri: str
    metadata: Mapping[str, object]
    url: str


def metadata_urls(issuer: str, mode: DiscoveryMode) -> tuple[str, ...]:
    """Where an issuer's metadata may be, in the order it is looked for.

    For ``https://host/path``, mode ``auto``:

    1. ``https://host/path/.well-known/openid-configuration`` (OpenID Connect Discovery
       section 4; the form nearly every provider has),
    2. ``https://host/.well-known/oauth-authorization-server/path`` (RFC 8414 section 3.1),
    3. ``https://host/.well-known/openid-configuration/path`` (RFC 8414 section 5),
    4. ``https://host/path/.well-known/oauth-authorization-server``, which is of no RFC, and
       the only form that some older providers have.

    ``oidc`` takes 1 and 3, ``oauth`` 2 and 4. An issuer without a path has each form once.
    """
    scheme, _, rest = issuer.partition("://")
    host, slash, path = rest.partition("/")
    root = f"{scheme}://{host}"
    # RFC 8414 section 3.1 and OpenID Connect Discovery section 4.1: a final slash is dropped.
    path = (slash + path).removesuffix("/")
    oidc, oauth = OPENID_CONFIGURATION, AUTHORIZATION_SERVER
    forms = {
        "auto": (
            root + path + oidc,
            root + oauth + path,
            root + oidc + path,
            root + path + oauth,
        ),
        "oidc": (root + path + oidc, root + oidc + path),
        "oauth": (root + oauth + path, root + path + oauth),
        "off": (),
    }
    return tuple(dict.fromkeys(forms[mode]))


def called_otherwise(metadata: Mapping[str, object], advertised: str) -> str:
    """What to mend where clients are told another issuer than its metadata has; else empty."""
    named = metadata.get("issuer")
    if not isinstance(named, str) or named == advertised or "{" in named:
        return ""
    return (
        f"its metadata says {named!r} where {advertised!r} is advertised: strict "
        "clients refuse that (RFC 8414 section 3.3); use the exact value"
    )


async def discover(source: IssuerSource, fetcher: Fetcher) -> Discovered:
    """Look for the metadata and take ``jwks_uri`` from it.

    Its ``issuer`` must be exactly the configured one (RFC 8414 section 3.3) or one of
    ``source.issuer_templates``. A form of URL that answers with something else does not
    end the search; one that cannot be reached does, since all have the same host. Raises
    FetchError; IssuerMismatch if metadata was found that must not be used.
    """
    faults: list[FetchError] = []
    for url in _urls(source):
        try:
            return await _metadata(source, url, (await fetcher(url, source.limits)).body)
        except FetchError as fault:
            if not fault.answered:
                raise
            faults.append(fault)
    waits = [fault.retry_after for fault in faults if fault.retry_after is not None]
    contradicted = next((fault for fault in faults if isinstance(fault, IssuerMismatch)), None)
    if contradicted is not None:
        # What the other forms of URL answered, mostly the same or nothing, would hide this.
        raise IssuerMismatch(str(contradicted), answered=True, retry_after=max(waits, default=None))
    raise FetchError(
        "no metadata of the issuer was found: "
        + "; ".join(map(str, faults))
        + "; if it has none, set jwks_uri",
        answered=True,
        retry_after=max(waits, default=None),
    )


def _urls(source: IssuerSource) -> tuple[str, ...]:
    if source.well_known_url is not None:
        return (source.well_known_url,)
    if source.discovery == "off":
        raise FetchError("discovery is off: set jwks_uri or jwks_file")
    try:
        Address.of(source.issuer)
    except BadAddress:
        raise FetchError(
            "the issuer is not a plain http or https URL, so its metadata cannot be found: "
            "set jwks_uri or jwks_file"
        ) from None
    if "?" in source.issuer:
        raise FetchError("the issuer has a query (RFC 8414 section 2): set jwks_uri")
    return metadata_urls(source.issuer, source.discovery)


async def _metadata(source: IssuerSource, url: str, body: bytes) -> Discovered:
    try:
        metadata = await read(strict_json.parse, body)
    except strict_json.NotStrictJson as reason:
        raise FetchError(f"{url}: not JSON ({reason})", answered=True) from None
    if not isinstance(metadata, dict):
        raise FetchError(f"{url}: not a JSON object", answered=True)
    named = metadata.get("issuer")
    if named != source.issuer and named not in source.issuer_templates:
        raise IssuerMismatch(
            f"{url}: its issuer is {_shown(named)} where {_shown(source.issuer)} is configured; "
            "they must be the same, byte for byte (RFC 8414 section 3.3): write it as the "
            "issuer does, if its tokens do too",
            answered=True,
        )
    jwks_uri = metadata.get("jwks_uri")
    if not isinstance(jwks_uri, str):
        raise FetchError(f"{url}: it names no jwks_uri; set jwks_uri yourself", answered=True)
    try:
        _check_jwks_uri(source, Address.of(url), Address.of(jwks_uri))
    except BadAddress as reason:
        raise IssuerMismatch(f"{url}: its jwks_uri is not used: {reason}", answered=True) from None
    return Discovered(jwks_uri, metadata, url)


def _check_jwks_uri(source: IssuerSource, found_at: Address, keys_at: Address) -> None:
    """Another host may hold the keys (Google's does), but none that only we can reach.

    Raises BadAddress.
    """
    allowed = source.allow_http_hosts
    if keys_at.scheme == "http":
        check_scheme(keys_at, allowed)
        if found_at.scheme == "https" and keys_at.host not in allowed:
            raise BadAddress("plain http, while the metadata came by https")
    at_home = found_at.is_inside or found_at.host in allowed
    if keys_at.is_inside and not at_home and keys_at.host not in {found_at.host, *allowed}:
        raise BadAddress("an address inside a network; set jwks_uri yourself if it is right")


def _shown(value: object) -> str:
    if isinstance(value, str):
        return ascii(value if len(value) <= 200 else value[:200] + "...")
    return "missing" if value is None else "not a string"
