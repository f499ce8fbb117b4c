"""TLS files of a server, which a test may change under it."""

from __future__ import annotations

from pathlib import Path

import trustme

from extauthz.adapters.tls import TlsFiles, TlsSource


class Files:
    """A server's TLS files in a folder."""

    def __init__(self, folder: Path) -> None:
        self.certificate, self.key = folder / "cert.pem", folder / "key.pem"
        self.client_ca = folder / "clients.pem"

    def write(self, ca: trustme.CA) -> None:
        leaf = ca.issue_cert("localhost")
        self.certificate.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        self.key.write_bytes(leaf.private_key_pem.bytes())

    def source(self, *, mutual: bool = False) -> TlsSource:
        return TlsSource(TlsFiles(self.certificate, self.key, self.client_ca if mutual else None))
