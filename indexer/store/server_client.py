"""A client of a Qdrant server: its key, its certificates and its protocol.

They are the environment's, as they belong to a machine and not to an index: `QDRANT_API_KEY`,
`QDRANT_ALLOW_INSECURE_KEY`, `QDRANT_CA_CERT`, `QDRANT_CLIENT_CERT`, `QDRANT_CLIENT_KEY` and
`QDRANT_GRPC_PORT`. An empty variable is one that is not set.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
from pathlib import Path
from typing import Any

from qdrant_client import QdrantClient

from indexer.errors import StoreError
from indexer.store.server_link import Address

_AUTHORITY, _CERTIFICATE, _PRIVATE = "QDRANT_CA_CERT", "QDRANT_CLIENT_CERT", "QDRANT_CLIENT_KEY"
_MOST_PORT = 65535


def client_for(address: Address, timeout_s: int) -> QdrantClient:
    """Return a client of the server at the address; nothing is sent yet.

    Raises:
        StoreError: what the environment says cannot be used, or would give the key away.
    """
    host = f"[{address.host}]" if ":" in address.host else address.host
    grpc_port = _grpc_port()
    key = _key(address)
    context = _context() if address.scheme == "https" else None
    return QdrantClient(
        url=f"{address.scheme}://{host}:{address.port}",
        port=address.port,
        grpc_port=grpc_port or 0,
        prefer_grpc=grpc_port is not None,
        grpc_options=_grpc_certificates(context) if context and grpc_port else None,
        # as a header, because qdrant-client warns of keys without TLS, even on this machine
        headers={"api-key": key} if key else None,
        timeout=timeout_s,
        check_compatibility=False,
        verify=context or True,
    )


def _value(name: str) -> str | None:
    return os.environ.get(name, "").strip() or None


def _grpc_port() -> int | None:
    value = _value("QDRANT_GRPC_PORT")
    if value is None:
        return None
    if not value.isdecimal() or not 0 < int(value) <= _MOST_PORT:
        raise StoreError(f"QDRANT_GRPC_PORT is {value!r}, which is no port", "Qdrant's own is 6334")
    return int(value)


def _key(address: Address) -> str | None:
    """Return the API key, unless it would go through a network for all to read."""
    key = _value("QDRANT_API_KEY")
    safe = address.scheme == "https" or _is_this_machine(address.host)
    if key and not safe and _value("QDRANT_ALLOW_INSECURE_KEY") != "1":
        raise StoreError(
            f"QDRANT_API_KEY would go to {address.host} over http, which others can read",
            "write https:// (docs/operations.md has how), or, if nobody else is on that network, "
            "set QDRANT_ALLOW_INSECURE_KEY=1",
        )
    return key


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _context() -> ssl.SSLContext:
    """Return whom to trust: the authority that is named, else those that the system trusts."""
    authority, certificate, key = _value(_AUTHORITY), _value(_CERTIFICATE), _value(_PRIVATE)
    try:
        context = ssl.create_default_context(cafile=authority)
    except OSError as error:
        raise _unreadable(_AUTHORITY, authority, error) from error
    if key and not certificate:
        raise StoreError(f"{_PRIVATE} is set, {_CERTIFICATE} is not", "set both or neither")
    if certificate:
        try:
            # an empty password, or OpenSSL would ask for one on the terminal
            context.load_cert_chain(certificate, key, password="")
        except OSError as error:
            where = f"{certificate} and {key}" if key else certificate
            raise _unreadable(_CERTIFICATE, where, error) from error
    return context


def _grpc_certificates(context: ssl.SSLContext) -> dict[str, Any]:
    """Return the same for gRPC, which would trust a list of its own, and reads no files."""
    certificate, key = _value(_CERTIFICATE), _value(_PRIVATE)
    trusted = [ssl.DER_cert_to_PEM_cert(each) for each in context.get_ca_certs(binary_form=True)]
    return {
        "root_certificates": "".join(trusted).encode() or None,
        "certificate_chain": Path(certificate).read_bytes() if certificate else None,
        "private_key": Path(key or certificate).read_bytes() if certificate else None,
    }


def _unreadable(variable: str, where: str | None, error: OSError) -> StoreError:
    said = error.strerror or str(error)
    return StoreError(
        f"cannot use the certificate in {variable} ({where}): {said}", "give a path of a PEM file"
    )
