"""TLS contexts for DIMSE (PS3.15 B.9, B.10), in both directions."""

import ssl

from neurdicom.errors import Invalid


def acceptor_context(certificate: str, key: str, ca: str) -> ssl.SSLContext | None:
    """For the connections that are accepted; None without a certificate.

    With a CA, peers need a certificate that it signed.

    Raises
    ------
    Invalid
        A file is not what it should be.
    """
    if not certificate:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _load(context, certificate, key, ca)
    if ca:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def requestor_context(certificate: str, key: str, ca: str) -> ssl.SSLContext:
    """For the connections that we open to a node that speaks TLS.

    The peer's certificate is checked against the CA, or the machine's own without one. Names in it are not, since
    DICOM nodes are known by address. Raises `Invalid` as `acceptor_context` does.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    if not ca:
        context.load_default_certs()
    _load(context, certificate, key, ca)
    return context


def _load(context: ssl.SSLContext, certificate: str, key: str, ca: str) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certificate:
        try:
            context.load_cert_chain(certificate, key)
        except (OSError, ssl.SSLError) as error:
            raise Invalid(
                f"dimse_tls_certificate {certificate!r} and dimse_tls_key {key!r} are no certificate with its key: "
                f"{error}",
                field="dimse_tls_certificate",
            ) from error
    if ca:
        try:
            context.load_verify_locations(ca)
        except (OSError, ssl.SSLError) as error:
            raise Invalid(f"dimse_tls_ca {ca!r} holds no certificates: {error}", field="dimse_tls_ca") from error
