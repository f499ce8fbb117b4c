"""Envoy asks over mutual TLS, whichever server answers; without its certificate nobody gets in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.adapters.tls_files import Files
from tests.e2e import edges
from tests.e2e.conftest import config
from tests.e2e.scene import Scene, attempt, extauthz

pytestmark = pytest.mark.e2e


def over_tls(document: dict[str, Any], context: dict[str, Any]) -> None:
    """Let Envoy speak TLS to extauthz."""
    (cluster,) = (
        one for one in document["static_resources"]["clusters"] if one["name"] == "extauthz_grpc"
    )
    package = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3"
    cluster["transport_socket"] = {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"{package}.UpstreamTlsContext",
            "sni": "localhost",
            "common_tls_context": context,
        },
    }


@pytest.mark.parametrize("transport", ["grpcio", "native"])
def test_envoy_asks_over_mutual_tls(scene: Scene, transport: str, tmp_path: Path) -> None:
    ca, files = trustme.CA(), Files(tmp_path)
    files.write(ca)
    files.client_ca.write_bytes(ca.cert_pem.bytes())
    envoys = ca.issue_cert("envoy")
    certificate, key = tmp_path / "envoy.pem", tmp_path / "envoy.key"
    certificate.write_bytes(envoys.cert_chain_pems[0].bytes())
    key.write_bytes(envoys.private_key_pem.bytes())
    known = {"validation_context": {"trusted_ca": {"filename": str(files.client_ca)}}}
    shown = {
        "tls_certificates": [
            {"certificate_chain": {"filename": str(certificate)},
             "private_key": {"filename": str(key)}}
        ]
    }  # fmt: skip
    tls = {
        "cert_file": str(files.certificate),
        "key_file": str(files.key),
        "client_ca_file": str(files.client_ca),
    }
    listen = {"grpc_tls": tls, "grpc_transport": transport}
    with extauthz(config(scene.folder), tmp_path / "extauthz", **listen) as service:
        wiring = scene.wiring(service)
        with edges.envoy(
            "envoy.yaml", wiring, tmp_path / "with", edit=lambda file: over_tls(file, known | shown)
        ) as edge:
            allowed = attempt(scene, edge, token=scene.token())
            assert allowed.response.status == 200
            assert allowed.reached
            refused = attempt(scene, edge)
            assert refused.response.status == 401
            assert refused.response.json()["error"]["data"]["reason"] == "missing_token"
        with edges.envoy(
            "envoy.yaml", wiring, tmp_path / "without", edit=lambda file: over_tls(file, known)
        ) as edge:
            refused = attempt(scene, edge, token=scene.token())
            assert refused.response.status == 503
            assert not refused.reached
