"""Just enough of a Kubernetes API for Authorino, which takes its configuration from nowhere else.

It lists and watches one AuthConfig and no Secrets, and takes the status that is written back.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final
from urllib.parse import parse_qs, urlsplit

_GROUP: Final = "authorino.kuadrant.io"
_VERSION: Final = "v1beta3"
_VERBS: Final = ["get", "list", "patch", "update", "watch"]
_LIFE: Final = {"resourceVersion": "1"}


@dataclass(frozen=True, slots=True)
class Kubernetes:
    """A running API."""

    port: int
    in_force: threading.Event
    """Set when a status came back that says that the AuthConfig is ready."""


@contextlib.contextmanager
def kubernetes(config: Mapping[str, object]) -> Iterator[Kubernetes]:
    """Serve ``config``, an AuthConfig."""
    ready = threading.Event()

    class Handler(_Handler):
        auth_config = config
        in_force = ready

    with _Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Kubernetes(server.server_port, ready)
        server.shutdown()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that leaves in the middle is none."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    auth_config: Mapping[str, object]
    in_force: threading.Event

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
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path.endswith("/status") and _says_ready(json.loads(body)):
            self.in_force.set()
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


def _says_ready(written: Mapping[str, Mapping[str, Mapping[str, object]]]) -> bool:
    return written.get("status", {}).get("summary", {}).get("ready") is True


def _resources(served: str, kinds: list[tuple[str, str]], **more: str) -> dict[str, object]:
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
    return {"kind": "APIResourceList", "groupVersion": served, "resources": resources}


def _listed(version: str, kind: str, items: list[Mapping[str, object]]) -> dict[str, object]:
    return {"kind": kind, "apiVersion": version, "metadata": _LIFE, "items": items}


def _status(reason: str, code: int) -> dict[str, object]:
    failure = {"status": "Failure", "reason": reason, "code": code}
    return {"kind": "Status", "apiVersion": "v1", **failure}
