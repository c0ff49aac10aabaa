"""A local server in the place of Google Cloud Storage, as an emulator or as Google itself."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import http.server
import json
import os
import socket
import threading
from pathlib import Path

import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

_HOSTS = ("www.googleapis.com", "storage.googleapis.com")
_TOKEN = json.dumps({"access_token": "local", "expires_in": 3600, "token_type": "Bearer"})


@dataclasses.dataclass(frozen=True)
class LocalGoogle:
    """Where fake-gcs-server listens.

    Args:
        port, tls_port: for the emulator, and for Google itself.
        directory: for a certificate and credentials.
    """

    port: int
    tls_port: int
    directory: Path

    @property
    def url(self) -> str:
        """What STORAGE_EMULATOR_HOST is to be."""
        return f"http://127.0.0.1:{self.port}"

    def flags(self) -> list[str]:
        """The server's command line."""
        certificate, key = _write_certificate(self.directory)
        return [
            *("-backend=memory", "-scheme=both", "-host=127.0.0.1", "-log-level=error"),
            *(f"-port={self.tls_port}", f"-port-http={self.port}", f"-external-url={self.url}"),
            *("-public-host=storage.googleapis.com", f"-cert-location={certificate}"),
            f"-private-key-location={key}",
        ]

    def create_bucket(self, name: str) -> None:
        """Make a bucket."""
        requests.post(f"{self.url}/storage/v1/b", json={"name": name}).raise_for_status()

    @functools.cached_property
    def environment(self) -> dict[str, str]:
        """Variables with which clients take it for Google itself: TLS, and credentials of a file.

        They are led here by a proxy. TensorFlow's own client knows no emulator.
        """
        port = _Tunnel(self.tls_port).server_address[1]
        certificate = str(self.directory / "certificate.pem")
        kept = {name: value for name, value in os.environ.items() if "EMULATOR" not in name}
        return kept | {
            "https_proxy": f"http://127.0.0.1:{port}",
            "CURL_CA_BUNDLE": certificate,
            "REQUESTS_CA_BUNDLE": certificate,
            "GOOGLE_APPLICATION_CREDENTIALS": str(_write_credentials(self.directory, port)),
        }


def _write_certificate(directory: Path) -> tuple[Path, Path]:
    """A certificate of Google's hosts, signed by itself, and its key."""
    key, today = _new_key(), datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "local")])
    hosts = x509.SubjectAlternativeName([x509.DNSName(host) for host in _HOSTS])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, today - day, today + day)
        .add_extension(hosts, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (directory / "certificate.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (directory / "key.pem").write_bytes(_as_pem(key))
    return directory / "certificate.pem", directory / "key.pem"


def _write_credentials(directory: Path, port: int) -> Path:
    """A service account's file, whose tokens are given out by the `_Tunnel` at `port`."""
    account = {
        "type": "service_account",
        "project_id": "local",
        "private_key_id": "1",
        "private_key": _as_pem(_new_key()).decode(),
        "client_email": "local@local.iam.gserviceaccount.com",
        "client_id": "1",
        "token_uri": f"http://127.0.0.1:{port}/token",
    }
    file = directory / "credentials.json"
    file.write_text(json.dumps(account))
    return file


class _Tunnel(http.server.ThreadingHTTPServer):
    """A proxy whose tunnels all lead to one local port; it also gives out tokens."""

    def __init__(self, target: int) -> None:
        super().__init__(("127.0.0.1", 0), _Visitor)
        self.target = target
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Visitor(http.server.BaseHTTPRequestHandler):
    def do_CONNECT(self) -> None:
        """Lead to the target, whatever was asked for."""
        with socket.create_connection(("127.0.0.1", self.server.target)) as target:
            self.send_response(200)
            self.end_headers()
            threading.Thread(target=_pass_on, args=(target, self.connection), daemon=True).start()
            _pass_on(self.connection, target)

    def do_POST(self) -> None:
        """Give out a token."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(_TOKEN)))
        self.end_headers()
        self.wfile.write(_TOKEN.encode())

    def log_message(self, format: str, *arguments: object) -> None:
        """Not to the terminal."""


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:  # one side has hung up
        pass


def _new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def _as_pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
