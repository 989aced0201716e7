# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Known answers for docs/spec/01-identity.md, docs/spec/02-prekeys.md and the derivations."""

import hashlib

from . import identity as idn
from . import primitives as prim
from .primitives import Refused, sha256, u32

PAGE_1, PAGE_2, PAGE_3 = "01-identity.md", "02-prekeys.md", "03-session.md"
DAY = 20_000


def bytes_of(name, length):
    """The inputs of all cases: reproducible, and without any structure."""
    return hashlib.shake_256(b"waxwing vectors/" + name.encode()).digest(length)


def account(name):
    return idn.Account(bytes_of(f"{name} entropy", 32))


def device(name):
    return idn.Device(bytes_of(f"{name} id", 16), bytes_of(f"{name} signing", 32), bytes_of(f"{name} dh", 32))


def verdict(check, *arguments):
    """"valid", or the sentence that refuses."""
    try:
        check(*arguments)
        return "valid"
    except Refused as refusal:
        return str(refusal)


def expect(case, valid):
    assert (case["verdict"] == "valid") == valid, case["name"] + ": " + case["verdict"]
    return case


def files():
    yield "derivations", PAGE_3, derivations()
    yield "manifests", PAGE_1, manifests()
    yield "prekeys", PAGE_2, prekeys()
    yield "links", PAGE_1, links()
    yield "linking", PAGE_1, linking()
    yield "proofs", PAGE_1, proofs()
    yield "safety_numbers", PAGE_1, safety_numbers()


def derivations():
    key, ikm = bytes_of("kdf key", 32), bytes_of("kdf ikm", 96)
    kdf = [
        {"salt": salt, "ikm": ikm, "label": label, "ctx": ctx, "length": length, "info": prim.frame(length, label, ctx),
         "output": prim.kdf(salt, ikm, label, ctx, length)}
        for salt, label, ctx, length in [
            (prim.Z, "hs-id", sha256(b"h0"), 64), (key, "hs", sha256(b"th"), 64), (prim.Z, "hs-root", sha256(b"th"), 96),
            (key, "step", sha256(b"step"), 128),
        ]
    ]
    expand = [
        {"key": key, "label": label, "ctx": ctx, "length": length, "output": prim.expand(key, label, ctx, length)}
        for label, ctx, length in [("header", b"", 64), ("msg", bytes_of("salt", 16), 44)]
    ]
    names = [
        {"key": key, "label": "salt", "ctx": bytes_of("name ctx", 48), "length": 16,
         "output": prim.name(key, "salt", bytes_of("name ctx", 48), 16)}
    ]
    accounts = []
    for name in ("alice", "bob"):
        made = account(name)
        accounts.append({"entropy": bytes_of(f"{name} entropy", 32), "secret": made.secret, "account": made.public})
    return {"kdf": kdf, "expand": expand, "name": names, "accounts": accounts}


class Chain:
    """The versions from which the cases are made."""

    def __init__(self):
        self.owner = account("alice")
        self.aik = self.owner.public
        self.phone, self.laptop, self.tablet = device("phone"), device("laptop"), device("tablet")
        self.first = self.entry(self.phone, self.owner)
        self.second = self.entry(self.laptop, self.phone)
        self.third = self.entry(self.tablet, self.laptop)
        self.v1 = self.version(1, None, self.owner, [self.first], [])
        self.v2 = self.version(2, self.v1, self.phone, [self.first, self.second], [], idn.head(self.v1))
        self.v3 = self.version(3, self.v2, self.laptop, [self.second, self.third], [self.phone.id], idn.head(self.v1))
        self.v4 = self.version(4, self.v3, self.owner, [self.second, self.third], [self.phone.id])

    def entry(self, listed, admitted_by, day=DAY, **other):
        return idn.entry(self.aik, listed, day, admitted_by, **other)

    def version(self, number, previous, signatory, entries, revoked, anchor=b"", **other):
        before = sha256(previous) if previous else prim.Z
        return idn.manifest(self.aik, number, before, signatory, anchor, entries, sorted(revoked), **other)


def manifests():
    c = Chain()
    good = {
        "first version": c.v1, "a device adds one": c.v2, "a device adds one and revokes its admitter": c.v3,
        "the account key follows": c.v4,
        "the account key overrides an old version": c.version(5, c.v1, c.owner, [c.first], [c.laptop.id]),
        "eight devices": eight(c, 8),
        "version 4096": c.version(4096, c.v1, c.owner, [c.first], []),
        "256 revoked ids": c.version(2, c.v1, c.owner, [c.first], [u32(at) * 4 for at in range(256)]),
    }
    bad = bad_versions(c)
    versions = []
    for group, valid in ((good, True), (bad, False)):
        for name, data in group.items():
            case = {"name": name, "bytes": data, "head": idn.head(data), "verdict": verdict(idn.Version, data)}
            versions.append(expect(case, valid))
    return {"account": c.aik, "versions": versions, "steps": steps(c)}


def eight(c, count):
    entries = [c.entry(device(f"device {at}"), c.owner) for at in range(count)]
    return c.version(1, None, c.owner, entries, [])


def with_small_order_r(c):
    """A signature that the equation accepts: R is the neutral point, S is H(R || A || M) times a."""
    body = c.v1[:-64]
    digest = bytearray(hashlib.sha512(c.owner.secret).digest()[:32])
    digest[0] &= 248
    digest[31] = digest[31] & 127 | 64
    scalar = int.from_bytes(digest, "little")
    r = (1).to_bytes(32, "little")
    k = int.from_bytes(hashlib.sha512(r + c.aik + body).digest(), "little")
    return body + r + (k * scalar % prim.ORDER).to_bytes(32, "little")


def bad_versions(c):
    v1, at = c.v1, len(idn.MANIFEST)
    s = int.from_bytes(v1[-32:], "little") + prim.ORDER
    stranger = device("stranger")
    return {
        "another label": b"waxwing/1 manifesT\0" + v1[at:],
        "cut short": v1[:-1],
        "a byte too many": v1 + b"\0",
        "S not reduced": v1[:-32] + s.to_bytes(32, "little"),
        "R of small order": with_small_order_r(c),
        "a changed bit": v1[:200] + bytes([v1[200] ^ 1]) + v1[201:],
        "version 0": c.version(0, None, c.owner, [c.first], []),
        "version 4097": c.version(4097, v1, c.owner, [c.first], []),
        "version 1 with a previous one": c.version(1, v1, c.owner, [c.first], []),
        "version 2 without a previous one": c.version(2, None, c.owner, [c.first], []),
        "version 1 signed by a device": c.version(1, None, c.phone, [c.first], [], idn.head(v1)),
        "no device": c.version(1, None, c.owner, [], []),
        "nine devices": eight(c, 9),
        "257 revoked ids": c.version(2, v1, c.owner, [c.first], [u32(n) * 4 for n in range(257)]),
        "a device twice": c.version(1, None, c.owner, [c.first, c.first], []),
        "a listed device is revoked": c.version(2, v1, c.owner, [c.first], [c.phone.id]),
        "a revoked id twice": c.version(2, v1, c.owner, [c.first], [c.laptop.id, c.laptop.id]),
        "revoked ids in falling order": idn.manifest(
            c.aik, 2, sha256(v1), c.owner, b"", [c.first], [b"\2" * 16, b"\1" * 16]),
        "the account key as a device": c.version(1, None, c.owner, [c.entry(owner_as_device(c), c.owner)], []),
        "admitted by a stranger": c.version(1, None, c.owner, [c.first, c.entry(c.laptop, stranger)], []),
        "admitted by a device behind it": c.version(
            1, None, c.owner, [c.entry(c.laptop, c.phone), c.first], []),
        "admission by another key": c.version(1, None, c.owner, [forged_admission(c)], []),
        "membership of another account": c.version(1, None, c.owner, [
            c.entry(c.phone, c.owner, membership=c.phone.membership(account("bob").public))], []),
        "signed by a stranger": c.version(2, v1, stranger, [c.first], [], idn.head(v1)),
        "signed by another key": c.version(2, v1, c.phone, [c.first, c.second], [], idn.head(v1),
                                           secret=c.laptop.secret),
        "an anchor that is not below": c.version(2, v1, c.phone, [c.first, c.second], [],
                                                 u32(2) + sha256(v1)),
        "an anchor just before that is not the previous version": c.version(
            2, v1, c.phone, [c.first, c.second], [], u32(1) + sha256(b"another")),
        "an older anchor with the hash of the previous version": c.version(
            3, c.v2, c.phone, [c.first, c.second], [c.tablet.id], u32(1) + sha256(c.v2)),
    }


def owner_as_device(c):
    return idn.Device(bytes_of("owner id", 16), c.owner.secret, bytes_of("owner dh", 32))


def forged_admission(c):
    good = c.first
    return good[:-128] + prim.sign(c.laptop.secret, idn.ADMISSION + c.aik + good[:-128]) + good[-64:]


def steps(c):
    anchor = idn.head(c.v1)
    other = c.version(2, c.v1, c.phone, [c.first, c.entry(c.laptop, c.phone, day=DAY + 1)], [], anchor)
    ids = [c.phone.id]
    # Two devices that the account key admitted, and the second one revoked by the first.
    w1 = c.version(1, None, c.owner, [c.first, c.entry(c.laptop, c.owner)], [])
    w2 = c.version(2, w1, c.phone, [c.first], [c.laptop.id], idn.head(w1))
    v2_revoked = c.version(2, c.v1, c.owner, [c.first], [c.tablet.id])
    named = [
        ("a device adds one", c.v1, c.v2, True),
        ("a device adds one and revokes another", c.v2, c.v3, True),
        ("the account key follows", c.v3, c.v4, True), ("a device revokes another", w1, w2, True),
        ("the account key voids a branch", c.v3, c.version(4, c.v1, c.owner, [c.first], []), True),
        ("the account key overrides with a gap", c.v2, c.version(9, c.v1, c.owner, [c.first], []), True),
        ("the same version", c.v2, c.v2, False),
        ("a version is missing", c.v1, c.v3, False),
        ("back", c.v3, c.v2, False),
        ("another branch of the same number", c.v2, other, False),
        ("the account key with the same number", c.v2, v2_revoked, False),
        ("a device that is not listed signs", c.v1, c.version(
            2, c.v1, c.laptop, [c.first, c.entry(c.laptop, c.phone)], [], anchor), False),
        ("nothing changes", c.v2, c.version(3, c.v2, c.phone, [c.first, c.second], [], anchor), False),
        ("a device vanishes without revocation", w1, c.version(
            2, w1, c.phone, [c.first, c.entry(c.tablet, c.phone)], [], idn.head(w1)), False),
        ("an id is revoked that was not listed", c.v2, c.version(
            3, c.v2, c.phone, [c.first, c.second], [c.tablet.id], anchor), False),
        ("a revocation is lost", w2, c.version(
            3, w2, c.phone, [c.first, c.entry(c.tablet, c.phone)], [], idn.head(w1)), False),
        ("the order changes", c.v2, c.version(
            3, c.v2, c.phone, [c.entry(c.laptop, c.owner), c.first, c.third], [], anchor), False),
        ("another anchor", c.v2, c.version(
            3, c.v2, c.laptop, [c.second, c.third], ids, u32(1) + sha256(b"another")), False),
        ("the account key follows and loses a revocation", w2, c.version(3, w2, c.owner, [c.first], []), False),
        ("the account key follows and a device vanishes", c.v3, c.version(
            4, c.v3, c.owner, [c.second], ids), False),
    ]
    out = []
    for name, old, new, valid in named:
        case = {"name": name, "old": old, "new": new}
        case["verdict"] = verdict(lambda: idn.step(idn.Version(old), idn.Version(new)))
        out.append(expect(case, valid))
    return out


def prekeys():
    c = Chain()
    bob = device("bob phone")
    dh_secret, seed = bytes_of("spk", 32), bytes_of("signed seed", 64)
    head = idn.head(c.v1)

    def pair(kind, **other):
        arguments = {"id": 7, "day": DAY, "dh_secret": dh_secret, "kem_seed": seed, "manifest_head": head} | other
        return idn.prekey_pair(c.aik, bob, kind, **arguments)

    signed, one_time = pair(1), pair(2)
    at = len(idn.PREKEY_PAIR)
    body = bytearray(signed[:-64])
    body[at + 91 : at + 93] = b"\xff\xff"
    other = idn.prekey_pair(account("bob").public, bob, 1, 7, DAY, dh_secret, seed, head)
    named = [
        ("signed", signed, True), ("one-time", one_time, True), ("greatest id", pair(2, id=2**32 - 1), True),
        ("another suite", pair(1, suite=2), False), ("id 0", pair(2, id=0), False), ("kind 3", pair(3), False),
        ("a signed pair without a head", pair(1, manifest_head=b""), False), ("cut short", signed[:-1], False),
        ("a byte too many", one_time + b"\0", False), ("another account", other, False),
        ("signed by another key", signed[:-64] + prim.sign(c.phone.secret, signed[:-64]), False),
        ("an encapsulation key that is not reduced", bytes(body) + prim.sign(bob.secret, bytes(body)), False),
    ]
    cases = []
    for name, data, valid in named:
        case = {"name": name, "bytes": data}
        case["verdict"] = verdict(idn.PrekeyPair, data, c.aik, bob.id, bob.public)
        cases.append(expect(case, valid))
    return {
        "account": c.aik, "device": bob.id, "signing_secret": bob.secret, "signing_key": bob.public, "day": DAY,
        "id": 7, "dh_secret": dh_secret, "kem_seed": seed, "head": head, "pairs": cases,
    }


def links():
    c = Chain()
    pins = [bytes_of("pin 1", 32), bytes_of("pin 2", 32)]
    here = idn.server_address(b"chat.example", 4433, pins[:1])
    both = idn.server_address(b"192.0.2.7", 1, pins)
    delivery, secret = bytes_of("delivery id", 16), bytes_of("rendezvous secret", 16)
    name = prim.u16(5) + b"alice"
    contact = idn.link("contact", here + name + c.aik + delivery)
    peer = account("bob").public
    verify = idn.link("verify", c.aik + idn.head(c.v2) + peer + u32(3) + bytes_of("head", 32))
    good = [
        contact, idn.link("contact", both + name + c.aik + delivery), idn.link("invite", here + bytes_of("token", 16)),
        idn.link("server", here), idn.link("server", both),
        idn.link("link", here + secret + idn.device_digest(c.laptop.keys)), verify, " \n" + contact + "\n",
    ]
    none = idn.server_address(b"chat.example", 4433, [])
    bad = [
        ("another kind", contact.replace("contact", "server")), ("unknown kind", idn.link("friend", here)),
        ("padded base64", idn.link("server", here) + "="), ("a changed digit", contact[:40] + "_" + contact[41:]),
        ("a byte too many", idn.link("server", here + b"\0")), ("cut short", idn.link("invite", here + bytes(15))),
        ("port 0", idn.link("server", idn.server_address(b"chat.example", 0, pins[:1]))),
        ("no pin", idn.link("server", none)),
        ("three pins", idn.link("server", idn.server_address(b"chat.example", 4433, pins + pins[:1]))),
        ("too long", "waxwing:server/" + "A" * 1010), ("nothing", ""), ("another scheme", "https:server/AAAA"),
    ]
    cases = []
    for text in good:
        kind, fields = idn.read_link(text)
        cases.append({"name": kind, "text": text, "verdict": "valid", "kind": kind, "fields": fields})
    for label, text in bad:
        cases.append(expect({"name": label, "text": text, "verdict": verdict(idn.read_link, text)}, False))
    return {"links": cases}


def linking():
    c = Chain()
    secret, salt, nonce = bytes_of("rendezvous secret", 16), bytes_of("slot salt", 16), bytes_of("slot nonce", 12)
    slots = []
    for slot, value in ((0, c.laptop.keys), (1, c.aik + b"alice@chat.example"), (2, c.laptop.membership(c.aik)), (2, b"")):
        sealed = idn.slot_seal(secret, slot, value, salt, nonce)
        assert idn.slot_open(secret, slot, sealed) == value
        slots.append({"slot": slot, "value": value, "salt": salt, "nonce": nonce, "sealed": sealed, "verdict": "valid"})
    first = slots[0]["sealed"]
    for slot, sealed in ((1, first), (0, first[:-1]), (0, b"\2" + first[1:]), (0, b"")):
        slots.append({"slot": slot, "sealed": sealed, "verdict": verdict(idn.slot_open, secret, slot, sealed)})
        assert slots[-1]["verdict"] != "valid"
    return {
        "account": c.aik, "secret": secret, "locator": idn.locator(secret), "keys": c.laptop.keys,
        "device_digest": idn.device_digest(c.laptop.keys), "slots": slots,
        "word_numbers": idn.linking_word_numbers(c.aik, c.laptop.keys, secret),
    }


def proofs():
    c = Chain()
    exporter = bytes_of("exporter", 32)
    signed = {
        "authentication": (c.phone, idn.AUTHENTICATION + exporter + c.aik + c.phone.id),
        "generation": (c.phone, idn.GENERATION + c.aik + c.phone.id + prim.u64(5)),
        "close account, device": (c.phone, idn.CLOSE_ACCOUNT + exporter + c.aik),
        "close account, account": (c.owner, idn.CLOSE_ACCOUNT + exporter + c.aik),
    }
    return {
        "account": c.aik, "device": c.phone.id, "exporter": exporter, "generation": 5,
        "proofs": [
            {"name": name, "key": by.public, "bytes": data, "signature": prim.sign(by.secret, data)}
            for name, (by, data) in signed.items()
        ],
    }


def safety_numbers():
    people = [account(name).public for name in ("alice", "bob", "carol")]
    return {
        "numbers": [
            {"one": one, "other": other, "number": idn.safety_number(one, other)}
            for one in people for other in people if one != other
        ],
        "fingerprints": [{"account": one, "fingerprint": sha256(one)} for one in people],
    }
