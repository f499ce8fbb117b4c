"""For the MCP servers behind extauthz: who is calling, and nobody around the gateway.

Needs nothing but the standard library; ``extauthz.backend.starlette`` needs Starlette.
"""

from __future__ import annotations

from .asgi import IdentityMiddleware, user_of
from .identity import AroundTheGateway, AuthenticatedUser, read_identity
from .testing import identity_headers

__all__ = [
    "AroundTheGateway",
    "AuthenticatedUser",
    "IdentityMiddleware",
    "identity_headers",
    "read_identity",
    "user_of",
]
