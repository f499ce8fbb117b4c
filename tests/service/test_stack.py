"""A process that hangs says where, whatever it hangs in; one that nobody asks says nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from extauthz.service.stack import Stack
from tests.service.conftest import until

# The second one never lets go of the interpreter.
HANGS = {
    "in Python": "while True: pass",
    "outside Python": "import re; re.match('(a+)+b', 'a' * 99)",
}
CODE = """\
import sys
from extauthz.service.stack import tell_when_asked
def hangs():
    {what}
tell_when_asked(int(sys.argv[1]))
print("hangs", flush=True)
hangs()
"""


@pytest.fixture
def stack() -> Iterator[Stack]:
    stack = Stack()
    yield stack
    stack.close()


def hanging(stack: Stack, what: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", CODE.format(what=what), str(stack.theirs)],
        pass_fds=(stack.theirs,),
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    with process.stdout as said:
        assert said.readline() == b"hangs\n"
    return process


@pytest.mark.parametrize("what", HANGS.values(), ids=HANGS)
def test_it_says_where_it_hangs(stack: Stack, what: str) -> None:
    process = hanging(stack, what)
    try:
        assert stack.told() == []

        def says() -> list[str]:
            stack.ask(process)
            return stack.told()

        until(lambda: "<string>:4 hangs" in says())
        assert process.poll() is None, "it goes on"
    finally:
        process.kill()
        process.wait()


def test_one_that_is_stopped_says_so_when_it_goes_on(stack: Stack) -> None:
    process = hanging(stack, HANGS["in Python"])
    try:
        process.send_signal(signal.SIGSTOP)
        stack.ask(process)
        assert stack.told() == []
        process.send_signal(signal.SIGCONT)
        until(stack.told)
    finally:
        process.kill()
        process.wait()
    stack.ask(process)
