"""The status of every refusal, as the contract has it (section 8)."""

from __future__ import annotations

from typing import Final

_TABLE: Final = {
    401: "missing_token malformed_token token_too_large unsupported_algorithm unknown_issuer "
    "unknown_key bad_signature wrong_token_type wrong_audience token_expired "
    "token_not_yet_valid missing_claim revoked binding_mismatch",
    403: "insufficient_scope denied_by_rule unverified_call bad_origin no_matching_server "
    "untrusted_proxy",
    400: "malformed_request ambiguous_path batch_refused source_mismatch",
    503: "keys_unavailable",
}
STATUSES: Final = {
    reason: status for status, reasons in _TABLE.items() for reason in reasons.split()
}
