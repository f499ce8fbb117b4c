"""Composes the SnippetsFilter for NGINX Gateway Fabric from the files in ``nginx/``.

To write the example anew: python -m tests.deploy.nginx_gateway
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "deploy/kubernetes/examples/nginx-gateway-fabric.yaml"
SERVICE = "extauthz.mcp.svc.cluster.local:8080"

# What NGINX Gateway Fabric writes into each location itself; twice would be an error.
_ITS_OWN = re.compile(
    r"^\s*(?:proxy_http_version|proxy_set_header\s+(?:Connection|Host|X-Forwarded-\w+))\s.*\n",
    re.MULTILINE,
)
_LARGE_TOKENS = """\
# Tokens of 16 KiB pass.
large_client_header_buffers 4 32k;

"""
_NO_UPGRADE = """\
# No request becomes a WebSocket, in which nobody would judge the calls.
if ($http_upgrade) { return 403; }

"""
_HEAD = """\
# NGINX Gateway Fabric 2.0 or later with snippets allowed (`nginxGateway.snippets.enable`),
# extauthz and the MCP servers in namespace mcp. Written from the files in nginx/, which
# docs/proxies/nginx.md explains. Its own ExternalAuth filter does not do: it tells extauthz
# neither method nor path in a header that counts, and turns all but 401 and 403 into 500.
#
# extauthz must trust the pods of the gateway: listen.trusted_proxies, or http.trustedProxies of
# the chart. It goes by host and path. A name under forward.headers needs, in the last snippet,
# the two lines of docs/proxies/nginx.md.
"""
_ROUTE = """\
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: {server}, namespace: mcp}}
spec:
  parentRefs: [{{name: mcp}}]
  hostnames: [mcp.example.com]
  rules:
  - matches: [{{path: {{type: PathPrefix, value: /{server}}}}}]
    filters:
    # A route without this filter is not checked.
    - type: ExtensionRef
      extensionRef: {{group: gateway.nginx.org, kind: SnippetsFilter, name: extauthz}}
    backendRefs: [{{name: {server}, port: 8000}}]
"""
_GATEWAY = """\
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: mcp, namespace: mcp}
spec:
  gatewayClassName: nginx
  listeners:
  - name: https
    protocol: HTTPS
    port: 443
    hostname: mcp.example.com
    tls: {certificateRefs: [{name: mcp-tls}]}
"""


def _conf(name: str) -> str:
    text = (ROOT / "nginx" / name).read_text()
    return re.sub(
        r"^( *)include (extauthz-[\w-]+\.conf);\n",
        lambda found: _indented(_conf(found[2]), found[1]),
        text,
        flags=re.MULTILINE,
    )


def _indented(text: str, by: str) -> str:
    return "".join(f"{by}{line}\n" if line else "\n" for line in text.splitlines())


def snippets() -> dict[str, str]:
    """The text for each context."""
    http = _conf("extauthz-http.conf").replace("server 127.0.0.1:8080 ", f"server {SERVICE} ")
    server = f'set $mcp_server "";\n\n{_conf("extauthz-server.conf")}'
    location = _ITS_OWN.sub("", _conf("extauthz-location.conf"))
    return {
        "http": _LARGE_TOKENS + http,
        "http.server": server,
        "http.server.location": f'{_NO_UPGRADE}{location}proxy_set_header Authorization "";\n',
    }


def composed() -> str:
    """The whole example."""
    filled = "".join(
        f"  - context: {context}\n    value: |\n{_indented(text, ' ' * 6)}"
        for context, text in snippets().items()
    )
    kind = "apiVersion: gateway.nginx.org/v1alpha1\nkind: SnippetsFilter\n"
    about = "metadata: {name: extauthz, namespace: mcp}\nspec:\n  snippets:\n"
    routes = "".join(_ROUTE.format(server=server) for server in ("calculator", "notes"))
    return f"{_HEAD}{kind}{about}{filled}{routes}{_GATEWAY}"


if __name__ == "__main__":
    EXAMPLE.write_text(composed())
