"""SSH signatures: what is believed, and each reason for which one is not."""

from __future__ import annotations

from pathlib import Path

import pytest
from sign_off_samples import ANNA, EVE, OWNER, make_keys, needs_ssh_keygen, public

from playbook.errors import SignatureRefused
from playbook.evaluate import ssh_signature
from playbook.evaluate.ssh_signature import belongs_to, key_of, principals, sign, verify

pytestmark = needs_ssh_keygen
TEXT, PURPOSE = b"ship rung_1\n", "playbook-sign-off"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def signers(tmp_path: Path, keys: Path) -> Path:
    path = tmp_path / "allowed_signers"
    path.write_text(f"# who may sign\n{ANNA} {public(keys / 'anna')}\n{OWNER} {public(keys / 'max')} max\n", "utf-8")
    return path


def test_the_right_signature_is_believed_of_bytes_and_of_a_file(tmp_path: Path, keys: Path, signers: Path) -> None:
    made = sign(TEXT, keys / "anna", PURPOSE)
    (tmp_path / "statement").write_bytes(TEXT)
    verify(TEXT, made, signers, ANNA, PURPOSE)
    verify(tmp_path / "statement", made, signers, ANNA, PURPOSE)
    assert principals(made, signers) == (ANNA,)
    assert principals(sign(TEXT, keys / "eve", PURPOSE), signers) == ()
    assert key_of(made).blob == public(keys / "anna").split()[1]


def test_an_altered_text_is_refused(keys: Path, signers: Path) -> None:
    with pytest.raises(SignatureRefused, match="altered after it was signed"):
        verify(TEXT + b" ", sign(TEXT, keys / "anna", PURPOSE), signers, ANNA, PURPOSE)


def test_a_signature_for_another_purpose_is_refused(keys: Path, signers: Path) -> None:
    with pytest.raises(SignatureRefused, match=f"another purpose; sign with `-n {PURPOSE}`"):
        verify(TEXT, sign(TEXT, keys / "anna", "git"), signers, ANNA, PURPOSE)


def test_an_unknown_key_is_refused(keys: Path, signers: Path) -> None:
    with pytest.raises(SignatureRefused, match=f"wrong key: SHA256:.* is not in the allowed-signers file .*{ANNA}"):
        verify(TEXT, sign(TEXT, keys / "eve", PURPOSE), signers, ANNA, PURPOSE)


def test_the_key_of_somebody_else_is_refused(keys: Path, signers: Path) -> None:
    with pytest.raises(SignatureRefused, match=f"belongs to {OWNER}, expected a key of {ANNA}"):
        verify(TEXT, sign(TEXT, keys / "max", PURPOSE), signers, ANNA, PURPOSE)


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ('valid-before="20200101"', "has expired"),
        ('valid-after="20990101"', "is not valid yet"),
        ('namespaces="git,file"', f"may not be used for {PURPOSE}"),
    ],
)
def test_an_entry_that_does_not_apply_is_refused(keys: Path, signers: Path, option: str, reason: str) -> None:
    signers.write_text(f"{ANNA} {option} {public(keys / 'anna')}\n", "utf-8")
    with pytest.raises(SignatureRefused, match=f"the entry of {ANNA} .* {reason}"):
        verify(TEXT, sign(TEXT, keys / "anna", PURPOSE), signers, ANNA, PURPOSE)


def test_a_revoked_key_is_refused(tmp_path: Path, keys: Path, signers: Path) -> None:
    made, revoked = sign(TEXT, keys / "anna", PURPOSE), tmp_path / "revoked"
    revoked.write_text(public(keys / "eve") + "\n", "utf-8")
    verify(TEXT, made, signers, ANNA, PURPOSE, revoked)
    revoked.write_text(public(keys / "anna") + "\n", "utf-8")
    with pytest.raises(SignatureRefused, match="revokes; sign with another key"):
        verify(TEXT, made, signers, ANNA, PURPOSE, revoked)
    with pytest.raises(SignatureRefused, match="expected a key revocation list"):
        verify(TEXT, made, signers, ANNA, PURPOSE, tmp_path / "nowhere")


@pytest.mark.parametrize(
    "junk", [b"", b"yes", b"-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----\n", b"\xff" * 90]
)
def test_what_is_no_signature_is_refused(signers: Path, junk: bytes) -> None:
    with pytest.raises(SignatureRefused, match="expected an SSH signature"):
        verify(TEXT, junk, signers, ANNA, PURPOSE)


def test_missing_files_are_named(tmp_path: Path, keys: Path) -> None:
    with pytest.raises(SignatureRefused, match=r"expected an allowed-signers file at .*nowhere"):
        verify(TEXT, sign(TEXT, keys / "anna", PURPOSE), tmp_path / "nowhere", ANNA, PURPOSE)
    with pytest.raises(SignatureRefused, match="expected an SSH key file"):
        sign(TEXT, tmp_path / "nowhere", PURPOSE)
    (tmp_path / "no-key").write_text("hello", "utf-8")
    with pytest.raises(SignatureRefused, match="could not sign"):
        sign(TEXT, tmp_path / "no-key", PURPOSE)


def test_without_ssh_keygen_it_says_what_to_install(
    keys: Path, signers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = sign(TEXT, keys / "anna", PURPOSE)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SignatureRefused, match="install OpenSSH"):
        verify(TEXT, made, signers, ANNA, PURPOSE)


def test_whose_key_it_is_holds_for_patterns_expired_lines_and_capitals(keys: Path, signers: Path) -> None:
    made, key = sign(TEXT, keys / "anna", PURPOSE), public(keys / "anna")
    for line, mine in (
        (f"{OWNER} {key}", True),
        (f'{OWNER} valid-before="20200101" {key}', True),
        (f"*@example.org {key}", True),
        (f"*@example.org,!{OWNER} {key}", False),
        (f"max@exam?le.org {key}", True),
        (f"{OWNER.upper()} {key}", True),
        (f"# {OWNER} {key}", False),
        (f"{EVE} {key}", False),
    ):
        signers.write_text(line + "\n", "utf-8")
        assert belongs_to(made, signers, OWNER) is mine, line


def test_a_waiting_prompt_does_not_hang(keys: Path, signers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = sign(TEXT, keys / "anna", PURPOSE)

    def never(*arguments: object, **options: object) -> object:
        raise ssh_signature.subprocess.TimeoutExpired("ssh-keygen", 30)

    monkeypatch.setattr(ssh_signature.subprocess, "run", never)
    with pytest.raises(SignatureRefused, match="no answer within 30 s"):
        verify(TEXT, made, signers, ANNA, PURPOSE)
