"""What Kubernetes' gateways and Traefik take, as far as we write it: closed JSON Schemas.

Written down from the published definitions: Gateway API v1 (standard channel), Envoy Gateway
v1alpha1, Istio security/v1 and mesh/v1alpha1, Traefik 3's file provider. A field that is not
listed here is one that nobody has looked up.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string", "minLength": 1}
FLAG: Schema = {"type": "boolean"}
PORT: Schema = {"type": "integer", "minimum": 1, "maximum": 65535}
DURATION: Schema = {"type": "string", "pattern": r"^([0-9]{1,5}(h|m|s|ms)){1,4}$"}
LABEL: Schema = {"type": "string", "pattern": r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "maxLength": 63}
NAME: Schema = {
    "type": "string",
    "pattern": r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
    "maxLength": 253,
}
HOSTNAME: Schema = {
    "type": "string",
    "pattern": r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
    "maxLength": 253,
}
GROUP: Schema = {"enum": ["", "gateway.networking.k8s.io", "gateway.envoyproxy.io"]}
PATH: Schema = {
    "type": "string",
    "maxLength": 1024,
    "pattern": r"^/(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|%[0-9a-fA-F]{2})*$",
    "not": {"pattern": r"//|/\./|/\.\./|%2f|%2F|#|/\.\.?$"},
}


def closed(required: str = "", /, **properties: Any) -> Schema:
    """An object with these properties and no other."""
    return {
        "type": "object",
        "properties": properties,
        "required": required.split(),
        "additionalProperties": False,
    }


def several(items: Schema, least: int = 1, most: int = 64) -> Schema:
    return {"type": "array", "items": items, "minItems": least, "maxItems": most}


def by_name(value: Schema) -> Schema:
    """An object whose keys are names."""
    return {"type": "object", "additionalProperties": value, "minProperties": 1}


TARGET = closed("group kind name", group=GROUP, kind=TEXT, name=NAME)
BACKEND = closed("name", group=GROUP, kind=TEXT, name=NAME, namespace=LABEL, port=PORT)
STRING_MATCH = closed(
    "value",
    type={"enum": ["Exact", "Prefix", "Suffix", "RegularExpression"]},
    value={**TEXT, "maxLength": 1024},
)


def kubernetes(version: str, kind: str, spec: Schema) -> Schema:
    return closed(
        "apiVersion kind metadata spec",
        apiVersion={"const": version},
        kind={"const": kind},
        metadata=closed("name namespace", name=NAME, namespace=LABEL),
        spec=spec,
    )


_GATEWAY_API = "gateway.networking.k8s.io/v1"
_ENVOY = "gateway.envoyproxy.io/v1alpha1"

KINDS: dict[str, Schema] = {
    "Gateway": kubernetes(
        _GATEWAY_API,
        "Gateway",
        closed(
            "gatewayClassName listeners",
            gatewayClassName=NAME,
            listeners=several(
                closed(
                    "name port protocol",
                    name=NAME,
                    port=PORT,
                    protocol={"enum": ["HTTP", "HTTPS"]},
                    tls=closed(
                        mode={"const": "Terminate"},
                        certificateRefs=several(closed("name", name=NAME)),
                    ),
                )
            ),
        ),
    ),
    "HTTPRoute": kubernetes(
        _GATEWAY_API,
        "HTTPRoute",
        closed(
            "parentRefs rules",
            parentRefs=several(closed("name", name=NAME), most=32),
            hostnames=several(HOSTNAME, most=16),
            rules=several(
                closed(
                    matches=several(
                        closed(
                            path=closed(
                                "type value", type={"enum": ["Exact", "PathPrefix"]}, value=PATH
                            )
                        )
                    ),
                    backendRefs=several(BACKEND, most=16),
                    timeouts=closed(request=DURATION),
                ),
                most=16,
            ),
        ),
    ),
    "ReferenceGrant": kubernetes(
        _GATEWAY_API,
        "ReferenceGrant",
        closed(
            "from to",
            **{"from": several(closed("group kind", group=GROUP, kind=TEXT, namespace=LABEL))},
            to=several(closed("group kind", group=GROUP, kind=TEXT, name=NAME)),
        ),
    ),
    "BackendTLSPolicy": kubernetes(
        _GATEWAY_API,
        "BackendTLSPolicy",
        closed(
            "targetRefs validation",
            targetRefs=several(TARGET, most=16),
            validation=closed(
                "hostname", hostname=HOSTNAME, wellKnownCACertificates={"const": "System"}
            ),
        ),
    ),
    "SecurityPolicy": kubernetes(
        _ENVOY,
        "SecurityPolicy",
        closed(
            "targetRefs extAuth",
            targetRefs=several(TARGET),
            extAuth=closed(
                "failOpen timeout statusOnError grpc",
                failOpen={"const": False},
                timeout=DURATION,
                statusOnError={"const": 503},
                contextExtensions=several(
                    closed("name type value", name=TEXT, type={"const": "Value"}, value=TEXT)
                ),
                bodyToExtAuth=closed("maxRequestBytes", maxRequestBytes={"type": "integer"}),
                grpc=closed("backendRefs", backendRefs=several(BACKEND, most=16)),
            ),
        ),
    ),
    "ClientTrafficPolicy": kubernetes(
        _ENVOY,
        "ClientTrafficPolicy",
        closed(
            "targetRefs",
            targetRefs=several(TARGET),
            path=closed(escapedSlashesAction={"const": "RejectRequest"}),
            headers=closed(
                withUnderscoresAction={"const": "DropHeader"},
                host=closed(stripTrailingHostDot={"const": True}),
                earlyRequestHeaders=closed(removeOnMatch=several(STRING_MATCH)),
            ),
            timeout=closed(
                http=closed(
                    requestHeadersReceivedTimeout=DURATION,
                    requestReceivedTimeout=DURATION,
                    streamIdleTimeout=DURATION,
                )
            ),
        ),
    ),
    "BackendTrafficPolicy": kubernetes(
        _ENVOY,
        "BackendTrafficPolicy",
        closed(
            "targetRefs httpUpgrade",
            targetRefs=several(TARGET),
            httpUpgrade=several(closed("type", type={"const": "none"})),
        ),
    ),
    "Backend": kubernetes(
        _ENVOY,
        "Backend",
        closed(
            "endpoints",
            endpoints=several(
                closed(
                    fqdn=closed("hostname port", hostname=HOSTNAME, port=PORT),
                    ip=closed("address port", address=TEXT, port=PORT),
                )
            ),
            tls=closed(wellKnownCACertificates={"const": "System"}, sni=HOSTNAME),
        ),
    ),
    "AuthorizationPolicy": kubernetes(
        "security.istio.io/v1",
        "AuthorizationPolicy",
        {
            "oneOf": [
                closed(
                    "targetRefs action provider rules",
                    targetRefs=several(TARGET, most=16),
                    action={"const": "CUSTOM"},
                    provider=closed("name", name=TEXT),
                    rules=several(closed()),
                ),
                closed(
                    "targetRefs action rules",
                    targetRefs=several(TARGET, most=16),
                    action={"const": "DENY"},
                    rules=several(
                        closed(
                            "when",
                            when=several(closed("key values", key=TEXT, values=several(TEXT))),
                        )
                    ),
                ),
            ]
        },
    ),
}

MESH = closed(
    "meshConfig",
    meshConfig=closed(
        "extensionProviders",
        extensionProviders=several(
            closed(
                "name envoyExtAuthzGrpc",
                name=TEXT,
                envoyExtAuthzGrpc=closed(
                    "service port timeout",
                    service=HOSTNAME,
                    port=PORT,
                    timeout=DURATION,
                    failOpen={"const": False},
                    statusOnError={"const": "503"},
                    includeRequestBodyInCheck=closed(
                        maxRequestBytes={"type": "integer"},
                        allowPartialMessage={"const": False},
                        packAsBytes={"const": True},
                    ),
                ),
            )
        ),
    ),
)

_URL: Schema = {"type": "string", "pattern": r"^https?://[^/]+$"}

TRAEFIK_DYNAMIC = closed(
    "http",
    http=closed(
        "routers middlewares services serversTransports",
        routers=by_name(
            closed(
                "entryPoints rule priority service",
                entryPoints=several(TEXT),
                rule=TEXT,
                priority={"type": "integer", "minimum": 1},
                middlewares=several(TEXT),
                service=TEXT,
                tls=closed(),
            )
        ),
        middlewares=by_name(
            closed(
                forwardAuth=closed(
                    "address trustForwardHeader",
                    address={"type": "string", "pattern": r"^https?://[^/]+/auth/forward$"},
                    trustForwardHeader={"const": False},
                    authRequestHeaders=several(TEXT),
                    authResponseHeaders=several(TEXT),
                    authResponseHeadersRegex=TEXT,
                ),
                headers=closed(
                    customRequestHeaders=by_name({"type": "string"}),
                    accessControlAllowOriginList=several(TEXT),
                    accessControlExposeHeaders=several(TEXT),
                    addVaryHeader=FLAG,
                ),
            )
        ),
        services=by_name(
            closed(
                "loadBalancer",
                loadBalancer=closed(
                    "servers",
                    servers=several(closed("url", url=_URL)),
                    passHostHeader={"const": True},
                    serversTransport=TEXT,
                ),
            )
        ),
        serversTransports=by_name(
            closed(serverName=TEXT, forwardingTimeouts=closed(idleConnTimeout=DURATION))
        ),
    ),
    tls=closed(certificates=several(closed("certFile keyFile", certFile=TEXT, keyFile=TEXT))),
)

TRAEFIK_STATIC = closed(
    "entryPoints providers accessLog",
    entryPoints=by_name(
        closed(
            "address transport",
            address=TEXT,
            transport=closed(respondingTimeouts=closed(readTimeout=DURATION)),
        )
    ),
    providers=closed(file=closed("filename", filename=TEXT, watch=FLAG)),
    accessLog=closed("format", format=TEXT, fields=closed(names=by_name(TEXT))),
)
