"""Our check of Ed25519 signatures agrees with `cryptography`: on good, bad and odd ones."""

import pytest

from instrument_local.ledger import ed25519

ed = pytest.importorskip(
    "cryptography.hazmat.primitives.asymmetric.ed25519", reason="the oracle of signatures"
)
_L = 2**252 + 27742317777372353535851937790883648493
_P = 2**255 - 19
# RFC 8032, section 7.1, tests 1 to 3: public key, message, signature.
RFC = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        (
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
            "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        ),
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        (
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        ),
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        (
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
            "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
        ),
    ),
]


def _oracle(public: bytes, message: bytes, signature: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        ed.Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


@pytest.mark.parametrize(("public", "message", "signature"), RFC)
def test_the_examples_of_the_rfc(public: str, message: str, signature: str) -> None:
    key, text, signed = map(bytes.fromhex, (public, message, signature))
    assert ed25519.verify(key, text, signed)
    assert not ed25519.verify(key, text + b"!", signed)


def test_every_changed_bit_is_found() -> None:
    private = ed.Ed25519PrivateKey.generate()
    public, message = private.public_key().public_bytes_raw(), b"message"
    signature = private.sign(message)
    assert ed25519.verify(public, message, signature)
    for bit in range(0, 64 * 8, 3):
        changed = bytearray(signature)
        changed[bit // 8] ^= 1 << bit % 8
        assert not ed25519.verify(public, message, bytes(changed))
    for bit in range(0, 32 * 8, 5):
        changed = bytearray(public)
        changed[bit // 8] ^= 1 << bit % 8
        assert not ed25519.verify(bytes(changed), message, signature)


def test_many_keys_and_messages_as_the_oracle_has_them() -> None:
    for number in range(40):
        private = ed.Ed25519PrivateKey.generate()
        public, message = private.public_key().public_bytes_raw(), b"x" * number
        signature = private.sign(message)
        assert ed25519.verify(public, message, signature)
        other = ed.Ed25519PrivateKey.generate().public_key().public_bytes_raw()
        assert not ed25519.verify(other, message, signature)


def test_a_second_form_of_a_good_signature_is_refused() -> None:
    private = ed.Ed25519PrivateKey.generate()
    public, message = private.public_key().public_bytes_raw(), b"message"
    signature = private.sign(message)
    scalar = int.from_bytes(signature[32:], "little") + _L
    malleable = signature[:32] + scalar.to_bytes(32, "little")
    assert not _oracle(public, message, malleable)
    assert not ed25519.verify(public, message, malleable)


@pytest.mark.parametrize(
    "point",
    [_P.to_bytes(32, "little"), (_P + 1).to_bytes(32, "little"), b"\xff" * 32, b"\x02" * 32],
)
def test_what_is_no_point_in_canonical_form_is_refused(point: bytes) -> None:
    private = ed.Ed25519PrivateKey.generate()
    signature = private.sign(b"message")
    assert not ed25519.verify(point, b"message", signature)
    public = private.public_key().public_bytes_raw()
    assert not ed25519.verify(public, b"message", point + signature[32:])


@pytest.mark.parametrize(("key", "signature"), [(31, 64), (33, 64), (32, 63), (32, 65), (0, 0)])
def test_other_lengths_are_refused(key: int, signature: int) -> None:
    assert not ed25519.verify(bytes(key), b"", bytes(signature))
