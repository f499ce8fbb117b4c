"""Just enough of a Kubernetes API for Authorino, which takes its configuration from nowhere else.

It lists and watches one AuthConfig and no Secrets, and takes the status that is written back.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final
from urllib.parse import parse_qs, urlsplit

_GROUP: Final = "authorino.kuadrant.io"
_VERSION: Final = "v1beta3"
_VERBS: Final = ["get", "list", "patch", "update", "watch"]
_LIFE: Final = {"resourceVersion": "1"}


@contextlib.contextmanager
def kubernetes(config: Mapping[str, object]) -> Iterator[int]:
    """Serve ``config``, an AuthConfig; gives the port."""

    class Handler(_Handler):
        auth_config = config

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    auth_config: Mapping[str, object]

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        if parse_qs(asked.query).get("watch") in (["true"], ["1"]):
            self._watch()
            return
        known = self._documents()
        if asked.path in known:
            self._answer(200, known[asked.path])
        else:
            self._answer(404, _status("NotFound", 404))

    def do_PATCH(self) -> None:
        self._written()

    def do_PUT(self) -> None:
        self._written()

    def do_POST(self) -> None:
        self._written()

    def log_message(self, *_: object) -> None:
        pass

    def _documents(self) -> dict[str, object]:
        one = {"group": _GROUP, "version": _VERSION}
        version = {"groupVersion": f"{_GROUP}/{_VERSION}", "version": _VERSION}
        group = {"name": _GROUP, "versions": [version], "preferredVersion": version}
        configs = _listed(f"{_GROUP}/{_VERSION}", "AuthConfigList", [self.auth_config])
        base = f"/apis/{_GROUP}/{_VERSION}"
        name = f"{base}/namespaces/bench/authconfigs/s0"
        return {
            "/api": {"kind": "APIVersions", "versions": ["v1"]},
            "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": [group]},
            "/api/v1": _resources("v1", [("secrets", "Secret")]),
            base: _resources(
                f"{_GROUP}/{_VERSION}",
                [("authconfigs", "AuthConfig"), ("authconfigs/status", "AuthConfig")],
                **one,
            ),
            f"{base}/authconfigs": configs,
            f"{base}/namespaces/bench/authconfigs": configs,
            name: self.auth_config,
            "/api/v1/secrets": _listed("v1", "SecretList", []),
            "/api/v1/namespaces/bench/secrets": _listed("v1", "SecretList", []),
        }

    def _written(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self._answer(200, self.auth_config)

    def _answer(self, status: int, document: object) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _watch(self) -> None:
        """Nothing ever changes: say nothing until the client leaves."""
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True
        self.wfile.flush()
        with contextlib.suppress(OSError):
            self.rfile.read(1)


def _resources(version: str, kinds: list[tuple[str, str]], **more: str) -> dict[str, object]:
    resources = [
        {
            "name": name,
            "kind": kind,
            "namespaced": True,
            "verbs": _VERBS,
            "singularName": "",
            **more,
        }
        for name, kind in kinds
    ]
    return {"kind": "APIResourceList", "groupVersion": version, "resources": resources}


def _listed(version: str, kind: str, items: list[Mapping[str, object]]) -> dict[str, object]:
    return {"kind": kind, "apiVersion": version, "metadata": _LIFE, "items": items}


def _status(reason: str, code: int) -> dict[str, object]:
    failure = {"status": "Failure", "reason": reason, "code": code}
    return {"kind": "Status", "apiVersion": "v1", **failure}
