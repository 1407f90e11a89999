"""The TLS certificate of the endpoint, which is loaded again when its files change."""

import logging
import os
import ssl
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from dcmon.errors import InvalidInput, ServerPackagesMissing
from dcmon.formatting import format_moment
from dcmon.settings import Http

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
    from cryptography.x509 import Certificate as Leaf

log = logging.getLogger(__name__)
CERTIFICATE, KEY = "DCMON_HTTP__TLS_CERTIFICATE", "DCMON_HTTP__TLS_KEY"


class Certificate:
    """A certificate with its key. New connections of `context` use the newest files that could be loaded."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self.certificate, self.key = certificate, key
        self._stamps = self._read_stamps()
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.context.set_alpn_protocols(["http/1.1"])
        self.expires_at = _load(self.context, certificate, key)

    def reload_if_changed(self) -> bool:
        """Load the files if they have changed. Files that can't be used are logged, and the loaded ones stay in use.

        Connections that are open keep the certificate that they began with.
        """
        stamps = self._read_stamps()
        if stamps == self._stamps:
            return False
        self._stamps = stamps
        try:
            # The first context only tests the files: an error after half of them would leave a key that does not fit.
            _load(ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), self.certificate, self.key)
            self.expires_at = _load(self.context, self.certificate, self.key)
        except InvalidInput as error:
            log.error("The TLS certificate was not loaded again, the former one stays in use: %s", error)
            return False
        log.warning("the TLS certificate was loaded again: %s, valid until %s", self.certificate, self.expires_at)
        return True

    def warn_if_unreadable(self) -> None:
        """Log which files this process can't read: it has stepped down from root since it loaded them."""
        for path in {self.certificate, self.key}:
            if not os.access(path, os.R_OK):
                log.warning(
                    "%s can't be read after the step down from root, so a renewed certificate will not be loaded. "
                    "Let the user of DCMON_RUN_AS read it, or restart dcmon after each renewal.",
                    path,
                )

    def _read_stamps(self) -> list[tuple[int, int, int] | None]:
        """Return what changes with the files. A symbolic link is followed: Kubernetes replaces secrets by links."""
        return [_stamp(path) for path in (self.certificate, self.key)]


def from_settings(settings: Http) -> Certificate | None:
    """Return the certificate of the settings; None if TLS is not configured. Raises InvalidInput."""
    if settings.tls_certificate is None:
        if settings.tls_key is not None:
            raise InvalidInput(f"{KEY} is set and {CERTIFICATE} is not. Set both for TLS.")
        return None
    if find_spec("cryptography") is None:
        raise ServerPackagesMissing(purpose="TLS")
    return Certificate(settings.tls_certificate, settings.tls_key or settings.tls_certificate)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _load(context: ssl.SSLContext, certificate: Path, key: Path) -> datetime:
    """Load the files into a context, and return when the certificate expires. Raises InvalidInput."""
    leaf, private_key = _parse_certificate(certificate), _parse_key(key)
    now = datetime.now(UTC)
    if leaf.not_valid_after_utc <= now:
        raise InvalidInput(
            f"{CERTIFICATE}: the certificate in {certificate} expired at {format_moment(leaf.not_valid_after_utc)}."
            " Renew it."
        )
    if leaf.not_valid_before_utc > now:
        raise InvalidInput(
            f"{CERTIFICATE}: the certificate in {certificate} is valid only from"
            f" {format_moment(leaf.not_valid_before_utc)}. Check the clock of this machine."
        )
    if _public_bytes(leaf.public_key()) != _public_bytes(private_key.public_key()):
        raise InvalidInput(f"{KEY}: the key in {key} does not belong to the certificate in {certificate}.")
    try:
        context.load_cert_chain(certificate, key)
    except (ssl.SSLError, OSError) as error:
        raise InvalidInput(
            f"{CERTIFICATE}: {certificate} with the key {key} can't be used for TLS: {error}."
        ) from error
    return leaf.not_valid_after_utc


def _parse_certificate(path: Path) -> "Leaf":
    from cryptography import x509

    content = _read(path, CERTIFICATE)
    try:
        return x509.load_pem_x509_certificates(content)[0]
    except ValueError as error:
        raise InvalidInput(f"{CERTIFICATE}: {path} has no certificate in PEM format.") from error


def _parse_key(path: Path) -> "PrivateKeyTypes":
    from cryptography.hazmat.primitives import serialization

    content = _read(path, KEY)
    try:
        return serialization.load_pem_private_key(content, password=None)
    except TypeError as error:
        raise InvalidInput(f"{KEY}: the key in {path} is encrypted with a passphrase. Store it without one.") from error
    except ValueError as error:
        raise InvalidInput(f"{KEY}: {path} has no private key in PEM format.") from error


def _read(path: Path, variable: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise InvalidInput(f"{variable}: the file {path} does not exist.") from error
    except OSError as error:
        raise InvalidInput(f"{variable}: the file {path} can't be read: {error.strerror}.") from error


def _public_bytes(key: object) -> bytes:
    from cryptography.hazmat.primitives import serialization

    form = serialization.PublicFormat.SubjectPublicKeyInfo
    encoded: bytes = key.public_bytes(serialization.Encoding.DER, form)  # type: ignore[attr-defined]
    return encoded
