# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Devices, manifests, prekey pairs, links, safety numbers: docs/spec/01-identity.md, 02-prekeys.md."""

import base64
import hashlib

from .primitives import (
    Refused, Z, expand, kdf, kem_check, kem_public, dh_public, seal, sha256, sign, sign_public, split,
    u8, u16, u32, u64, unseal, verify,
)

MANIFEST = b"waxwing/1 manifest\0"
ADMISSION = b"waxwing/1 admission\0"
MEMBERSHIP = b"waxwing/1 membership\0"
PREKEY_PAIR = b"waxwing/1 prekey pair\0"
AUTHENTICATION = b"waxwing/1 authentication\0"
GENERATION = b"waxwing/1 generation\0"
CLOSE_ACCOUNT = b"waxwing/1 close account\0"
SUITE = 1


class Reader:
    """Bytes from outside; an end before the layout's end is refused."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, length):
        if self.at + length > len(self.data):
            raise Refused("layout")
        self.at += length
        return self.data[self.at - length : self.at]

    def number(self, length):
        return int.from_bytes(self.take(length), "big")

    def expect(self, data):
        if self.take(len(data)) != data:
            raise Refused("layout")

    def end(self):
        if self.at != len(self.data):
            raise Refused("layout")


class Account:
    """IDN-2: the account key from the entropy of the recovery words."""

    def __init__(self, entropy):
        self.secret = kdf(Z, entropy, "waxwing/account-key/ed25519", b"", 32)
        self.public = sign_public(self.secret)
        self.signatory = u8(0)


class Device:
    """IDN-4."""

    def __init__(self, id, signing_secret, dh_secret):
        self.id, self.secret, self.dh_secret = id, signing_secret, dh_secret
        self.public = sign_public(signing_secret)
        self.dh = dh_public(dh_secret)
        self.keys = id + self.public + self.dh
        self.signatory = u8(1) + id + self.public

    def membership(self, aik):
        """IDN-8."""
        return sign(self.secret, MEMBERSHIP + aik + self.keys)


def entry(aik, device, day, admitted_by, membership=None):
    """IDN-9, IDN-10."""
    admission = sign(admitted_by.secret, ADMISSION + aik + device.keys + u32(day) + admitted_by.signatory)
    return device.keys + u32(day) + admitted_by.signatory + admission + (membership or device.membership(aik))


def head(version):
    """IDN-12, of an encoded version."""
    return version[len(MANIFEST) + 32 : len(MANIFEST) + 36] + sha256(version)


def manifest(aik, number, previous_hash, signatory, anchor, entries, revoked, secret=None):
    """IDN-11."""
    body = MANIFEST + aik + u32(number) + previous_hash + signatory.signatory
    if signatory.signatory[0] == 1:
        body += anchor
    body += u8(len(entries)) + b"".join(entries) + u16(len(revoked)) + b"".join(revoked)
    return body + sign(secret or signatory.secret, body)


def _read_signatory(reader):
    kind = reader.take(1)
    if kind == u8(0):
        return kind
    if kind != u8(1):
        raise Refused("signatory")
    return kind + reader.take(48)


class Entry:
    def __init__(self, reader):
        start = reader.at
        self.keys = reader.take(80)
        self.id, self.signing, self.dh = split(self.keys, 16, 32, 32)
        self.day = reader.take(4)
        self.signatory = _read_signatory(reader)
        self.admission, self.membership = reader.take(64), reader.take(64)
        self.bytes = reader.data[start : reader.at]


class Version:
    """A manifest version that holds in itself: IDN-8 to IDN-19."""

    def __init__(self, data):
        if len(data) > 8192:
            raise Refused("IDN-15")
        reader = Reader(data)
        reader.expect(MANIFEST)
        self.bytes, self.head = data, head(data)
        self.aik, self.number, self.previous = reader.take(32), reader.number(4), reader.take(32)
        self.signatory = _read_signatory(reader)
        self.by_account = self.signatory == u8(0)
        self.anchor = self.head if self.by_account else reader.take(36)
        count = reader.number(1)
        if not 1 <= count <= 8:
            raise Refused("IDN-15")
        self.devices = [Entry(reader) for _ in range(count)]
        count = reader.number(2)
        if count > 256:
            raise Refused("IDN-15")
        self.revoked = [reader.take(16) for _ in range(count)]
        signed = data[: reader.at]
        signature = reader.take(64)
        reader.end()
        self._check_form()
        self._check_signatories()
        for device in self.devices:
            verify(device.signing, MEMBERSHIP + self.aik + device.keys, device.membership)
            verify(
                self._key(device.signatory),
                ADMISSION + self.aik + device.keys + device.day + device.signatory,
                device.admission,
            )
        verify(self._key(self.signatory), signed, signature)

    def _key(self, signatory):
        return self.aik if signatory == u8(0) else signatory[17:]

    def _check_form(self):
        if not 1 <= self.number <= 4096:
            raise Refused("IDN-14")
        if (self.number == 1) != (self.previous == Z) or (self.number == 1 and not self.by_account):
            raise Refused("IDN-14")
        for field in ("id", "signing", "dh"):
            values = [getattr(device, field) for device in self.devices]
            if len(set(values)) != len(values):
                raise Refused("IDN-16")
        if any(d.id in self.revoked or d.signing == self.aik for d in self.devices):
            raise Refused("IDN-16")
        if any(a >= b for a, b in zip(self.revoked, self.revoked[1:])):
            raise Refused("IDN-11")
        if not self.by_account:
            number = int.from_bytes(self.anchor[:4], "big")
            if not 1 <= number < self.number:
                raise Refused("IDN-19")
            if (number == self.number - 1) != (self.anchor[4:] == self.previous):
                raise Refused("IDN-19")

    def _check_signatories(self):
        for at, device in enumerate(self.devices):
            if not self._may_sign(device.signatory, self.devices[:at]):
                raise Refused("IDN-17")
        if not self._may_sign(self.signatory, self.devices):
            raise Refused("IDN-18")

    def _may_sign(self, signatory, listed):
        if signatory == u8(0) or signatory[1:17] in self.revoked:
            return True
        return any(signatory[1:] == d.id + d.signing for d in listed)

    def lists(self, signatory):
        return any(signatory[1:] == d.id + d.signing for d in self.devices)


def step(old, new):
    """IDN-20 to IDN-23: whether `new` follows `old`."""
    if old.aik != new.aik:
        raise Refused("another account")
    continues = new.previous == old.head[4:]
    if new.by_account:
        if new.number <= old.number:
            raise Refused("IDN-22")
        if continues:
            for id in old.revoked:
                if id not in new.revoked:
                    raise Refused("IDN-23")
            for device in old.devices:
                if device.id not in new.revoked and device.keys not in [d.keys for d in new.devices]:
                    raise Refused("IDN-23")
        return
    if new.number != old.number + 1 or not continues or not old.lists(new.signatory):
        raise Refused("IDN-20")
    kept = [d for d in old.devices if d.id not in new.revoked]
    added = new.devices[len(kept) :]
    fresh = [id for id in new.revoked if id not in old.revoked]
    if new.anchor != old.anchor or any(id not in new.revoked for id in old.revoked):
        raise Refused("IDN-21")
    if any(id not in [d.id for d in old.devices] for id in fresh) or not (added or fresh):
        raise Refused("IDN-21")
    if [d.bytes for d in new.devices[: len(kept)]] != [d.bytes for d in kept]:
        raise Refused("IDN-21")
    for device in added:
        if device.signatory != u8(0) and not old.lists(device.signatory):
            raise Refused("IDN-21")


def prekey_pair(aik, device, kind, id, day, dh_secret, kem_seed, manifest_head=b"", suite=SUITE):
    """PRE-2."""
    body = PREKEY_PAIR + u16(suite) + aik + device.id + u8(kind) + u32(id) + u32(day)
    body += dh_public(dh_secret) + kem_public(kem_seed) + (manifest_head if kind == 1 else b"")
    return body + sign(device.secret, body)


class PrekeyPair:
    def __init__(self, data, aik, device_id, signing):
        reader = Reader(data)
        reader.expect(PREKEY_PAIR)
        if reader.number(2) != SUITE:
            raise Refused("PRE-3")
        if reader.take(32) != aik or reader.take(16) != device_id:
            raise Refused("PRE-5")
        self.kind, self.id, self.day = reader.number(1), reader.number(4), reader.number(4)
        if self.kind not in (1, 2) or self.id == 0:
            raise Refused("PRE-2")
        self.dh, self.ek = reader.take(32), reader.take(1568)
        self.head = reader.take(36) if self.kind == 1 else None
        signed = data[: reader.at]
        signature = reader.take(64)
        reader.end()
        verify(signing, signed, signature)
        kem_check(self.ek)


# Links: IDN-36 to IDN-40.


def server_address(host, port, pins):
    return u16(len(host)) + host + u16(port) + u8(len(pins)) + b"".join(pins)


def _checksum(kind, layout):
    return sha256(b"waxwing/1 link checksum\0", kind.encode(), u8(0), layout)[:4]


def link(kind, body):
    layout = u8(1) + body
    text = base64.urlsafe_b64encode(layout + _checksum(kind, layout)).rstrip(b"=").decode()
    return f"waxwing:{kind}/{text}"


def read_link(text):
    """Returns (kind, fields)."""
    text = text.strip()
    if len(text) > 1024 or not text.startswith("waxwing:") or "/" not in text:
        raise Refused("IDN-36")
    kind, _, encoded = text.removeprefix("waxwing:").partition("/")
    try:
        data = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raise Refused("IDN-36") from None
    if base64.urlsafe_b64encode(data).rstrip(b"=").decode() != encoded or len(data) < 5:
        raise Refused("IDN-36")
    layout, checksum = data[:-4], data[-4:]
    if checksum != _checksum(kind, layout) or layout[0] != 1:
        raise Refused("IDN-36")
    reader, fields = Reader(layout[1:]), {}
    if kind != "verify":
        fields["host"] = reader.take(reader.number(2)).decode()
        fields["port"] = reader.number(2)
        pins = reader.number(1)
        if fields["port"] == 0 or pins not in (1, 2):
            raise Refused("IDN-38")
        fields["pins"] = [reader.take(32) for _ in range(pins)]
    if kind == "contact":
        fields["name"] = reader.take(reader.number(2)).decode()
    lengths = {
        "contact": {"account": 32, "delivery_id": 16},
        "invite": {"token": 16},
        "server": {},
        "link": {"secret": 16, "device_digest": 32},
        "verify": {"account": 32, "head": 36, "peer": 32, "peer_head": 36},
    }
    if kind not in lengths:
        raise Refused("IDN-36")
    for field, length in lengths[kind].items():
        fields[field] = reader.take(length)
    reader.end()
    return kind, fields


# Linking a device: IDN-41, IDN-42, IDN-44, IDN-49.


def device_digest(keys):
    return sha256(b"waxwing/1 device keys\0", keys)


def locator(secret):
    return sha256(b"waxwing/1 rendezvous locator\0", secret)[:16]


def _slot_key(secret, salt):
    return expand(kdf(Z, secret, "waxwing/rendezvous/key", b"", 32), "waxwing/rendezvous/value", salt, 32)


def slot_seal(secret, slot, value, salt, nonce):
    ad = u8(1) + u64(4) + u32(slot)
    return u8(1) + salt + nonce + seal(_slot_key(secret, salt), nonce, ad, value)


def slot_open(secret, slot, sealed):
    reader = Reader(sealed)
    reader.expect(u8(1))
    salt, nonce = reader.take(16), reader.take(12)
    return unseal(_slot_key(secret, salt), nonce, u8(1) + u64(4) + u32(slot), sealed[reader.at :])


def linking_word_numbers(aik, keys, secret):
    """Places in the English list of BIP-39, counted from 0."""
    digest = sha256(b"waxwing/1 linking words\0", aik, device_digest(keys), locator(secret))
    bits = int.from_bytes(digest, "big")
    return [bits >> (256 - 11 * (at + 1)) & 0x7FF for at in range(6)]


def safety_number(one, other):
    """IDN-46."""
    both = min(one, other) + max(one, other)
    digest = hashlib.sha512(b"waxwing/1 safety number\0" + both).digest()
    for _ in range(5200):
        digest = hashlib.sha512(digest + both).digest()
    groups = [int.from_bytes(digest[5 * at : 5 * at + 5], "big") % 100000 for at in range(12)]
    return " ".join(f"{group:05}" for group in groups)
