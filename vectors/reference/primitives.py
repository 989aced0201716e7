# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Integers, signatures, agreements and derivations: docs/spec/03-session.md, "Primitives"."""

import hashlib
import hmac as hmac_module

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from kyber_py.ml_kem import ML_KEM_768, ML_KEM_1024

Z = bytes(32)


class Refused(Exception):
    """An input that the specification refuses; the text names the sentence."""


def u8(value):
    return value.to_bytes(1, "big")


def u16(value):
    return value.to_bytes(2, "big")


def u32(value):
    return value.to_bytes(4, "big")


def u64(value):
    return value.to_bytes(8, "big")


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def hmac(key, *parts):
    return hmac_module.new(key, b"".join(parts), hashlib.sha256).digest()


def hkdf_expand(prk, info, length):
    """RFC 5869, section 2.3."""
    out, block, counter = b"", b"", 1
    while len(out) < length:
        block = hmac(prk, block, info, u8(counter))
        out += block
        counter += 1
    return out[:length]


def frame(length, label, ctx):
    """SES-3."""
    label = label.encode()
    return u16(length) + u8(len(label)) + label + u8(len(ctx)) + ctx


def kdf(salt, ikm, label, ctx, length):
    """SES-3; HKDF-Extract is HMAC with the salt as key."""
    return hkdf_expand(hmac(salt, ikm), frame(length, label, ctx), length)


def expand(key, label, ctx, length):
    """SES-4."""
    return hkdf_expand(key, frame(length, label, ctx), length)


def name(key, label, ctx, length):
    """SES-4."""
    return hmac(key, frame(length, label, ctx))[:length]


def split(data, *lengths):
    out, at = [], 0
    for length in lengths:
        out.append(data[at : at + length])
        at += length
    assert at == len(data)
    return out


# X25519 (SES-1).


def dh_public(secret):
    key = X25519PrivateKey.from_private_bytes(secret).public_key()
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def dh(secret, public):
    try:
        return X25519PrivateKey.from_private_bytes(secret).exchange(
            X25519PublicKey.from_public_bytes(public)
        )
    except ValueError:
        raise Refused("SES-1") from None


# ML-KEM (SES-2): ML-KEM-1024 in the handshake, ML-KEM-768 in the epochs; kyber-py takes the
# randomness as an argument.


def kem_public(seed, kem=ML_KEM_1024):
    return kem._keygen_internal(seed[:32], seed[32:])[0]


def kem_encapsulate(ek, randomness, kem=ML_KEM_1024):
    """Returns (secret, ciphertext)."""
    kem_check(ek, kem)
    return kem._encaps_internal(ek, randomness)


def kem_decapsulate(seed, ct, kem=ML_KEM_1024):
    return kem.decaps(kem._keygen_internal(seed[:32], seed[32:])[1], ct)


def kem_check(ek, kem=ML_KEM_1024):
    """FIPS 203, section 7.2: the length, and each coefficient of 12 bits below 3329."""
    coefficients = {ML_KEM_1024: 1536, ML_KEM_768: 1152}[kem]
    if len(ek) != coefficients + 32:
        raise Refused("SES-2")
    for at in range(0, coefficients, 3):
        three = int.from_bytes(ek[at : at + 3], "little")
        if three & 0xFFF >= 3329 or three >> 12 >= 3329:
            raise Refused("SES-2")


# AES-256 (SES-6, SES-34).


def seal(key, nonce, ad, plaintext):
    return AESGCM(key).encrypt(nonce, plaintext, ad)


def unseal(key, nonce, ad, sealed):
    try:
        return AESGCM(key).decrypt(nonce, sealed, ad)
    except InvalidTag:
        raise Refused("SES-6") from None


def aes_block(key, block):
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    return encryptor.update(block) + encryptor.finalize()


# Ed25519 (IDN-5).

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493


def sign_public(secret):
    key = Ed25519PrivateKey.from_private_bytes(secret).public_key()
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def sign(secret, message):
    return Ed25519PrivateKey.from_private_bytes(secret).sign(message)


def _small_order_ys():
    """The y coordinates of the eight points whose order divides 8: the square roots are computed,
    so that no constant has to be believed. A point of order 4 has y = 0; doubling a point of
    order 8 gives y = 0, which means x^2 + y^2 = 0 in 2(x, y), hence y^2 = -x^2 and
    d*y^4 + 2*y^2 - 1 = 0 with -x^2 + y^2 = 1 + d*x^2*y^2."""
    d = -121665 * pow(121666, -1, P) % P
    found = {0, 1, P - 1}
    for root in _roots(1 + d):
        for square in ((-1 + root) * pow(d, -1, P) % P, (-1 - root) * pow(d, -1, P) % P):
            found.update(_roots(square))
    return found


def _roots(square):
    square %= P
    root = pow(square, (P + 3) // 8, P)
    for candidate in (root, root * pow(2, (P - 1) // 4, P) % P):
        if candidate * candidate % P == square:
            return {candidate, P - candidate}
    return set()


SMALL_ORDER_YS = _small_order_ys()


def _y(point):
    return int.from_bytes(point, "little") & (2**255 - 1)


def verify(public, message, signature):
    """IDN-5: strict."""
    if _y(public) >= P or _y(public) in SMALL_ORDER_YS:
        raise Refused("IDN-5 key")
    if _y(signature[:32]) % P in SMALL_ORDER_YS:
        raise Refused("IDN-5 R")
    if int.from_bytes(signature[32:], "little") >= ORDER:
        raise Refused("IDN-5 S")
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        raise Refused("IDN-5") from None
