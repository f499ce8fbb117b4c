"""Everything that can be found, what it means and its cure. The list is closed, as reasons are."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Code(StrEnum):
    """The name of a finding."""

    OTHER_CONFIGURATION = "other_configuration"
    UNREACHABLE = "unreachable"
    PLAIN_HTTP = "plain_http"
    OPEN_WITHOUT_TOKEN = "open_without_token"
    NO_ROUTE = "no_route"
    NO_SERVER = "no_server"
    UNTRUSTED_PROXY = "untrusted_proxy"
    NO_ANSWER = "no_answer"
    UNEXPECTED_REFUSAL = "unexpected_refusal"
    NO_CHALLENGE = "no_challenge"
    NO_METADATA_LINK = "no_metadata_link"
    REFUSAL_LOST = "refusal_lost"
    METADATA_MISSING = "metadata_missing"
    METADATA_WRONG = "metadata_wrong"
    METADATA_CLOSED = "metadata_closed"
    ISSUER_METADATA = "issuer_metadata"
    ISSUER_MISMATCH = "issuer_mismatch"
    ISSUER_KEYS = "issuer_keys"
    NO_PKCE = "no_pkce"
    PREFLIGHT_REFUSED = "preflight_refused"
    PREFLIGHT_OPEN = "preflight_open"
    CORS_NOT_EXPOSED = "cors_not_exposed"
    ORIGIN_NOT_JUDGED = "origin_not_judged"
    NOT_A_404 = "not_a_404"
    UNOWNED_PATHS = "unowned_paths"
    DOOR_EXPOSED = "door_exposed"
    EDGE_BREAKS = "edge_breaks"
    BAD_TOKEN_TAKEN = "bad_token_taken"
    TWO_TOKENS_TAKEN = "two_tokens_taken"
    STRAY_TOKEN_TAKEN = "stray_token_taken"
    LONG_TOKEN_LOST = "long_token_lost"
    TIMEOUT_TOO_SHORT = "timeout_too_short"
    TOKEN_ISSUER = "token_issuer"
    TOKEN_AUDIENCE = "token_audience"
    TOKEN_EXPIRED = "token_expired"
    TOKEN_SCOPE = "token_scope"
    TOKEN_REFUSED = "token_refused"
    NO_MCP_SERVER = "no_mcp_server"
    TOKEN_ELSEWHERE = "token_elsewhere"
    SPOOF_ARRIVES = "spoof_arrives"
    IDENTITY_MISSING = "identity_missing"
    IDENTITY_DROPPED = "identity_dropped"
    TOKEN_ARRIVES = "token_arrives"
    ECHO_UNUSABLE = "echo_unusable"
    CALLS_NOT_SHOWN = "calls_not_shown"
    RULES_NOT_ENFORCED = "rules_not_enforced"
    HEADERS_BELIEVED = "headers_believed"
    BATCH_TAKEN = "batch_taken"
    CHARSET_TAKEN = "charset_taken"
    CASE_TAKEN = "case_taken"
    UPGRADE_TAKEN = "upgrade_taken"
    RULES_NOT_PROBED = "rules_not_probed"


@dataclass(frozen=True, slots=True)
class Entry:
    """What a finding means, and what cures it. A note is no fault by itself."""

    means: str
    cure: str
    is_note: bool = False


_ASKED = (
    "Write the proxy's files anew (`extauthz generate`), or look for what switches the question "
    "off on this route: in Envoy ExtAuthzPerRoute `disabled` or a filter that is not there, in "
    "nginx a location without extauthz-location.conf, `auth_request off` or `satisfy any`"
)

CATALOGUE: Final = {
    Code.OTHER_CONFIGURATION: Entry(
        "The running extauthz goes by other issuers or servers than the file given to doctor, so "
        "that other findings may be of the difference",
        "Start extauthz with this file, or give doctor (--config) the one that it goes by. A "
        "changed file is taken within 10 s if it is good; if not, /status says what is wrong.",
    ),
    Code.UNREACHABLE: Entry(
        "No HTTP answer comes from this address",
        "Check the URL (https, or http?), that the proxy runs, --ca-file for a private authority.",
    ),
    Code.PLAIN_HTTP: Entry(
        "Tokens cross the network in the clear",
        "Give the edge a certificate (edge.tls) and use https.",
    ),
    Code.OPEN_WITHOUT_TOKEN: Entry(
        "A request without a token got through",
        f"{_ASKED}; and `failure_mode_allow: true` with extauthz down. One with Upgrade that got "
        "through has a route of its own. `mode: audit` refuses "
        "nothing, and public_paths are meant to be open: give doctor the file (--config).",
    ),
    Code.NO_ROUTE: Entry(
        "The proxy has no route for this URL",
        "Check host and path of the URL against `match`, and write the proxy's files anew.",
    ),
    Code.NO_SERVER: Entry(
        "extauthz knows no server for this host and path",
        "Compare `match` (default: host and path of `resource`) with the URL, and the name that "
        "the proxy gives the server (mcp_server, X-Mcp-Server) with `name`. Behind another "
        "proxy the Host header has to arrive unchanged.",
    ),
    Code.UNTRUSTED_PROXY: Entry(
        "extauthz does not believe the proxy that asks",
        "Add the proxy's address to listen.trusted_proxies.",
    ),
    Code.NO_ANSWER: Entry(
        "The edge answers 5xx before it knows who is calling: extauthz is down, not reachable, or "
        "slower than the proxy waits",
        "Check that `extauthz serve` runs where edge.authz_grpc or edge.authz_http says, and its "
        "/readyz?verbose. The proxy has to wait longer than 250 ms; shipped files wait 1 s.",
    ),
    Code.UNEXPECTED_REFUSAL: Entry(
        "A request without a token is refused, but not with 401",
        "A client cannot learn that it has to log in. Where it was redirected, give doctor the URL "
        "that it led to. Else see what answers here: `extauthz explain "
        "--url …`, the proxy's access log.",
    ),
    Code.NO_CHALLENGE: Entry(
        "The 401 has no WWW-Authenticate: Bearer, so that clients do not know how to log in",
        "Let the proxy pass the header: Envoy's allowed_client_headers, nginx's @extauthz_401, or "
        "what stands between it and the client.",
    ),
    Code.NO_METADATA_LINK: Entry(
        "The challenge names no resource metadata (RFC 9728 section 5.1)",
        "Give the server a `resource`; without a file set EXTAUTHZ_RESOURCE.",
    ),
    Code.REFUSAL_LOST: Entry(
        "The refusal does not carry extauthz's JSON body, so that nobody learns the reason",
        "nginx: error_page 401 = @extauthz_401; error_page 403 = @extauthz_403; and the "
        "auth_request_set lines. Others: pass the answer's body and content-type.",
    ),
    Code.METADATA_MISSING: Entry(
        "The resource metadata cannot be had, so that clients cannot find the issuer",
        "nginx, Caddy, HAProxy and Envoy over HTTP: route /.well-known/oauth-protected-resource "
        "to extauthz's HTTP listener. Envoy over gRPC: it asks extauthz only where a route "
        "matches, so end each virtual host with a direct_response 404, without `disabled`.",
    ),
    Code.METADATA_WRONG: Entry(
        "The resource metadata is for another URL; clients must refuse it (RFC 9728 section 3.3)",
        "Make `resource` the URL that clients use, to the letter: scheme, host, path, slash.",
    ),
    Code.METADATA_CLOSED: Entry(
        "Pages in browsers may not read the resource metadata",
        "Pass Access-Control-Allow-Origin of extauthz's answer.",
    ),
    Code.ISSUER_METADATA: Entry(
        "The issuer's own metadata cannot be had, so that clients cannot log in",
        "Open it in a browser; correct `issuer`, or set `advertised_issuer` to the URL whose "
        "metadata clients can fetch.",
    ),
    Code.ISSUER_MISMATCH: Entry(
        "The issuer calls itself otherwise than the configuration does; a final slash counts",
        "Write `issuer` exactly as its own metadata and the `iss` of its tokens do.",
    ),
    Code.ISSUER_KEYS: Entry(
        "The issuer publishes no usable keys",
        "Run `extauthz validate --online`; ask whoever runs the issuer.",
    ),
    Code.NO_PKCE: Entry(
        "The issuer has an authorization endpoint and does not announce PKCE with S256; MCP "
        "clients must refuse to log in there",
        "Have it announce code_challenge_methods_supported: [S256].",
        is_note=True,
    ),
    Code.PREFLIGHT_REFUSED: Entry(
        "A browser may not even ask: the preflight of an allowed origin is refused",
        "Preflights carry no token. Let extauthz answer them: the proxy's files written anew do; "
        "behind Envoy's MCP filter OPTIONS needs PASS_THROUGH.",
    ),
    Code.PREFLIGHT_OPEN: Entry(
        "A preflight of a foreign origin is given leave",
        "Take CORS settings out of the proxy and the MCP server; extauthz answers by `origins`.",
    ),
    Code.CORS_NOT_EXPOSED: Entry(
        "A page of an allowed origin cannot read the challenge, so that it cannot log in",
        "Pass Access-Control-Allow-Origin and Access-Control-Expose-Headers of extauthz's refusals "
        "(Envoy over HTTP: allowed_client_headers; nginx: @extauthz_401).",
    ),
    Code.ORIGIN_NOT_JUDGED: Entry(
        "A request with a foreign Origin is not refused for it (DNS rebinding)",
        "Let the Origin header reach extauthz (Envoy over HTTP: allowed_headers), and list the "
        "origins that may call in `origins` instead of *.",
    ),
    Code.NOT_A_404: Entry(
        "A path that belongs to no server is not answered with 404: a client that looks for "
        "metadata there may take the answer for one",
        "Route the well-known paths, /register, /authorize and /token to extauthz on every "
        "protected host.",
    ),
    Code.UNOWNED_PATHS: Entry(
        "Paths that belong to no MCP server are answered by somebody else, without a token",
        "If that is a site of yours on the same host, all is well. Else end the virtual host with "
        "a 404.",
        is_note=True,
    ),
    Code.DOOR_EXPOSED: Entry(
        "A door or the admin listener of extauthz can be reached through the edge",
        "Route only the well-known paths, /register, /authorize, /token and preflights to its "
        "HTTP listener, and nothing to listen.admin.",
    ),
    Code.EDGE_BREAKS: Entry(
        "An odd request ends in a 5xx of the edge",
        "See its log. In Envoy a 500 after an odd header means decoder_header_mutation_rules "
        "lacks a name that extauthz sets or removes: each name of forward.headers has to be there.",
    ),
    Code.BAD_TOKEN_TAKEN: Entry(
        "A token that nobody issued got through",
        f"Somebody lets requests pass when extauthz refuses or fails. {_ASKED}; and take "
        "failure_mode_allow away.",
    ),
    Code.TWO_TOKENS_TAKEN: Entry(
        "A request with two tokens got through: server and edge may each read another one",
        "Let every Authorization line reach extauthz, and nothing else judge tokens.",
    ),
    Code.STRAY_TOKEN_TAKEN: Entry(
        "A token in the query, a cookie or another header is taken; there it ends in logs, and "
        "pages of others can have it sent",
        "Something before or behind extauthz moves it into Authorization: take that away.",
    ),
    Code.LONG_TOKEN_LOST: Entry(
        "A token of 15 KiB is refused by the proxy itself",
        "Raise its limits: nginx large_client_header_buffers 4 32k; HAProxy tune.bufsize 65536.",
    ),
    Code.TIMEOUT_TOO_SHORT: Entry(
        "The proxy gives up, or says that it will, while extauthz looks for a key that it has not "
        "seen, which may take 250 ms: after each key rotation good tokens will fail",
        "Raise the proxy's timeout for the question to 1 s (Envoy's default is 200 ms), and with a "
        "retry_policy in Envoy retry_back_off.max_interval to 0.5 s, which limits each try. If it "
        "is so already: extauthz cannot reach the issuer (/readyz?verbose), or its keys are slow "
        "and this Envoy asks over HTTP, which loses the answer.",
    ),
    Code.TOKEN_ISSUER: Entry(
        "The token is of an issuer that this server does not accept",
        "Compare `iss` of the token with `issuer`, byte for byte; a final slash counts. "
        "accepted_issuers takes further values.",
    ),
    Code.TOKEN_AUDIENCE: Entry(
        "The token was issued for another resource",
        "Ask the issuer for a token with `resource` (or `audience`) set to the server's resource, "
        "or list the token's audience in `audiences`, if it means this server alone.",
    ),
    Code.TOKEN_EXPIRED: Entry("The token given to doctor has expired", "Get a new one."),
    Code.TOKEN_SCOPE: Entry(
        "The token lacks a scope that every request to this server needs",
        "Get a token with the scopes that the challenge names, or change `scopes`.",
    ),
    Code.TOKEN_REFUSED: Entry(
        "The token given to doctor is refused, so that nothing behind it could be tried",
        "`extauthz explain --token - --url …` shows every check.",
    ),
    Code.NO_MCP_SERVER: Entry(
        "The token was not refused by extauthz, but what is behind the proxy does not answer as an "
        "MCP server",
        "Check that the MCP server runs where `upstream` says, takes POST at the path of the URL "
        "(paths are not rewritten), and takes the Host that clients send (421: it does not). A 503 "
        "without a body may be Envoy over HTTP, where extauthz lacks keys (/readyz?verbose).",
    ),
    Code.TOKEN_ELSEWHERE: Entry(
        "The token opens another server than the one it was issued for",
        "Give the servers audiences of their own, and write the proxy's files anew.",
    ),
    Code.SPOOF_ARRIVES: Entry(
        "An identity header that the client made up reaches the MCP server",
        "Complete the strip list. nginx: proxy_set_header for every identity and extra header; "
        "Envoy: early_header_mutation_extensions, and over HTTP the look-alikes in "
        "allowed_headers; Caddy: request_header -X-Auth-*; `extauthz generate` writes them. As "
        "trailers: have the proxy drop them (HAProxy 3.2: option http-drop-request-trailers; "
        "Traefik: 3.7.13 or later) or the MCP server refuse a second line of a name "
        "(extauthz.backend).",
    ),
    Code.IDENTITY_MISSING: Entry(
        "The MCP server is not told who is calling",
        "Copy every identity header of extauthz's answer: nginx auth_request_set and "
        "proxy_set_header, Envoy over HTTP allowed_upstream_headers, others their own list.",
    ),
    Code.IDENTITY_DROPPED: Entry(
        "A client can have identity headers taken away by naming them in Connection",
        "Remove the client's Connection header before the question (Caddy: request_header "
        "-Connection), and let the MCP server refuse requests without identity.",
    ),
    Code.TOKEN_ARRIVES: Entry(
        "The MCP server gets the caller's token and can use it elsewhere",
        'Take it away: nginx proxy_set_header Authorization ""; Caddy request_header '
        "-Authorization; or say forward.token: keep if it is meant so.",
    ),
    Code.ECHO_UNUSABLE: Entry(
        "The echo tool did not report headers, so that spoofs can be judged by statuses only",
        "Name a tool that returns the identity headers it got, as the demo's get_me does.",
        is_note=True,
    ),
    Code.CALLS_NOT_SHOWN: Entry(
        "The server has rules for calls, and the proxy does not show which tool is called, so that "
        "every POST is refused",
        "Use Envoy with its MCP filter (`extauthz generate envoy`), or list header_versions where "
        "the MCP server compares headers with the body.",
    ),
    Code.RULES_NOT_ENFORCED: Entry(
        "A call that the rules deny got through",
        "unverified_calls: allow_without_rules lets it pass where the proxy shows no message: use "
        "Envoy with its MCP filter. Check that the running extauthz has this configuration.",
    ),
    Code.HEADERS_BELIEVED: Entry(
        "A call that the rules deny got through under the headers of another call",
        "The MCP server does not compare Mcp-Method and Mcp-Name with the body: take the version "
        "out of header_versions, and use Envoy with its MCP filter.",
    ),
    Code.BATCH_TAKEN: Entry(
        "A batch with a call that the rules deny got through",
        "Use Envoy with its MCP filter in REJECT_NO_MCP mode (`extauthz generate envoy`).",
    ),
    Code.CHARSET_TAKEN: Entry(
        "A message in another charset than UTF-8 got through, of which the server may make another "
        "call than the one that was judged",
        "Show extauthz the message's form: put content-type and content-encoding into "
        "allowed_headers (Envoy over HTTP) or authRequestHeaders (Traefik), as `extauthz generate` "
        "writes them.",
    ),
    Code.CASE_TAKEN: Entry(
        "A message with a Name beside its name got through, of which servers that read members in "
        "any case make another call than the one that was judged",
        "Show extauthz the message beside what Envoy's MCP filter reads: write the proxy's file "
        "anew (`extauthz generate envoy`), or add with_request_body to ext_authz.",
    ),
    Code.UPGRADE_TAKEN: Entry(
        "A request became a WebSocket or a connection of HTTP/2 to the server, in which nobody "
        "asks who is calling and what",
        "Let no upgrade through to an MCP server: in Envoy no upgrade_configs, in nginx no "
        "proxy_set_header Upgrade, elsewhere take the client's Connection and Upgrade headers "
        "away, as `extauthz generate` does.",
    ),
    Code.RULES_NOT_PROBED: Entry(
        "The rules deny no name that is safe to try, so that they were not probed",
        "Nothing has to be done. A rule such as `extauthz_doctor: deny` would make it possible.",
        is_note=True,
    ),
}
