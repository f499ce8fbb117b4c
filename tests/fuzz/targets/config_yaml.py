"""A configuration is loaded whole and compiled, or refused with its problems, and nothing else."""

from __future__ import annotations

import json
import warnings

from extauthz.config.compile import compile_policy
from extauthz.config.load import Loaded, load
from extauthz.config.problems import ConfigError, Problem
from extauthz.core.engine import Engine
from tests.policies import document

SEEDS = (
    json.dumps(document()).encode(),
    b"version: 1\nissuers:\n  - issuer: https://a.example\nservers:\n  - resource: https://b.example/c\n",
    b"version: 1\nissuers: &a [{issuer: https://a.example}]\nservers: *a\n",
    b"version: 1\nissuers:\n  - issuer: https://a.example\n    leeway: 30s\n    leeway: 1h\n",
    b"a: &a [*a]\n",
    b"? [x]\n: y\n!!python/object/apply:os.system ['true']\n",
    b"version: 1\nservers:\n  - resource: https://b.example/c\n    tools: {'*': [a], 'x*': deny}\n",
    b"\xff\xfe\x00",
    b"{" * 200,
)


def one(data: bytes) -> None:
    """Raise where the invariant is broken."""
    loaded: Loaded | None = None
    problems: list[Problem] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            loaded = load("extauthz.yaml", environ={}, read=lambda _: data)
        except ConfigError as error:
            problems = list(error.problems)
    if loaded is None:
        assert problems
        assert all(str(problem).startswith("extauthz.yaml") for problem in problems)
        return
    engine = Engine(compile_policy(loaded))
    assert engine.policy.servers
    assert len({server.name for server in engine.policy.servers}) == len(engine.policy.servers)
