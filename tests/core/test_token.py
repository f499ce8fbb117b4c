"""A token on its way from text to proof: each stage refuses for its own reason."""

from __future__ import annotations

from dataclasses import replace

import pytest

from extauthz.core.claims import ClaimCondition
from extauthz.core.keyset import parse_key_set
from extauthz.core.model import Reason, Refusal, Trace
from extauthz.core.policy import Issuer, Server
from extauthz.core.token import PlausibleToken, UnverifiedToken, issuer_of, life_of, parse_token
from extauthz.core.verified import VerifiedToken
from tests.tokens import ABSENT, ISSUER, NOTES, NOW, jwks, mint, signer

LIMIT = 16 * 1024
TENANT = "1a2b3c4d-2222-4333-8444-55555555abcd"
TEMPLATE = "https://login.example.net/{tenantid}/v2.0"

CORP = Issuer(name="corp", issuer=ISSUER, accepted=frozenset({ISSUER}), advertised=ISSUER)
SERVER = Server(
    name="notes", resource=NOTES, hosts=(), paths=(), issuers=(CORP,),
    audiences=frozenset({NOTES, "notes"}),
)  # fmt: skip
KEYS = parse_key_set(jwks(signer(), signer("RS256")))


def parsed(text: str, limit: int = LIMIT) -> UnverifiedToken:
    token = parse_token(text, limit)
    assert isinstance(token, UnverifiedToken), token
    return token


def judged(
    text: str, *, issuer: Issuer = CORP, server: Server = SERVER, now: float = NOW
) -> Reason | None:
    """Why a token is implausible, or None."""
    found = parsed(text).meeting(server, issuer, now)
    return found.reason if isinstance(found, Refusal) else None


def verified(text: str, issuer: Issuer = CORP, keys=KEYS) -> VerifiedToken | Reason:
    token = parsed(text)
    plausible = token.meeting(SERVER, issuer, NOW)
    assert isinstance(plausible, PlausibleToken), plausible
    found = plausible.verify(keys.candidates(token.header.kid, token.header.algorithm))
    return found.reason if isinstance(found, Refusal) else found


class TestChecksWithoutKey:
    def test_a_good_token_is_plausible(self):
        assert judged(mint()) is None

    @pytest.mark.requirement("M6", "M8", "R25")
    @pytest.mark.parametrize("leeway", [0, 30, 60])
    def test_exp_ends_a_leeway_late(self, leeway):
        issuer = replace(CORP, leeway=leeway)
        text = mint({"exp": NOW, "iat": ABSENT})
        assert judged(text, issuer=issuer, now=NOW + leeway - 0.001) is None
        assert judged(text, issuer=issuer, now=NOW + leeway) is Reason.TOKEN_EXPIRED

    @pytest.mark.requirement("M6")
    @pytest.mark.parametrize("leeway", [0, 30, 60])
    @pytest.mark.parametrize("name", ["nbf", "iat"])
    def test_nbf_and_iat_begin_a_leeway_early(self, leeway, name):
        issuer = replace(CORP, leeway=leeway)
        text = mint({"iat": ABSENT, name: NOW, "exp": NOW + 300})
        assert judged(text, issuer=issuer, now=NOW - leeway) is None
        before = judged(text, issuer=issuer, now=NOW - leeway - 0.001)
        assert before is Reason.TOKEN_NOT_YET_VALID

    @pytest.mark.parametrize(
        ("issued", "reason"),
        [
            (NOW, None),
            (NOW + 20, None),
            (NOW + 20.001, Reason.MALFORMED_TOKEN),
            (NOW + 30, Reason.MALFORMED_TOKEN),
            (NOW + 31, Reason.TOKEN_NOT_YET_VALID),
        ],
    )
    def test_a_token_is_issued_after_its_end_by_the_leeway_at_most(self, issued, reason):
        text = mint({"iat": issued, "exp": NOW - 10})
        assert judged(text, issuer=replace(CORP, leeway=30)) is reason
        assert judged(mint({"iat": NOW, "exp": NOW - 31})) is Reason.TOKEN_EXPIRED

    @pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
    def test_a_time_is_a_finite_number_of_seconds_before_the_year_10000(self, name):
        last = 253402300799
        assert judged(mint({name: last})) is not Reason.MALFORMED_TOKEN
        for odd in (last + 1, -last - 1, True, "1", [1], float("nan"), float("inf")):
            refusal = parse_token(mint({name: odd}), LIMIT)
            if isinstance(refusal, UnverifiedToken):
                assert judged(mint({name: odd})) is Reason.MALFORMED_TOKEN, odd
            else:
                assert refusal.reason is Reason.MALFORMED_TOKEN

    @pytest.mark.parametrize("odd", ["soon", 1e15])
    @pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
    def test_each_time_is_judged_for_itself_and_named(self, name, odd):
        times = {"exp": NOW + 300, "nbf": NOW, "iat": NOW}
        assert judged(mint(times)) is None
        found = parsed(mint({**times, name: odd})).meeting(SERVER, CORP, NOW)
        assert isinstance(found, Refusal)
        assert found.reason is Reason.MALFORMED_TOKEN
        assert found.detail.startswith(f"{name} is not")

    @pytest.mark.parametrize("name", ["sub", "jti", "tid", "client_id", "azp"])
    def test_each_claim_that_is_not_text_is_named(self, name):
        found = parsed(mint({name: 7})).meeting(SERVER, CORP, NOW)
        assert found == Refusal(Reason.MALFORMED_TOKEN, f"{name} is not a string")

    @pytest.mark.requirement("M6", "M7", "R13", "R23", "R37", "R50")
    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"exp": ABSENT}, Reason.MISSING_CLAIM),
            ({"aud": ABSENT}, Reason.MISSING_CLAIM),
            ({"aud": None}, Reason.MISSING_CLAIM),
            ({"aud": []}, Reason.WRONG_AUDIENCE),
            ({"aud": "NOTES"}, Reason.WRONG_AUDIENCE),
            ({"aud": [NOTES, 7]}, Reason.MALFORMED_TOKEN),
            ({"aud": {"notes": 1}}, Reason.MALFORMED_TOKEN),
            ({"sub": None}, Reason.MALFORMED_TOKEN),
            ({"jti": 7}, Reason.MALFORMED_TOKEN),
            ({"nbf": None}, Reason.MALFORMED_TOKEN),
            ({"tid": 7}, Reason.MALFORMED_TOKEN),
            ({"azp": ["x"]}, Reason.MALFORMED_TOKEN),
            ({"cnf": {}}, Reason.BINDING_MISMATCH),
            ({"cnf": None}, None),
            ({"azp": None, "tid": None}, None),
            ({"aud": "notes"}, None),
            ({"aud": ["x", "notes"]}, None),
            ({"sub": ABSENT, "jti": ABSENT, "iat": ABSENT}, None),
        ],
    )
    def test_claims_are_there_and_of_their_type(self, changes, reason):
        assert judged(mint(changes)) is reason

    @pytest.mark.requirement("R23", "R25")
    def test_a_token_without_iss_is_refused_before_anything_else_of_it_is_judged(self):
        for odd, reason in ((ABSENT, Reason.MISSING_CLAIM), (7, Reason.MALFORMED_TOKEN)):
            refusal = parse_token(mint({"iss": odd}), LIMIT)
            assert isinstance(refusal, Refusal)
            assert refusal.reason is reason

    @pytest.mark.requirement("M7")
    def test_the_audience_may_be_in_another_claim(self):
        issuer = replace(CORP, audience_claim=("client_id",))
        assert judged(mint({"aud": ABSENT, "client_id": "notes"}), issuer=issuer) is None
        assert judged(mint({"client_id": ABSENT}), issuer=issuer) is Reason.MISSING_CLAIM
        assert judged(mint({"client_id": "x"}), issuer=issuer) is Reason.WRONG_AUDIENCE
        nested = replace(CORP, audience_claim=("ctx", "aud"))
        assert judged(mint({"ctx": {"aud": [7]}}), issuer=nested) is Reason.MALFORMED_TOKEN
        assert judged(mint({"ctx": {"aud": ["notes"]}}), issuer=nested) is None
        for context in (ABSENT, {}, {"aud": None}, "notes"):
            assert judged(mint({"ctx": context}), issuer=nested) is Reason.MISSING_CLAIM

    @pytest.mark.parametrize(
        ("aud", "told"),
        [(ABSENT, ()), (None, ()), ([], ()), ("x", ("x",)), (["x", "y"], ("x", "y"))],
    )
    def test_where_the_audience_is_in_another_claim_aud_is_still_what_aud_says(self, aud, told):
        issuer = replace(CORP, audience_claim=("client_id",))
        found = verified(mint({"aud": aud, "client_id": "notes"}), issuer)
        assert isinstance(found, VerifiedToken)
        assert (found.facts.audiences, found.facts.aud) == (("notes",), told)

    @pytest.mark.parametrize("aud", [7, True, {"a": "x"}, ["x", 7], [["x"]], [None]])
    def test_where_the_audience_is_in_another_claim_aud_is_still_made_of_strings(self, aud):
        issuer = replace(CORP, audience_claim=("client_id",))
        found = judged(mint({"aud": aud, "client_id": "notes"}), issuer=issuer)
        assert found is Reason.MALFORMED_TOKEN

    def test_any_audience_will_do_only_where_that_was_asked_for(self):
        anyone = replace(SERVER, audiences=None)
        assert judged(mint({"aud": "elsewhere"}), server=anyone) is None
        assert judged(mint({"aud": ABSENT}), server=anyone) is Reason.MISSING_CLAIM

    @pytest.mark.requirement("R22", "R25", "R46", "R52")
    def test_algorithm_and_type_are_the_issuers_choice(self):
        narrow = replace(CORP, algorithms=frozenset({"RS256"}), token_types=frozenset({"at+jwt"}))
        assert judged(mint(), issuer=narrow) is Reason.UNSUPPORTED_ALGORITHM
        rsa = signer("RS256")
        assert judged(mint(key=rsa, header={"typ": "AT+JWT"}), issuer=narrow) is None
        for typ in ("JWT", ABSENT, "application/at+jwt"):
            token = mint(key=rsa, header={"typ": typ})
            assert judged(token, issuer=narrow) is Reason.WRONG_TOKEN_TYPE

    @pytest.mark.requirement("R23", "R27", "R53")
    def test_required_claims_must_hold(self):
        condition = ClaimCondition("token_use", ("token_use",), ("access",))
        issuer = replace(CORP, required_claims=(condition,))
        assert judged(mint({"token_use": "access"}), issuer=issuer) is None
        for odd in (ABSENT, None, "id", ["id"], {"access": 1}):
            assert judged(mint({"token_use": odd}), issuer=issuer) is Reason.MISSING_CLAIM

    @pytest.mark.requirement("R25", "R37")
    def test_the_checks_run_in_the_order_of_the_contracts_table(self):
        """A token wrong in every way is refused for the first; mended step by step, for each."""
        condition = ClaimCondition("x", ("x",), (1,))
        issuer = replace(CORP, algorithms=frozenset({"RS256"}), required_claims=(condition,))
        wrong = {"aud": "x", "exp": 1, "cnf": {}}
        rsa, header = signer("RS256"), {"typ": "JWE"}
        steps = [
            (mint(wrong, header=header), Reason.UNSUPPORTED_ALGORITHM),
            (mint(wrong, key=rsa, header=header), Reason.WRONG_TOKEN_TYPE),
            (mint(wrong, key=rsa), Reason.WRONG_AUDIENCE),
            (mint(wrong | {"aud": NOTES}, key=rsa), Reason.TOKEN_EXPIRED),
            (mint({"cnf": {}}, key=rsa), Reason.MISSING_CLAIM),
            (mint({"cnf": {}, "x": 1}, key=rsa), Reason.BINDING_MISMATCH),
            (mint({"x": 1}, key=rsa), None),
        ]
        for text, reason in steps:
            assert judged(text, issuer=issuer) is reason


class TestSignature:
    @pytest.mark.requirement("M6", "R22", "R46", "R47")
    @pytest.mark.parametrize(
        "algorithm",
        ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
         "Ed25519"],
    )  # fmt: skip
    def test_every_algorithm_verifies_and_a_changed_token_does_not(self, algorithm):
        key = signer(algorithm)
        keys = parse_key_set(jwks(key))
        text = mint(key=key)
        assert isinstance(verified(text, keys=keys), VerifiedToken)
        other = mint({"sub": "mallory"}, key=key)
        swapped = ".".join((*text.split(".")[:2], other.split(".")[2]))
        assert verified(swapped, keys=keys) is Reason.BAD_SIGNATURE

    @pytest.mark.requirement("R49")
    def test_a_key_of_another_tenant_may_not_sign(self):
        entra = Issuer(
            name="entra", issuer="https://e", accepted=frozenset({"https://e"}),
            templates=(TEMPLATE,), tenants=frozenset({TENANT}), advertised="https://e",
        )  # fmt: skip
        ours = TEMPLATE.replace("{tenantid}", TENANT)
        text = mint({"iss": ours, "tid": TENANT})
        agreeing = {ours: True, TEMPLATE: True, "https://e": False, "https://x": False, "": False}
        for issuer, fits in agreeing.items():
            keys = parse_key_set(jwks(signer().public_jwk() | {"issuer": issuer}))
            found = verified(text, entra, keys)
            assert isinstance(found, VerifiedToken) if fits else found is Reason.UNKNOWN_KEY

    def test_a_key_of_one_other_tenant_signs_nothing_for_an_issuer_named_in_full(self):
        other = TEMPLATE.replace("{tenantid}", TENANT)
        for issuer, fits in ((ISSUER, True), (TEMPLATE, True), (other, False), ("", False)):
            keys = parse_key_set(jwks(signer().public_jwk() | {"issuer": issuer}))
            found = verified(mint(), keys=keys)
            assert isinstance(found, VerifiedToken) if fits else found is Reason.UNKNOWN_KEY

    def test_what_is_verified_is_what_the_token_says(self):
        text = mint({"nbf": NOW - 5, "tid": TENANT, "scope": "a b", "aud": ["x", NOTES]})
        found = verified(text)
        assert isinstance(found, VerifiedToken)
        facts = found.facts
        assert (facts.issuer, facts.issuer_value, facts.tenant) == (CORP, ISSUER, TENANT)
        assert (facts.expires, facts.not_before, facts.issued_at) == (NOW + 300, NOW - 5, NOW - 10)
        assert (facts.audiences, facts.scopes) == (("x", NOTES), ("a", "b"))
        # One and the same where it is remembered, too.
        assert facts.aud is facts.audiences
        assert (facts.subject, facts.client_id, facts.token_id) == ("alice", "inspector", "token-1")
        assert facts.claims["scope"] == "a b"

    @pytest.mark.requirement("M6")
    @pytest.mark.parametrize(
        ("begins", "since"),
        [
            ({}, float("-inf")),
            ({"nbf": NOW - 20}, NOW - 50),
            ({"iat": NOW - 20}, NOW - 50),
            ({"nbf": NOW - 20, "iat": NOW - 10}, NOW - 40),
            ({"nbf": NOW - 10, "iat": NOW - 20}, NOW - 40),
            ({"nbf": NOW - 10, "iat": NOW - 10}, NOW - 40),
        ],
    )
    def test_a_life_begins_with_the_later_of_nbf_and_iat_and_leeway_is_added_at_both_ends(
        self, begins, since
    ):
        found = verified(mint({"iat": ABSENT, "exp": NOW + 60} | begins), replace(CORP, leeway=30))
        assert isinstance(found, VerifiedToken)
        assert life_of(found.facts) == (since, NOW + 90)

    def test_no_candidates_verify_nothing(self):
        plausible = parsed(mint()).meeting(SERVER, CORP, NOW)
        assert isinstance(plausible, PlausibleToken)
        assert plausible.verify(()) == Refusal(Reason.BAD_SIGNATURE)


class TestIssuer:
    entra = Issuer(
        name="entra", issuer=TEMPLATE, accepted=frozenset(), templates=(TEMPLATE,),
        tenants=frozenset({TENANT}), advertised="https://e",
    )  # fmt: skip

    def found(self, **claims: object) -> str | None:
        issuer = issuer_of(parsed(mint(claims)), (CORP, self.entra))
        return None if issuer is None else issuer.name

    @pytest.mark.requirement("R10", "R25")
    def test_an_issuer_is_compared_byte_for_byte(self):
        assert self.found() == "corp"
        for odd in (ISSUER + "/", ISSUER[:-1], ISSUER.upper(), "", ISSUER + "\0"):
            assert self.found(iss=odd) is None

    @pytest.mark.requirement("R25")
    def test_a_template_takes_the_listed_tenants_and_no_others(self):
        ours = TEMPLATE.replace("{tenantid}", TENANT)
        assert self.found(iss=ours, tid=TENANT) == "entra"
        for tid in (ABSENT, None, TENANT.upper(), "", "{tenantid}", TENANT[:-1]):
            assert self.found(iss=ours, tid=tid) is None
        other = "0" * 8 + TENANT[8:]
        assert self.found(iss=TEMPLATE.replace("{tenantid}", other), tid=other) is None
        assert self.found(iss=TEMPLATE, tid="{tenantid}") is None

    @pytest.mark.requirement("R25")
    def test_a_listed_tenant_is_believed_only_where_iss_names_it(self):
        other = TEMPLATE.replace("{tenantid}", "0" * 8 + TENANT[8:])
        for issuer in (other, TEMPLATE, "https://login.example.net/v2.0", ""):
            assert self.found(iss=issuer, tid=TENANT) is None
        for odd in (7, [TENANT], {TENANT: TENANT}, True):
            assert self.found(iss=TEMPLATE.replace("{tenantid}", TENANT), tid=odd) is None

    @pytest.mark.requirement("R25")
    def test_a_tenant_is_named_by_a_guid_even_where_something_else_is_listed(self):
        lax = replace(self.entra, tenants=frozenset({"common", TENANT}))
        for tenant, fits in ((TENANT, True), ("common", False)):
            claims = {"iss": TEMPLATE.replace("{tenantid}", tenant), "tid": tenant}
            assert (issuer_of(parsed(mint(claims)), (lax,)) is lax) is fits


def test_a_trace_names_every_check_that_was_made():
    trace = Trace()
    token = parse_token(mint(), LIMIT, trace)
    assert isinstance(token, UnverifiedToken)
    plausible = token.meeting(SERVER, CORP, NOW, trace)
    assert isinstance(plausible, PlausibleToken)
    plausible.verify(KEYS.candidates("es256", "ES256"), trace)
    checks = [step.check for step in trace.steps]
    assert checks == ["token form", "algorithm", "token type", "audience", "times", "signature"]
    assert all(step.passed for step in trace.steps)


@pytest.mark.parametrize(
    ("claims", "found"),
    [({"iss": ABSENT}, "iss is missing"), ({"iss": 7}, "iss is not a string")],
)
def test_a_trace_says_what_was_found_in_the_place_of_a_token(claims, found):
    trace = Trace()
    assert isinstance(parse_token(mint(claims), LIMIT, trace), Refusal)
    [step] = trace.steps
    assert (step.check, step.found, step.passed) == ("token form", found, False)
