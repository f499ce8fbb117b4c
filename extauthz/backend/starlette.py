"""The caller in Starlette and FastAPI endpoints and in tools of the MCP SDK.

Needs Starlette, which FastAPI and the MCP SDK bring with them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

from .asgi import user_of
from .identity import AuthenticatedUser


def authenticated_user(connection: HTTPConnection) -> AuthenticatedUser:
    """A FastAPI dependency: ``user: Annotated[AuthenticatedUser, Depends(authenticated_user)]``.

    Raises HTTPException 403 where nobody was authenticated (a public path).
    """
    user = user_of(connection.scope)
    if user is None:
        raise HTTPException(403, "no token was verified for this request")
    return user


def requiring(*scopes: str) -> Callable[[HTTPConnection], AuthenticatedUser]:
    """A FastAPI dependency for callers with all of ``scopes``.

    Raises HTTPException 403 for others. Prefer rules at the gateway, which tell MCP clients
    which scopes to ask for.
    """

    def dependency(connection: HTTPConnection) -> AuthenticatedUser:
        user = authenticated_user(connection)
        if not user.has_scopes(*scopes):
            raise HTTPException(403, f"the token lacks a scope of: {' '.join(scopes)}")
        return user

    return dependency


def tool_user(context: Any) -> AuthenticatedUser:
    """The caller of an MCP SDK tool, by the ``Context`` that the SDK hands to it."""
    return authenticated_user(context.request_context.request)
