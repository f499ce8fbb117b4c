"""The oracle of an endurance run can say no."""

from __future__ import annotations

import time

from extauthz.demo.minting import SigningKey

from .client import World
from .questions import Asker
from .truth import Permitted


def test_a_question_may_have_met_what_was_true_in_its_time_and_nothing_else() -> None:
    versions: Permitted[str] = Permitted("A")
    before = time.monotonic()
    versions.become("A", "B")
    during = time.monotonic()
    versions.become("B")
    after = time.monotonic()
    assert versions.during(before - 2, before - 1) == {"A"}
    assert versions.during(before, during) == {"A", "B"}
    assert versions.during(after, after + 1) == {"B"}


def test_there_is_one_right_answer_while_nothing_changes() -> None:
    key, forger = SigningKey.generate("ES256"), SigningKey.generate("ES256")
    world = World(Asker(1, key, forger))
    now = time.monotonic()
    for asked in world.asker.all():
        assert len(world.right(asked, now, now)) == 1
    world.keys[key.kid].become("unknown")
    reasons = {
        asked.kind: world.right(asked, now + 1, now + 1)[0].reason for asked in world.asker.all()
    }
    assert reasons["good"] == "unknown_key"
    assert reasons["expired"] == "token_expired"
    assert reasons["no token"] == "missing_token"
