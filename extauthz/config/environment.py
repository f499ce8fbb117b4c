"""The environment-only mode: one issuer and one catch-all server, without a file.

It takes the variables that people already use (contract, section 2, "Without a file").
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from pydantic_core import PydanticCustomError

from . import names
from .problems import Problem
from .urls import check_fetched_url, check_resource, default_name, is_plain_http
from .values import check_name, check_text, shown
from .variables import ENVIRONMENT, Given, Variable, Variables
from .yaml_source import Plain

_SECONDS = re.compile(r"[0-9]{1,8}")
_PORT = re.compile(r"[0-9]{1,5}")
_DAY = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentMode:
    """The catch-all server, and what else only this mode knows.

    ``resource`` is None where there is no URL to show, ``audiences`` where any will do,
    ``allowed_clients`` where all may call. ``metadata_url`` is where the authorization
    server's metadata is. ``registered_client_id`` is shown in the status, never required.
    """

    name: str
    resource: str | None
    audiences: tuple[str, ...] | None
    allowed_clients: tuple[str, ...] | None = None
    metadata_url: str | None = None
    registered_client_id: str | None = None


@dataclass(slots=True)
class Assembled:
    """What the variables say. ``mode`` counts only where there are no problems."""

    given: Given
    mode: EnvironmentMode
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)


def assemble(variables: Variables) -> Assembled:
    """Read every variable of this mode."""
    return _Assembly(variables).assemble()


class _Assembly:
    def __init__(self, variables: Variables) -> None:
        self._variables = variables
        self._problems: list[Problem] = []
        self._warnings: list[Problem] = []
        self._given = Given({"version": 1, "issuers": (), "servers": ()})

    def assemble(self) -> Assembled:
        for accepted in (names.ISSUER, names.AUDIENCE, names.JWKS):
            self._problems.extend(self._variables.disagreements(accepted))
        self._issuer()
        self._listener()
        audiences = self._audiences()
        resource = self._resource()
        if resource is not None and audiences is not None and resource in audiences:
            audiences = _either_slash(resource)
        client_id = self._variables.first(names.CLIENT_ID)
        mode = EnvironmentMode(
            name=_name_of(resource, "default") if resource else "default",
            resource=resource,
            audiences=audiences,
            allowed_clients=self._allowed_clients(),
            metadata_url=self._metadata_url(),
            registered_client_id=client_id.value if client_id else None,
        )
        return Assembled(self._given, mode, self._problems, self._warnings)

    def _checked(self, variable: Variable, check: Callable[[str], str]) -> str | None:
        try:
            return check(variable.value)
        except PydanticCustomError as error:
            self._problems.append(variable.problem(error.message()))
            return None

    def _issuer(self) -> None:
        variable = self._variables.first(names.ISSUER)
        if variable is None:
            return
        issuer = variable.value
        other = issuer.removesuffix("/") if issuer.endswith("/") else issuer + "/"
        name = _name_of(issuer, "issuer")
        values: dict[str, Plain] = {"issuer": issuer, "name": name, "accepted_issuers": (other,)}
        sources = self._given.sources
        sources["issuers", 0] = variable
        what = f'tokens of "{issuer}" and of "{other}" are both taken, since people often miss a '
        what += "final slash; a configuration file takes exactly one of them"
        self._warnings.append(variable.problem(what))
        jwks = self._variables.first(names.JWKS)
        if jwks is not None:
            values["jwks_uri"] = jwks.value
            sources["issuers", 0, "jwks_uri"] = jwks
        refresh = self._variables.first(names.REFRESH)
        keys: dict[str, Plain] = {}
        if refresh is not None:
            sources["issuers", 0, "keys", "refresh"] = refresh
            if not _SECONDS.fullmatch(refresh.value):
                what = f"{shown(refresh.value)} is not a time; expected whole seconds such as 600"
                self._problems.append(refresh.problem(what))
            elif not 1 <= int(refresh.value) <= _DAY:
                what = f"{refresh.value} is out of range; expected 1 to {_DAY} seconds"
                self._problems.append(refresh.problem(what))
            else:
                keys["refresh"] = f"{refresh.value}s"
        self._given.values["issuers"] = ({**values, "keys": keys},)

    def _audiences(self) -> tuple[str, ...] | None:
        audience = self._variables.first(names.AUDIENCE)
        anyone = self._variables.first(names.ANY_AUDIENCE)
        said = anyone.value.lower() if anyone else "false"
        if anyone is not None and said not in ("true", "false"):
            what = f"{shown(anyone.value)} is neither; expected true or false"
            self._problems.append(anyone.problem(what))
        if anyone is not None and said == "true":
            if audience is not None:
                what = f"contradicts {audience.name}; expected one of them"
                self._problems.append(anyone.problem(what))
            what = "tokens for any audience are taken, also those meant for other services"
            self._warnings.append(anyone.problem(what))
            return None
        if audience is None:
            self._absent(
                names.AUDIENCE[0],
                "missing; expected the audience of the tokens "
                f"({names.ANY_AUDIENCE[0]}=true takes any, at your risk)",
            )
            return ()
        value = self._checked(audience, check_text)
        return () if value is None else (value,)

    def _absent(self, name: str, text: str) -> None:
        self._problems.append(Variable(name, "", ENVIRONMENT).problem(text))

    def _resource(self) -> str | None:
        variable = self._variables.first(names.RESOURCE)
        if variable is not None:
            return self._checked(variable, check_resource)
        audience = self._variables.first(names.AUDIENCE)
        what = "no public URL of the MCP server, so there is no resource metadata and clients "
        what += "cannot find the authorization server; expected EXTAUTHZ_RESOURCE"
        if audience is not None and "://" in audience.value:
            try:
                return check_resource(audience.value)
            except PydanticCustomError as error:
                if audience.value.startswith(("http://", "https://")):
                    what += f" ({audience.name} is none: {error.message()})"
        name = names.RESOURCE[0]
        self._warnings.append(Variable(name, "", ENVIRONMENT).problem(what))
        return None

    def _allowed_clients(self) -> tuple[str, ...] | None:
        variable = self._variables.first(names.ALLOWED_CLIENTS)
        if variable is None:
            return None
        clients = tuple(part.strip() for part in variable.value.split(","))
        if not all(clients):
            self._problems.append(variable.problem("an empty entry; expected client ids: a,b"))
        return clients

    def _metadata_url(self) -> str | None:
        variable = self._variables.first(names.METADATA)
        if variable is None:
            return None
        url = self._checked(variable, check_fetched_url)
        if url is not None and is_plain_http(url):
            what = "plain http, whose answers anyone on the way can forge; expected https"
            self._problems.append(variable.problem(what))
        return url

    def _listener(self) -> None:
        host, port = self._variables.first(names.HOST), self._variables.first(names.PORT)
        explicit = self._variables.first((names.variable("listen.http"),))
        if explicit is not None:
            for variable in (host, port):
                if variable is not None:
                    what = f"not used, since {explicit.name} says where to listen"
                    self._warnings.append(variable.problem(what))
            return
        if port is not None and not (_PORT.fullmatch(port.value) and int(port.value) <= 65535):
            what = f"{shown(port.value)} is not a port; expected a number up to 65535"
            self._problems.append(port.problem(what))
            return
        named = host or port
        if named is None:
            return
        where = host.value if host else "127.0.0.1"
        if ":" in where and not where.startswith("["):
            where = f"[{where}]"
        self._given.put(("listen", "http"), f"{where}:{port.value if port else 8080}", named)


def _name_of(url: str, fallback: str) -> str:
    """The default name, or ``fallback`` where that cannot be a name."""
    try:
        return check_name(default_name(url))
    except PydanticCustomError:
        return fallback


def _either_slash(resource: str) -> tuple[str, ...]:
    """A resource without a path is accepted with and without its final slash."""
    bare = resource.rstrip("/")
    if bare.count("/") > 2:
        return (resource,)
    return (bare, bare + "/")
