"""Keys and certificates as operators get them, made for one run."""

from __future__ import annotations

import json
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID

KEY_ID = "ABC123DEFG"
TEAM_ID = "TEAM123456"
TOPIC = "chat.example.app"
PROJECT = "chat-example"
EMAIL = f"push@{PROJECT}.iam.example"


@dataclass(frozen=True)
class Keys:
    folder: Path

    @property
    def apns_key(self) -> Path:
        return self.folder / f"AuthKey_{KEY_ID}.p8"

    @property
    def apns_public(self) -> Path:
        return self.folder / "apns.pub"

    @property
    def certificate(self) -> Path:
        return self.folder / "server.pem"

    @property
    def account(self) -> Path:
        return self.folder / "service-account.json"

    @property
    def account_public(self) -> Path:
        return self.folder / "account.pub"

    def server_tls(self) -> ssl.SSLContext:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(self.certificate, self.folder / "server.key")
        tls.set_alpn_protocols(["h2"])
        return tls

    def client_tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.certificate))

    def write_account(self, url: str) -> Path:
        """The key file of a service account whose tokens are given at this address."""
        about = {
            "type": "service_account",
            "project_id": PROJECT,
            "private_key_id": "1",
            "private_key": (self.folder / "account.key").read_text(),
            "client_email": EMAIL,
            "client_id": "1",
            "token_uri": f"{url}/token",
        }
        self.account.write_text(json.dumps(about))
        return self.account


def make_keys(folder: Path) -> Keys:
    keys = Keys(folder)
    apns = ec.generate_private_key(ec.SECP256R1())
    _write(keys.apns_key, keys.apns_public, apns)
    _write(folder / "account.key", keys.account_public, rsa.generate_private_key(65537, 2048))
    server = ec.generate_private_key(ec.SECP256R1())
    _write(folder / "server.key", folder / "server.pub", server)
    keys.certificate.write_bytes(_certificate(server))
    return keys


def _write(private: Path, public: Path, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> None:
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def _certificate(key: ec.EllipticCurvePrivateKey) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=7))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.PEM)
    )
