"""Servers behind TLS, and keys that must not be read on the way."""

from __future__ import annotations

import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import trustme

from indexer.errors import StoreError, StoreUnavailable
from indexer.store.server import connect
from tests.indexer.store.facade import Facade
from tests.indexer.store.grpc_facade import GrpcFacade
from tests.indexer.store.samples import DIM, RECIPE, SEGMENTS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def context_of(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)
    return context


@pytest.fixture
def server(authority: trustme.CA) -> Iterator[Facade]:
    """A server with a certificate of the private authority."""
    with Facade(tls=context_of(authority.issue_cert("127.0.0.1"))) as facade:
        yield facade


@pytest.fixture
def trusted(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The authority's file, named in the environment."""
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    monkeypatch.setenv("QDRANT_CA_CERT", str(path))
    return path


@pytest.mark.usefixtures("trusted")
def test_a_private_authority_is_trusted_if_named(
    server: Facade, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QDRANT_API_KEY", "secret")
    with closing(connect(f"{server.url}/photos")) as store:
        store.create(RECIPE, DIM)
        store.upsert("segments", SEGMENTS)
        assert store.count("segments") == len(SEGMENTS)
    assert {headers["api-key"] for _, headers in server.seen} == {"secret"}


def test_an_authority_that_the_system_trusts_needs_no_name(
    server: Facade, trusted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("QDRANT_CA_CERT")
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))  # OpenSSL's own name for the system's list
    with closing(connect(f"{server.url}/photos")) as store:
        assert store.recipe() is None


def test_an_unknown_authority_is_refused_at_once(server: Facade) -> None:
    with (
        closing(connect(f"{server.url}/photos")) as store,
        pytest.raises(StoreError, match=r"nobody trusted.*set QDRANT_CA_CERT") as caught,
    ):
        store.recipe()
    assert not isinstance(caught.value, StoreUnavailable)
    assert server.seen == []


@pytest.mark.usefixtures("trusted")
def test_a_certificate_for_another_name_is_refused(authority: trustme.CA) -> None:
    with (
        Facade(tls=context_of(authority.issue_cert("qdrant.example.org"))) as facade,
        closing(connect(f"{facade.url}/photos")) as store,
        pytest.raises(StoreError, match="certificate for another name"),
    ):
        store.recipe()


@pytest.mark.usefixtures("trusted")
def test_https_to_a_port_without_tls_is_explained(facade: Facade) -> None:
    location = facade.url.replace("http://", "https://")
    with (
        closing(connect(f"{location}/photos")) as store,
        pytest.raises(StoreError, match=r"does not speak TLS.*http://"),
    ):
        store.recipe()


def test_http_to_a_port_with_tls_is_explained(server: Facade) -> None:
    location = server.url.replace("https://", "http://")
    with (
        closing(connect(f"{location}/photos")) as store,
        pytest.raises(StoreError, match=r"TLS.*https://"),
    ):
        store.recipe()


def test_the_alert_of_a_server_with_tls_is_understood() -> None:
    """Qdrant's own TLS library answers with a record of its own before it hangs up."""
    alert = b"\x15\x03\x01\x00\x02\x02\x46"

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(4096)
            self.request.sendall(alert)

    with socketserver.TCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        with (
            closing(connect(f"http://127.0.0.1:{server.server_address[1]}/photos")) as store,
            pytest.raises(StoreError, match=r"does not answer in HTTP.*https://") as caught,
        ):
            store.recipe()
        server.shutdown()
        thread.join()
    assert not isinstance(caught.value, StoreUnavailable)


def test_a_server_can_ask_who_calls(
    authority: trustme.CA, trusted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = context_of(authority.issue_cert("127.0.0.1"))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(trusted)
    caller = authority.issue_cert("segsearch@example.org")
    certificate, key = tmp_path / "client.pem", tmp_path / "client.key"
    certificate.write_bytes(b"".join(blob.bytes() for blob in caller.cert_chain_pems))
    caller.private_key_pem.write_to_path(str(key))
    with Facade(tls=context) as facade:
        with (
            closing(connect(f"{facade.url}/photos")) as store,
            pytest.raises(StoreError, match="QDRANT_CLIENT_CERT and QDRANT_CLIENT_KEY"),
        ):
            store.recipe()
        monkeypatch.setenv("QDRANT_CLIENT_CERT", str(certificate))
        monkeypatch.setenv("QDRANT_CLIENT_KEY", str(key))
        with closing(connect(f"{facade.url}/photos")) as store:
            assert store.recipe() is None


def test_certificates_that_cannot_be_read_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("no certificate")
    monkeypatch.setenv("QDRANT_CLIENT_KEY", str(nonsense))
    with pytest.raises(StoreError, match="QDRANT_CLIENT_CERT is not"):
        connect("https://localhost/photos")
    for path in (nonsense, tmp_path / "absent.pem"):
        monkeypatch.setenv("QDRANT_CLIENT_CERT", str(path))
        with pytest.raises(StoreError, match=f"QDRANT_CLIENT_CERT .*{path}"):
            connect("https://localhost/photos")
    for path in (nonsense, tmp_path / "absent.pem"):
        monkeypatch.setenv("QDRANT_CA_CERT", str(path))
        with pytest.raises(StoreError, match=f"QDRANT_CA_CERT .*{path}"):
            connect("https://localhost/photos")


# gRPC


def test_grpc_trusts_the_same(
    server: Facade, authority: trustme.CA, trusted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaf = authority.issue_cert("127.0.0.1")
    chain = b"".join(blob.bytes() for blob in leaf.cert_chain_pems)
    with GrpcFacade(server, (leaf.private_key_pem.bytes(), chain)) as grpc:
        opened = grpc.connecting(connect)
        with closing(opened(f"{server.url}/photos")) as store:
            store.create(RECIPE, DIM)
        monkeypatch.delenv("QDRANT_CA_CERT")
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
        with closing(opened(f"{server.url}/photos")) as store:
            assert store.recipe() == RECIPE
        monkeypatch.delenv("SSL_CERT_FILE")
        with (
            closing(opened(f"{server.url}/photos")) as store,
            pytest.raises(StoreError, match=r"nobody trusted.*set QDRANT_CA_CERT"),
        ):
            store.recipe()
        with (
            closing(opened(f"{server.url.replace('https', 'http')}/photos")) as store,
            pytest.raises(StoreUnavailable, match=r"if it wants TLS, write https://"),
        ):
            store.recipe()


# Keys


@pytest.mark.parametrize("host", ["qdrant.example.org", "10.0.0.7", "[2001:db8::1]"])
def test_a_key_does_not_go_to_another_machine_in_the_open(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QDRANT_API_KEY", "secret")
    with pytest.raises(StoreError, match=r"QDRANT_API_KEY.*https.*QDRANT_ALLOW_INSECURE_KEY=1"):
        connect(f"http://{host}/photos")
    connect(f"https://{host}/photos").close()
    monkeypatch.setenv("QDRANT_ALLOW_INSECURE_KEY", "1")
    connect(f"http://{host}/photos").close()
    monkeypatch.delenv("QDRANT_ALLOW_INSECURE_KEY")
    monkeypatch.setenv("QDRANT_API_KEY", " \n")  # as good as none
    connect(f"http://{host}/photos").close()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1.2.3", "[::1]"])
def test_a_key_may_stay_on_this_machine(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QDRANT_API_KEY", "secret")
    connect(f"http://{host}/photos").close()
