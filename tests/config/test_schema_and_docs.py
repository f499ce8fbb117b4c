"""The JSON Schema and the reference say what the model says, and every example is good."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from extauthz.config.model import Settings
from extauthz.config.reference import updated
from extauthz.config.schema import json_schema, schema_text
from extauthz.config.yaml_source import parse_yaml
from tests.config.desk import SERVERS, Desk, at_issuer, at_server

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "docs" / "extauthz.schema.json"
REFERENCE = ROOT / "docs" / "configuration.md"
CONTRACT = ROOT / "docs" / "contract.md"
MAPS = {
    ".issuers.required_claims",
    ".servers.claims",
    ".servers.forward.headers",
    *(f".servers.{name}" for name in ("tools", "prompts", "resources", "methods", "scope_implies")),
}
"""Where the keys are names that people choose."""


def examples() -> list[tuple[str, str]]:
    """Every configuration in the documents, and every file that is one."""
    found = []
    for page in sorted((*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"))):
        for number, text in enumerate(
            re.findall(r"```ya?ml\n(.*?)```", page.read_text(), re.DOTALL)
        ):
            if re.search(r"^version: 1$", text, re.MULTILINE):
                found.append((f"{page.relative_to(ROOT)}-{number}", text))
    for folder in ("docs", "envoy", "nginx", "deploy", "extauthz"):
        for file in sorted((ROOT / folder).rglob("*.yaml")):
            text = file.read_text()
            if re.search(r"^version: 1$", text, re.MULTILINE) and "\nissuers:" in text:
                found.append((str(file.relative_to(ROOT)), text))
    return found


EXAMPLES = examples()


def plain(text: str) -> object:
    document = parse_yaml(text.encode(), "example")
    assert document.root is not None
    return json.loads(json.dumps(document.root.plain()))


def valid(text: str) -> bool:
    return bool(jsonschema.Draft202012Validator(json_schema()).is_valid(plain(text)))


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())


def test_the_committed_schema_is_that_of_the_model() -> None:
    """To mend it: extauthz schema > docs/extauthz.schema.json"""
    assert SCHEMA.read_text(encoding="utf-8") == schema_text()


def test_the_committed_reference_is_that_of_the_model() -> None:
    """To mend it: python -m extauthz.config.reference docs/configuration.md"""
    text = REFERENCE.read_text(encoding="utf-8")
    assert updated(text) == text


def keys(schema: dict[str, Any], path: str = "") -> set[str]:
    """The path of every key of the file, but for those below a name that people choose."""
    if "$ref" in schema:
        return keys(json_schema()["$defs"][schema["$ref"].rpartition("/")[2]], path)
    found = keys(schema["items"], path) if "items" in schema else set()
    for name, member in schema.get("properties", {}).items():
        found |= {f"{path}.{name}", *keys(member, f"{path}.{name}")}
    return found


def test_the_contract_names_every_key_and_no_other() -> None:
    text = CONTRACT.read_text(encoding="utf-8").split("Every key.")[1]
    (example, *_) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)

    def shown(value: object, path: str = "") -> set[str]:
        if isinstance(value, list):
            return {one for each in value for one in shown(each, path)}
        if not isinstance(value, dict) or path in MAPS:
            return set()
        return {f"{path}.{name}" for name in value}.union(
            *(shown(member, f"{path}.{name}") for name, member in value.items())
        )

    assert shown(plain(example)) == keys(json_schema())


def test_every_key_says_what_it_is_for() -> None:
    for part in json_schema()["$defs"].values():
        for name, member in part.get("properties", {}).items():
            assert member.get("description", "").endswith((".", "`.")), name
    for name, info in Settings.model_fields.items():
        assert info.description, name


def test_the_contract_and_the_documents_have_examples() -> None:
    assert len(EXAMPLES) >= 6


@pytest.mark.parametrize(("name", "text"), EXAMPLES, ids=[name for name, _ in EXAMPLES])
def test_every_example_is_good(desk: Desk, name: str, text: str) -> None:
    assert valid(text), name
    desk.load(text)


@pytest.mark.parametrize(
    "text",
    [
        at_issuer("issuer2: x"),
        at_issuer("leeway: 30"),
        at_issuer("algorithms: [HS256]"),
        at_issuer("discovery: on"),
        at_server("tools: {a: maybe}"),
        at_server("tools: {a: {scope: [b]}}"),
        at_server("scopes: [a b]"),
        at_server("issuers: 5"),
        at_server("forward: {headers: {x: {encode: json}}}"),
        SERVERS.replace("version: 1", "version: 2"),
        "version: 1\nissuers: []\nservers: []\n",
        SERVERS + "workers: '1'\n",
        SERVERS + "tokens: {max_bytes: 16384}\n",
        SERVERS + "listen: {unix_mode: 0660}\n",
        SERVERS + "listen: {unix_mode: '1660'}\n",
        SERVERS + "listen: {unix_mode: '0460'}\n",
        SERVERS + "listen: {unix_mode: '0680'}\n",
    ],
)
def test_the_schema_refuses_what_is_wrong_by_its_form(desk: Desk, text: str) -> None:
    assert not valid(text)
    assert desk.problems(text)


@pytest.mark.parametrize(
    "text",
    [
        at_server('issuers: "*"'),
        at_server("issuers: [a.example]"),
        at_server("origins: '*'"),
        at_server("tools: {a: allow, b: deny, c: [d], e: {claims: {f: [1, true, g]}}}"),
        at_server("forward: {headers: {x-a: b, x-c: {claim: d, encode: base64json}}}"),
        at_issuer("required_claims: {a: b, c: [1, 2.5, true]}"),
        SERVERS + "listen: {grpc: off, http: 'unix:/run/x', admin: '[::1]:1'}\n",
        SERVERS + "listen: {unix_mode: }\n",
        SERVERS + "listen: {unix_mode: '0600'}\n",
        SERVERS + "listen: {unix_mode: '777'}\n",
        SERVERS + "edge: {tls: {cert_file: , key_file: }, authz_grpc: }\n",
    ],
)
def test_the_schema_takes_what_is_good(desk: Desk, text: str) -> None:
    assert valid(text)
    desk.load(text)


def test_the_committed_schema_works_in_the_usual_checker(tmp_path: Path) -> None:
    file = tmp_path / "extauthz.yaml"
    file.write_text(SERVERS)
    subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--schemafile", SCHEMA, file],
        check=True,
        capture_output=True,
    )
