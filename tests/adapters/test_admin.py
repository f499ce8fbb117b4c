"""The admin listener, asked over HTTP."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from extauthz.adapters.admin import MAX_FORM, AdminApp
from extauthz.adapters.explain_page import Question
from extauthz.adapters.http_server import HttpServer
from extauthz.adapters.status import Health, Status
from extauthz.config.addresses import TcpAddress
from extauthz.core.engine import Engine
from extauthz.core.explain import Explanation, explain
from extauthz.core.explain import question as core_question
from extauthz.telemetry.exposition import Exposition
from extauthz.telemetry.metrics import Metrics
from tests.adapters.sample_status import health, refused, sample_status
from tests.policies import ORIGIN, key_sets, policy_for_tests
from tests.tokens import CALCULATOR, ISSUER, NOW, mint

FORM = {"content-type": "application/x-www-form-urlencoded"}
GOOD = {"host": "mcp.example.com", "path": "/notes/mcp", "method": "GET"}


class Service:
    """A service that the tests can put into any state."""

    def __init__(self) -> None:
        self.health: Health = health()
        self.sample: Status = sample_status()
        self.exposition = Exposition(Metrics(version="1.2.3"))
        self.engine = Engine(policy_for_tests())
        self.questions: list[Question] = []
        self.fault: Exception | None = None

    async def metrics(self, accept: str) -> tuple[str, bytes]:
        content_type, write = self.exposition.gathered(accept)
        return content_type, write()

    async def status(self) -> Status:
        return self.sample

    async def explain(self, question: Question) -> Explanation:
        self.questions.append(question)
        if self.fault:
            raise self.fault
        request = core_question(
            token=question.token or None,
            origin=question.origin or None,
            method=question.method or None,
            path=question.path,
            host=question.host,
            tool=question.tool or None,
            calls=question.calls,
        )
        return explain(self.engine, request, key_sets(), now=NOW)

    def app(self, *, on_loopback: bool = True) -> AdminApp:
        return AdminApp(
            health=lambda: self.health,
            status=self.status,
            metrics=self.metrics,
            explain=self.explain,
            on_loopback=on_loopback,
        )


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
async def client(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    async with asking(service.app()) as client:
        yield client


@asynccontextmanager
async def asking(app: AdminApp) -> AsyncIterator[httpx.AsyncClient]:
    """Asks the application through the very server that ``serve`` uses."""
    server = HttpServer(app, TcpAddress("127.0.0.1", 0))
    address = await server.start()
    assert isinstance(address, TcpAddress)
    async with httpx.AsyncClient(base_url=f"http://{address}", trust_env=False) as client:
        yield client
    await server.stop(1.0)


async def test_it_is_alive_also_when_nothing_else_is_well(
    service: Service, client: httpx.AsyncClient
) -> None:
    service.health = replace(service.health, draining=True, issuers=())
    answer = await client.get("/healthz")
    assert (answer.status_code, answer.text) == (200, "alive\n")


def with_issuers(*changes: dict[str, Any]) -> Health:
    """Health with one issuer (corp, well) for each set of changes."""
    base = health()
    return replace(base, issuers=tuple(replace(base.issuers[0], **c) for c in changes))


WAITING = {"first_attempt_done": False, "usable": False, "keys": ()}
EMPTY = {"usable": False, "keys": (), "last_error": "connection refused"}


@pytest.mark.parametrize(
    ("state", "ready", "says"),
    [
        (with_issuers({}), True, "ready"),
        (with_issuers({}, EMPTY), True, "ready"),
        (with_issuers({}, WAITING), False, "has not ended: corp"),
        (with_issuers(EMPTY, EMPTY), False, "no issuer has usable keys: connection refused"),
        (replace(with_issuers({}), draining=True), False, "draining"),
    ],
)
async def test_ready_means_every_first_attempt_ended_and_some_issuer_has_keys(
    service: Service, client: httpx.AsyncClient, state: Health, ready: bool, says: str
) -> None:
    service.health = state
    answer = await client.get("/readyz")
    assert answer.status_code == (200 if ready else 503)
    assert says in answer.text
    assert answer.text.count("\n") == 1


async def test_an_issuer_that_serves_from_a_snapshot_before_its_first_attempt_is_not_enough(
    service: Service, client: httpx.AsyncClient
) -> None:
    service.health = with_issuers({"first_attempt_done": False, "from_snapshot": True})
    assert (await client.get("/readyz")).status_code == 503


@pytest.mark.parametrize("query", ["verbose", "verbose=", "verbose=1", "x=1&verbose"])
async def test_verbose_names_each_issuer_and_the_state_of_the_configuration(
    client: httpx.AsyncClient, query: str
) -> None:
    error = "cannot connect to login.partner.example:443: connection refused"
    problem = 'extauthz.yaml:12:5: servers[0].scope: unknown key, did you mean "scopes"?'
    answer = await client.get(f"/readyz?{query}")
    assert answer.status_code == 200
    assert answer.text.splitlines() == [
        "[+] issuer corp: 2 usable keys",
        f"[-] issuer partner: 0 usable keys; last attempt: {error}",
        "[+] config: digest sha256:5f1c0a8be2, from /etc/extauthz/extauthz.yaml",
        f"[-] config: the changed file is not used: {problem}",
        "ready",
    ]


@pytest.mark.parametrize("accept", ["text/plain", "application/openmetrics-text", "*/*"])
async def test_metrics_come_in_the_format_that_is_asked_for(
    client: httpx.AsyncClient, accept: str
) -> None:
    answer = await client.get("/metrics", headers={"accept": accept})
    assert answer.status_code == 200
    wanted = accept if "openmetrics" in accept else "text/plain"
    assert answer.headers["content-type"].startswith(wanted)
    assert 'extauthz_build_info{python="' in answer.text
    if wanted == "text/plain":
        assert list(text_string_to_metric_families(answer.text))


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("text/html,application/xhtml+xml,*/*;q=0.8", "text/html"),
        ("*/*", "text/html"),
        ("", "text/html"),
        ("application/json", "application/json"),
        ("application/json, text/html;q=0.9", "application/json"),
        ("application/json;q=0.5, text/html", "text/html"),
        ("application/json;q=0", "text/html"),
        ("application/json;q=nonsense", "text/html"),
    ],
)
async def test_the_status_is_html_for_people_and_json_for_who_prefers_it(
    client: httpx.AsyncClient, accept: str, kind: str
) -> None:
    answer = await client.get("/status", headers={"accept": accept})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(kind)
    assert answer.headers["vary"] == "accept"


async def test_the_json_status_tells_all_that_the_page_does(client: httpx.AsyncClient) -> None:
    status = (await client.get("/status", headers={"accept": "application/json"})).json()
    assert status["version"] == "0.1.0"
    assert status["started_at"] == "2026-11-17T09:16:40.000Z"
    assert status["health"]["ready"] is True
    assert status["health"]["config"]["problems"] == [
        'extauthz.yaml:12:5: servers[0].scope: unknown key, did you mean "scopes"?'
    ]
    corp, partner = status["health"]["issuers"]
    assert corp["keys"][0]["algorithms"] == ["RS256"]
    assert corp["fetched_at"] == "2026-11-18T11:04:26.000Z"
    assert partner["last_error"].startswith("cannot connect")
    calculator, archive = status["servers"]
    assert calculator["rules"][1] == {
        "kind": "tool",
        "key": "transfer",
        "demand": "needs money.read; needs one of money.write, money.admin; "
        "claim /realm/tenant is or contains acme or globex",
    }
    assert archive["mode"] == "audit"
    assert calculator["outcomes"][1]["reason"] == "wrong_audience"
    assert status["elsewhere"][0]["reason"] == "no_matching_server"
    assert status["cache"]["capacity"] == 100_000
    assert [one["reason"] for one in status["refusals"]][:2] == [
        "missing_token",
        "insufficient_scope",
    ]
    assert status["refusals"][1] == {
        "decided_at": "2026-11-18T11:06:31.000Z",
        "decision": "deny",
        "server": "calculator",
        "reason": "insufficient_scope",
        "status": 403,
        "detail": "rule transfer",
        "http_method": "POST",
        "host": "mcp.example.com",
        "path": "/calculator/mcp",
        "method": "tools/call",
        "name": "transfer",
        "transport": "grpc",
        "request_id": "18d9d33b-f63b-4b1c-9f6b-d77e43585121",
        "agent": None,
        "config": "sha256:5f1c0a8be2",
    }


async def test_whoever_takes_the_json_for_a_page_finds_no_markup_in_it(
    service: Service, client: httpx.AsyncClient
) -> None:
    hostile = "/</script><script>alert(1)</script>"
    one = refused(1, "missing_token", path=hostile, name=hostile)
    service.sample = replace(service.sample, refusals=(one,))
    answer = await client.get("/status", headers={"accept": "application/json"})
    assert "<" not in answer.text
    assert answer.json()["refusals"][0]["path"] == hostile


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/status"])
async def test_head_is_get_without_a_body(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.head(path)
    assert answer.status_code == 200
    assert answer.content == b""


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 307),
        ("GET", "/status/", 404),
        ("GET", "/auth/nginx", 404),
        ("POST", "/status", 405),
        ("DELETE", "/metrics", 405),
        ("GET", "/status/explain", 405),
    ],
)
async def test_nothing_else_is_there(
    client: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    answer = await client.request(method, path)
    assert answer.status_code == status
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["/status", "/healthz", "/metrics"])
async def test_answers_are_kept_nowhere_and_sniffed_by_nobody(
    client: httpx.AsyncClient, path: str
) -> None:
    answer = await client.get(path)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_pages_run_no_scripts_and_stand_in_no_frame(client: httpx.AsyncClient) -> None:
    answer = await client.get("/status")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "script" not in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["x-frame-options"] == "DENY"


async def explained(
    client: httpx.AsyncClient, token: str, headers: dict[str, str] | None = None, **changes: str
) -> httpx.Response:
    body = urlencode({"token": token, **GOOD, **changes})
    return await client.post("/status/explain", content=body, headers={**FORM, **(headers or {})})


async def test_a_good_token_is_explained_as_allowed(client: httpx.AsyncClient) -> None:
    answer = await explained(client, mint())
    assert answer.status_code == 200
    assert "allowed" in answer.text
    assert "x-auth-subject: alice" in answer.text
    assert answer.headers["cache-control"] == "no-store"


async def test_a_refused_token_is_explained_with_the_exact_answer(
    client: httpx.AsyncClient,
) -> None:
    answer = await explained(client, mint({"aud": "https://elsewhere.example"}))
    assert answer.status_code == 200
    assert "refused: wrong_audience" in answer.text
    assert "www-authenticate: Bearer error=&quot;invalid_token&quot;" in answer.text


async def test_an_explanation_can_be_had_as_json(client: httpx.AsyncClient) -> None:
    answer = await explained(client, mint({"iss": f"{ISSUER}/"}), {"accept": "application/json"})
    told = answer.json()
    assert (told["allowed"], told["reason"]) == (False, "unknown_issuer")
    assert told["detail"] == "iss is not an issuer of this server"
    assert told["answer"]["status"] == 401
    assert [step["check"] for step in told["steps"]][:2] == ["path", "server"]
    assert told["near_misses"]


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "refused: missing_token"),
        ({"path": "/notes/health"}, "allowed"),
        ({"path": "/notes/health", "origin": "https://evil.example"}, "refused: bad_origin"),
        ({"path": "/notes/health", "origin": ORIGIN}, "allowed"),
    ],
)
async def test_a_request_without_a_token_and_of_a_browser_can_be_explained(
    client: httpx.AsyncClient, changes: dict[str, str], verdict: str
) -> None:
    body = urlencode({**GOOD, "token": "", "origin": "", **changes})
    answer = await client.post("/status/explain", content=body, headers=FORM)
    assert f">{verdict}</span>" in answer.text
    assert f'value="{changes.get("origin", "")}"' in answer.text


async def test_the_token_is_not_shown_again_nor_logged_nor_remembered(
    service: Service, client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    token = mint()
    with caplog.at_level(logging.DEBUG, logger="extauthz"):
        answer = await explained(client, token)
    assert token not in answer.text
    assert token.split(".")[2] not in answer.text
    assert token.split(".")[1] not in caplog.text
    assert len(service.engine.cache) == 0


async def test_the_other_fields_are_kept_for_another_try(client: httpx.AsyncClient) -> None:
    answer = await explained(client, mint(), tool="<add>")
    assert 'value="/notes/mcp"' in answer.text
    assert 'value="&lt;add&gt;"' in answer.text


@pytest.mark.parametrize(
    ("pasted", "taken"),
    [
        ("tok.en", "tok.en"),
        ("  tok.en\r\n", "tok.en"),
        ("Bearer tok.en", "tok.en"),
        ("tok en", "tok en"),
    ],
)
async def test_a_token_is_taken_as_people_paste_it(
    service: Service, client: httpx.AsyncClient, pasted: str, taken: str
) -> None:
    await explained(client, pasted, method="post", tool="add")
    (question,) = service.questions
    assert (question.token, question.method, question.tool) == (taken, "POST", "add")


@pytest.mark.parametrize(
    ("written", "taken"), [("", ""), ("get", "GET"), ("tools/list", "tools/list"), ("ping", "ping")]
)
async def test_a_method_is_one_of_http_or_of_json_rpc(
    service: Service, client: httpx.AsyncClient, written: str, taken: str
) -> None:
    await explained(client, mint(), method=written)
    assert service.questions[0].method == taken


@pytest.mark.parametrize(
    ("calls", "chosen", "said"),
    [("", "mcp", "allowed"), ("mcp", "mcp", "allowed"), ("none", "none", "unverified_call")],
)
async def test_a_call_is_explained_as_the_chosen_kind_of_proxy_tells_it(
    client: httpx.AsyncClient, calls: str, chosen: str, said: str
) -> None:
    token = mint({"aud": CALCULATOR, "scope": "calculator calculator.add"})
    answer = await explained(
        client, token, path="/calculator/mcp", method="", tool="add", calls=calls
    )
    verdict = answer.text.partition("</header>")[0]
    assert said in verdict
    assert f'<option value="{chosen}" selected>' in answer.text


PAGES = [
    ("GET", "/"),
    ("GET", "/status"),
    ("GET", "/metrics"),
    ("POST", "/status/explain"),
    ("GET", "/nothing"),
]


@pytest.mark.parametrize(("method", "path"), PAGES)
@pytest.mark.parametrize("host", ["evil.example", "evil.example:9090", "a!b.example", "a, b"])
async def test_on_loopback_no_web_page_asks_by_a_name_of_its_own(
    client: httpx.AsyncClient, method: str, path: str, host: str
) -> None:
    """DNS rebinding: its name resolves to loopback once the page is there."""
    answer = await client.request(method, path, headers={"host": host})
    assert answer.status_code == 421
    assert answer.text.startswith("This listener is for this machine alone")


@pytest.mark.parametrize(
    "host", ["localhost:9090", "127.0.0.1", "[::1]:9090", "extauthz:9090", "status.localhost", ""]
)
async def test_on_loopback_it_is_asked_by_names_of_this_machine(
    client: httpx.AsyncClient, host: str
) -> None:
    for path in ("/status", "/metrics"):
        assert (await client.get(path, headers={"host": host})).status_code == 200


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_probes_tell_whoever_asks(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path, headers={"host": "evil.example"})).status_code == 200


async def test_elsewhere_names_are_for_the_network_to_give(service: Service) -> None:
    """The name of a Service in Kubernetes, or of a machine that Prometheus knows."""
    async with asking(service.app(on_loopback=False)) as client:
        headers = {"host": "extauthz.gateway.svc.cluster.local:9090"}
        assert (await client.get("/status", headers=headers)).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
    ],
)
async def test_only_the_page_itself_may_send_the_form(
    service: Service, client: httpx.AsyncClient, headers: dict[str, str], status: int
) -> None:
    answer = await explained(client, mint(), headers)
    assert answer.status_code == status
    assert len(service.questions) == (status == 200)


async def test_a_browser_that_names_our_own_origin_is_let_through(
    client: httpx.AsyncClient,
) -> None:
    origin = str(client.base_url).rstrip("/")
    answer = await explained(client, mint(), {"origin": origin, "sec-fetch-site": "same-origin"})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"token=a&host=b&path=/c", {"content-type": "application/json"}, 415),
        (b"token=a&host=b&path=/c", {"content-type": "text/plain"}, 415),
        (b"token=a&path=/c", FORM, 400),
        (b"token=a&host=b", FORM, 400),
        (b"", FORM, 400),
        (b"\xff\xfe", FORM, 400),
        (b"&".join(b"x%d=1" % n for n in range(100)), FORM, 400),
    ],
)
async def test_what_is_no_such_form_is_answered_with_what_was_expected(
    service: Service,
    client: httpx.AsyncClient,
    content: bytes,
    headers: dict[str, str],
    status: int,
) -> None:
    answer = await client.post("/status/explain", content=content, headers=headers)
    assert answer.status_code == status
    assert "xpected" in answer.text
    assert not service.questions


@pytest.mark.parametrize(("size", "status"), [(MAX_FORM, 200), (MAX_FORM + 1, 413)])
async def test_a_form_has_a_largest_size(client: httpx.AsyncClient, size: int, status: int) -> None:
    body = urlencode({**GOOD, "token": ""}).encode()
    body += b"a" * (size - len(body))
    answer = await client.post("/status/explain", content=body, headers=FORM)
    assert answer.status_code == status


async def test_a_fault_while_explaining_tells_its_kind_and_no_more(
    service: Service, client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    service.fault = ValueError("canary")
    answer = await explained(client, mint())
    assert answer.status_code == 500
    assert "ValueError" in answer.text
    assert "canary" not in answer.text + caplog.text
    assert "ValueError" in caplog.text


async def test_a_fault_of_the_status_is_answered_and_the_listener_lives(
    service: Service, client: httpx.AsyncClient
) -> None:
    service.sample = None  # type: ignore[assignment]
    assert (await client.get("/status")).status_code == 500
    assert (await client.get("/healthz")).status_code == 200


async def test_no_page_shows_what_it_was_given_as_markup(
    service: Service, client: httpx.AsyncClient
) -> None:
    evil = "<script>alert(1)</script>\"'"
    config = replace(service.sample.health.config, source=evil, problems=(evil,), warnings=(evil,))
    issuer = replace(
        service.sample.health.issuers[0], name=evil, jwks_uri=evil, last_error=evil, skipped=(evil,)
    )
    server = replace(service.sample.servers[0], name=evil, scopes=(evil,), notes=(evil,))
    everything = replace(service.sample.health, config=config, issuers=(issuer,))
    service.sample = replace(service.sample, health=everything, servers=(server,))
    page = (await client.get("/status")).text
    assert "<script" not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 9
    answer = await explained(client, evil, host=evil, path=evil, tool=evil)
    assert "<script" not in answer.text
