"""TLS of our listeners: certificates from files, taken up again when the files change."""

from __future__ import annotations

import logging
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_log = logging.getLogger(__name__)

_Stamp = tuple[tuple[int, int, int], ...]

_UNSEEN: Final[_Stamp] = ()
_NO_PASSWORD: Final = ""  # an encrypted key fails instead of asking the terminal


class TlsFilesError(ValueError):
    """The files make no TLS server. The message names the file and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: a certificate chain, its key, and the CA that clients must come from, if any."""

    certificate: Path
    key: Path
    client_ca: Path | None = None

    def all(self) -> tuple[Path, ...]:
        """Those that are named."""
        known = (self.certificate, self.key, self.client_ca)
        return tuple(path for path in known if path is not None)

    def stamp(self) -> _Stamp:
        """What changes when a file does. Raises OSError when one cannot be seen."""
        states = [path.stat() for path in self.all()]
        return tuple((state.st_mtime_ns, state.st_size, state.st_ino) for state in states)


class TlsSource:
    """The TLS material in force. A changed file counts from the next handshake on.

    A change that makes no working server is logged once and leaves the old material in
    force. Raises TlsFilesError when there is nothing to start with.
    """

    def __init__(self, files: TlsFiles) -> None:
        self.files = files
        try:
            self._seen = files.stamp()
            self._context = _load(files)
        except OSError as fault:
            raise TlsFilesError(_missing(fault)) from None

    def current(self) -> ssl.SSLContext:
        """Of the newest material that works."""
        stamp = _UNSEEN
        try:
            stamp = self.files.stamp()
            if stamp != self._seen:
                self._context = _load(self.files)
                _log.info("TLS certificate taken up from %s", self.files.certificate)
        except OSError as fault:
            self._keep(stamp, _missing(fault))
        except TlsFilesError as fault:
            self._keep(stamp, str(fault))
        finally:
            self._seen = stamp
        return self._context

    def _keep(self, stamp: _Stamp, fault: str) -> None:
        if stamp != self._seen:
            _log.error("the TLS certificate stays as it was: %s", fault)

    def server_context(self, protocol: str) -> ssl.SSLContext:
        """A context for a server, which hands each handshake the newest material.

        ``protocol`` is what is spoken over it, for clients that ask (RFC 7301).
        """

        def speaking(context: ssl.SSLContext) -> ssl.SSLContext:
            context.set_alpn_protocols([protocol])
            return context

        def hand_over(
            connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext
        ) -> None:
            connection.context = speaking(self.current())

        context = speaking(_load(self.files))
        context.sni_callback = hand_over
        return context


def _load(files: TlsFiles) -> ssl.SSLContext:
    for path in files.all():
        path.read_bytes()  # whose error, unlike that of OpenSSL, says which file it was
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    # That of RFC 8446 section 9.1, which everybody has. There are groups over which a handshake
    # takes the event loop 150 ms, before a client has shown any certificate.
    context.set_ecdh_curve("prime256v1")
    try:
        context.load_cert_chain(files.certificate, files.key, password=_NO_PASSWORD)
    except ssl.SSLError as fault:
        what = fault.reason or "not PEM"
        raise TlsFilesError(
            f"{files.certificate} and {files.key}: {what}; expected a certificate chain in PEM "
            "and the unencrypted key of its first certificate"
        ) from None
    if files.client_ca is not None:
        try:
            context.load_verify_locations(files.client_ca)
        except ssl.SSLError as fault:
            what = fault.reason or "not PEM"
            raise TlsFilesError(
                f"{files.client_ca}: {what}; expected the CA certificates of clients in PEM"
            ) from None
        context.verify_mode = ssl.CERT_REQUIRED
        # A session that is taken up again would outlast the CA that it was begun under.
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
    return context


def _missing(fault: OSError) -> str:
    return f"{fault.filename}: {(fault.strerror or 'cannot be read').lower()}"
