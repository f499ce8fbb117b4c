"""``python -m extauthz.service DESCRIPTOR`` is one of several processes that serve: ``worker``."""

from __future__ import annotations

import sys

from .garbage import begin_start


def _main() -> int:
    begin_start()
    from .worker import main  # noqa: PLC0415  its imports are most of the start

    return main(int(sys.argv[1]))


if __name__ == "__main__":
    sys.exit(_main())
