"""SSH signatures over files and statements: `ssh-keygen -Y` of OpenSSH 8.2 or later does all of the cryptography.

Sources: ssh-keygen(1), sections ALLOWED SIGNERS and KEY REVOCATION LISTS; PROTOCOL.sshsig of OpenSSH.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from playbook.errors import SignatureRefused

SECONDS = 30.0  # for whatever needs no person
SIGNING_SECONDS = 180.0  # somebody may have to type a passphrase or touch a key
MAGIC = b"SSHSIG"
MOST = 1 << 16  # bytes of a signature; those of all key types are far below
Done = subprocess.CompletedProcess[bytes]


@dataclass(frozen=True)
class SigningKey:
    """The public key inside a signature: base64 as allowed-signers files have it, and its fingerprint."""

    blob: str
    fingerprint: str


def sign(payload: bytes, key: Path, namespace: str) -> bytes:
    """Sign bytes with a private key, or with a public key whose private half an agent holds.

    Raises:
        SignatureRefused: there is no such key, or ssh-keygen cannot sign with it.
    """
    if not key.is_file():
        raise SignatureRefused(f"expected an SSH key file at {key}, found none; name the file of your private key")
    with tempfile.TemporaryDirectory(prefix="sign-") as folder:
        path = Path(folder) / "statement"
        path.write_bytes(payload)
        done = _ssh_keygen(["-Y", "sign", "-f", str(key.resolve()), "-n", namespace, str(path)], b"", SIGNING_SECONDS)
        made = path.with_name("statement.sig")
        if done.returncode != 0 or not made.is_file():
            raise SignatureRefused(
                f"ssh-keygen could not sign with {key}: {_said(done) or 'no reason given'}; use a private key that you "
                "can open, or the .pub file of a key that your agent holds"
            )
        return made.read_bytes()


def verify(
    payload: bytes | Path,
    signature: bytes,
    allowed_signers: Path,
    identity: str,
    namespace: str,
    revoked: Path | None = None,
) -> None:
    """Verify that `identity` signed exactly `payload` for the purpose `namespace`.

    Args:
        payload: the bytes, or a file that has them.
        signature: what `ssh-keygen -Y sign` wrote.
        allowed_signers: who may sign with which key, now; keys that have expired by now are refused.
        identity: the principal in that file who must have signed.
        namespace: the purpose that the signature was made for.
        revoked: keys that are no longer believed, a key revocation list or public keys.

    Raises:
        SignatureRefused: with the reason: altered payload, wrong or unknown key, expired or revoked entry, ssh-keygen
            missing.
    """
    content = payload.read_bytes() if isinstance(payload, Path) else payload
    for path, what in ((allowed_signers, "an allowed-signers file"), (revoked, "a key revocation list")):
        if path is not None and not path.is_file():
            raise SignatureRefused(f"expected {what} at {path}, found none; see sign_off in the task file")
    with tempfile.TemporaryDirectory(prefix="verify-") as folder:
        sig = Path(folder) / "signature"
        sig.write_bytes(signature)
        command = ["-Y", "verify", "-f", str(allowed_signers), "-I", identity, "-n", namespace, "-s", str(sig)]
        done = _ssh_keygen([*command, *(["-r", str(revoked)] if revoked else [])], content)
        if done.returncode == 0:
            return
        if revoked is not None and _ssh_keygen(command, content).returncode == 0:
            key = key_of(signature).fingerprint
            raise SignatureRefused(f"the signature is by key {key}, which {revoked} revokes; sign with another key")
        intact = _ssh_keygen(["-Y", "check-novalidate", "-n", namespace, "-s", str(sig)], content)
    if intact.returncode != 0:
        raise SignatureRefused(_unfit(signature, intact, namespace))
    raise SignatureRefused(_wrong_key(signature, allowed_signers, identity, namespace, _said(done)))


def principals(signature: bytes, allowed_signers: Path) -> tuple[str, ...]:
    """Who the allowed-signers file says may sign with the key of a signature, now; none for an unknown key."""
    with tempfile.TemporaryDirectory(prefix="principals-") as folder:
        sig = Path(folder) / "signature"
        sig.write_bytes(signature)
        done = _ssh_keygen(["-Y", "find-principals", "-s", str(sig), "-f", str(allowed_signers)])
    if done.returncode != 0:
        return ()
    return tuple(dict.fromkeys(name for line in done.stdout.decode().splitlines() for name in line.split(",") if name))


def belongs_to(signature: bytes, allowed_signers: Path, identity: str) -> bool:
    """Whether the allowed-signers file lists the key of a signature for somebody, expired or not, for any purpose."""
    listed = _listed(signature, allowed_signers)
    known = ",".join(principals(signature, allowed_signers))
    return any(_matches(patterns, identity) for patterns in (*listed, known))


def key_of(signature: bytes) -> SigningKey:
    """The public key that a signature carries; whether it fits is not checked here.

    Raises:
        SignatureRefused: it is no SSH signature.
    """
    found = re.fullmatch(
        rb"\s*-----BEGIN SSH SIGNATURE-----([A-Za-z0-9+/=\s]+)-----END SSH SIGNATURE-----\s*", signature[:MOST]
    )
    try:
        raw = base64.b64decode(b"".join(found[1].split()), validate=True) if found else b""
    except ValueError:
        raw = b""
    length = int.from_bytes(raw[10:14], "big")
    blob = raw[14 : 14 + length]
    if not raw.startswith(MAGIC) or length == 0 or len(blob) != length:
        raise SignatureRefused("expected an SSH signature as `ssh-keygen -Y sign` writes it, found something else")
    digest = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
    return SigningKey(base64.b64encode(blob).decode(), f"SHA256:{digest}")


def _listed(signature: bytes, allowed_signers: Path) -> list[str]:
    """Principals of every line with the key of a signature."""
    blob = key_of(signature).blob
    lines = [line.split() for line in allowed_signers.read_text(encoding="utf-8", errors="replace").splitlines()]
    return [words[0].strip('"') for words in lines if blob in words[1:] and not words[0].startswith("#")]


def _matches(patterns: str, identity: str) -> bool:
    """Patterns as in ssh_config(5), PATTERNS, but without regard to case: nobody is another person in capitals."""
    hit = False
    for pattern in patterns.split(","):
        expression = re.escape(pattern.removeprefix("!")).replace(r"\*", ".*").replace(r"\?", ".")
        if re.fullmatch(expression, identity, re.IGNORECASE | re.DOTALL):
            if pattern.startswith("!"):
                return False
            hit = True
    return hit


def _unfit(signature: bytes, done: Done, namespace: str) -> str:
    key_of(signature)  # says so where it is not a signature at all
    if "namespace" in _said(done):
        return f"the signature was made for another purpose; sign with `-n {namespace}`"
    return "the signature does not fit the text: that was altered after it was signed, or signed with another key"


def _wrong_key(signature: bytes, allowed_signers: Path, identity: str, namespace: str, said: str) -> str:
    key, listed = key_of(signature).fingerprint, _listed(signature, allowed_signers)
    if not listed and not principals(signature, allowed_signers):
        return f"wrong key: {key} is not in the allowed-signers file {allowed_signers}; {identity} has to sign"
    if not belongs_to(signature, allowed_signers, identity):
        owners = ", ".join(listed or principals(signature, allowed_signers))
        return f"wrong key: {key} belongs to {owners}, expected a key of {identity}"
    for sign_of, reason in (
        ("expired", "has expired"),
        ("not yet valid", "is not valid yet"),
        ("not permitted", f"may not be used for {namespace}"),
    ):
        if sign_of in said:
            return f"the entry of {identity} in {allowed_signers} {reason} (key {key}); renew it, then sign again"
    return f"ssh-keygen does not accept the signature by {key} for {identity}: {said or 'no reason given'}"


def _said(done: Done) -> str:
    lines = (done.stderr + b"\n" + done.stdout).decode(errors="replace").splitlines()
    return "; ".join(dict.fromkeys(line.strip() for line in lines if line.strip()))


def _ssh_keygen(arguments: list[str], stdin: bytes = b"", seconds: float = SECONDS) -> Done:
    try:
        return subprocess.run(
            ["ssh-keygen", *arguments],
            capture_output=True,
            timeout=seconds,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
            input=stdin,
        )
    except OSError as error:
        found = "none" if isinstance(error, FileNotFoundError) else f"one that does not start ({type(error).__name__})"
        raise SignatureRefused(
            f"expected ssh-keygen of OpenSSH 8.2 or later on the PATH, found {found}; install OpenSSH"
        ) from None
    except subprocess.TimeoutExpired:
        raise SignatureRefused(
            f"ssh-keygen gave no answer within {seconds:g} s; is it waiting for a passphrase or a touch? Try again"
        ) from None
