"""Content Credentials (C2PA) in MP4, by c2pa-python: a certificate of one's own, and no network.

The key is the leaf's; the CA's is derived from it, and both certificates are made on the spot. So a stranger's
validator says that the file is whole, and that it does not know who signed it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from stale_diffusion.errors import StaleError
from stale_diffusion.trust.keys import Key
from stale_diffusion.version import VERSION

LABEL = "org.stale-diffusion.manifest"
DAYS = 3650
SOURCE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


def available() -> bool:
    """Whether c2pa-python is installed (the extra `c2pa`)."""
    return find_spec("c2pa") is not None


def embed(path: Path, manifest: bytes, key: Key) -> None:
    """Sign an MP4 in place, with our own manifest as an assertion; nothing where c2pa-python is missing.

    Raises:
        StaleError: it cannot be signed; the file stays as it was.
    """
    if not available():
        return
    import c2pa

    actions = [{"action": "c2pa.created", "digitalSourceType": SOURCE}]
    record = {
        "claim_generator_info": [{"name": "stale-diffusion", "version": VERSION}],
        "title": path.name,
        "format": "video/mp4",
        "assertions": [
            {"label": "c2pa.actions", "data": {"actions": actions}},
            {"label": LABEL, "data": {"manifest": base64.b64encode(manifest).decode()}},
        ],
    }
    chain, private = _certificates(key)
    part = path.with_name(f"{path.stem}.c2pa.part{path.suffix}")
    try:
        about = c2pa.C2paSignerInfo(b"ed25519", chain, private, None)  # no time stamp: no network
        signer = c2pa.Signer.from_info(about)
        c2pa.Builder(json.dumps(record)).sign_file(path, part, signer)
        os.replace(part, path)
    except (c2pa.C2paError, OSError) as error:
        raise StaleError(f"{path} was written, but not signed by C2PA.", str(error)[:200], "name it .mkv") from None
    finally:
        part.unlink(missing_ok=True)


def state(path: Path) -> str | None:
    """What C2PA says of a file, whoever signed it: "valid" or "altered"; None: no credentials can be read."""
    store = _store(path)
    if store is None:
        return None
    codes = [str(entry.get("code")) for entry in store.get("validation_status") or []]
    return "altered" if any(code.endswith("mismatch") for code in codes) else "valid"


def manifest_of(path: Path) -> bytes | None:
    """Our own manifest in the credentials of a file; None where there is none."""
    store = _store(path)
    active = (store or {}).get("manifests", {}).get((store or {}).get("active_manifest"), {})
    for assertion in active.get("assertions", []):
        if assertion.get("label") == LABEL:
            return base64.b64decode(str(assertion["data"].get("manifest", "")))
    return None


def _store(path: Path) -> dict[str, Any] | None:
    if path.suffix.lower() not in (".mp4", ".m4v", ".mov") or not available():
        return None
    import c2pa

    try:
        with c2pa.Reader(path) as reader:
            found = json.loads(reader.json())
    except (c2pa.C2paError, ValueError, OSError):
        return None
    return found if isinstance(found, dict) else None


def _certificates(key: Key) -> tuple[bytes, bytes]:
    """PEM of leaf and CA, and PEM of the leaf's private key; both derived from the key, so they are always the same."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    def name(of: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "stale-diffusion"),
                          x509.NameAttribute(NameOID.COMMON_NAME, f"{of} {key.public.id}")])  # fmt: skip

    root = Key(hashlib.sha256(b"stale-diffusion certificate authority 1\0" + key.raw).digest())
    signer, mine = (Ed25519PrivateKey.from_private_bytes(k.raw) for k in (root, key))
    begin = datetime.now(UTC) - timedelta(days=1)

    def certificate(of: str, public: Any, serial: int, ca: bool) -> x509.Certificate:
        identifier = x509.SubjectKeyIdentifier.from_public_key(public)
        usage = x509.KeyUsage(not ca, False, False, False, False, ca, ca, False, False)
        built = (
            x509.CertificateBuilder(name("authority"), name(of), public, serial, begin, begin + timedelta(days=DAYS))
            .add_extension(x509.BasicConstraints(ca, None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(identifier, critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        )
        if not ca:
            built = built.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        return built.sign(signer, None)

    chain = (
        certificate("signer", mine.public_key(), x509.random_serial_number(), False),
        certificate("authority", signer.public_key(), x509.random_serial_number(), True),
    )
    return b"".join(c.public_bytes(Encoding.PEM) for c in chain), key.pem()
