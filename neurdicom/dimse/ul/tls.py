"""TLS contexts for DIMSE (PS3.15 B.9, B.10), in both directions."""

import ssl

from neurdicom.errors import Invalid


def acceptor_context(certificate: str, key: str, ca: str) -> ssl.SSLContext | None:
    """Make the TLS context for accepted connections.

    Parameters
    ----------
    certificate, key : str
        Paths of our certificate and its key.
    ca : str
        Path of the CA that must have signed the peers' certificates; empty to accept peers without one.

    Returns
    -------
    ssl.SSLContext or None
        None without a certificate.

    Raises
    ------
    Invalid
        A file is missing or not valid.
    """
    if not certificate:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _load(context, certificate, key, ca)
    if ca:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def requestor_context(certificate: str, key: str, ca: str) -> ssl.SSLContext:
    """Make the TLS context for connections that we open to nodes that use TLS.

    The names in the peer's certificate are not checked, since DICOM nodes are known by address.

    Parameters
    ----------
    certificate, key : str
        Paths of our certificate and its key; empty to present none.
    ca : str
        Path of the CA that must have signed the peers' certificates; empty for the machine's own CAs.

    Returns
    -------
    ssl.SSLContext

    Raises
    ------
    Invalid
        A file is missing or not valid.
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
                f"dimse_tls_certificate {certificate!r} and dimse_tls_key {key!r} are not a certificate with its key: "
                f"{error}",
                field="dimse_tls_certificate",
            ) from error
    if ca:
        try:
            context.load_verify_locations(ca)
        except (OSError, ssl.SSLError) as error:
            raise Invalid(f"dimse_tls_ca {ca!r} holds no certificates: {error}", field="dimse_tls_ca") from error
