"""``python -m extauthz`` is the command ``extauthz``."""

from __future__ import annotations

import sys

from extauthz.cli import main

if __name__ == "__main__":
    sys.exit(main())
