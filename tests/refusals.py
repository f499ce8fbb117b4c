"""The answer to every refusal, read from the contract's own table (section 8)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

_CONTRACT: Final = (Path(__file__).parents[1] / "docs/contract.md").read_text()
_SECTION: Final = _CONTRACT.split("\n## 8. Refusals\n")[1].split("\n## ")[0]
_ROWS: Final = [
    (reason, int(status), code)
    for reasons, status, code in re.findall(
        r"(?m)^\| `([a-z_ ]+)`[^|]*\| (\d{3}) · ([A-Z_]+) · ", _SECTION
    )
    for reason in reasons.split()
]

STATUSES: Final = {reason: status for reason, status, _ in _ROWS}
CODES: Final = {reason: code for reason, _, code in _ROWS}
