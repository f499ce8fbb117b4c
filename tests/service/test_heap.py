"""Large messages: memory that was given back serves the next one."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

# Four large messages at a time, as proxies send them; how many pages the kernel had to find.
MESSAGES = """
import resource
from extauthz.service.heap import keep_for_next

def pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(100):
        messages = [bytes(1 << 20) for _ in range(4)]
        del messages
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

first = pages()
keep_for_next()
pages()
print(first, pages())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc alone it is known")
def test_pages_of_a_large_message_are_used_again() -> None:
    done = subprocess.run(
        [sys.executable, "-c", MESSAGES], check=True, capture_output=True, text=True
    )
    before, after = map(int, done.stdout.split())
    assert before > 10_000
    assert after < before / 100
