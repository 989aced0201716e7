# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Known answers for docs/spec/03-session.md and docs/spec/04-envelope.md."""

import copy

from . import identity as idn
from . import session as ses
from .cases_identity import DAY, Chain, account, bytes_of, device, verdict
from .primitives import Refused, Z, dh_public, kem_public, sha256, sign, u8, u16, u32

PAGE_3, PAGE_4 = "03-session.md", "04-envelope.md"


def files():
    yield "padding", PAGE_4, padding()
    yield "handshakes", PAGE_3, {"handshakes": [World(one_time).handshake() for one_time in (True, False)]}
    yield "continuations", PAGE_3, {
        "responder": World(True).responder_values(), "continuations": continuations(), "paths": paths(),
    }
    yield "conversations", PAGE_3, {"responder": World(True).responder_values(), "conversations": conversations()}


def padding():
    lengths = []
    edges = {0, 1, 100, 300, 509, 510, 511, 1022, 1023, 2046, 2047, 4094, 4095, 5000, 8190, 8191, 20000, 61439, 61440}
    for prefix in (0, 2684, 3708, 10876):
        for content in sorted(edges):
            lengths.append({"prefix": prefix, "content": content, "padded": ses.padded_length(content, prefix)})
    item = (4, u32(3) + bytes_of("ack", 8))
    named = [
        ("nothing", ses.pad(b"", 0), True), ("an item", ses.pad(b"text", 0, [item]), True),
        ("an unknown item", ses.pad(b"text", 0, [(200, b"new"), item]), True),
        ("no room for an item", ses.pad(b"x" * 510, 0, [item]), True),
        ("behind a prefix", ses.pad(b"text", 2684, [item]), True),
        ("the content is longer than the bucket", u16(511) + bytes(510), False),
        ("an item is longer than the bucket", ses.pad(b"text", 0)[:6] + u8(1) + u16(504) + bytes(503), False),
        ("an acknowledgement of another length", ses.pad(b"text", 0, [(4, bytes(11))]), False),
        ("a byte behind the last item", ses.pad(b"text", 0, [item])[:-1] + u8(1), False),
        ("no bucket", bytes(513), False), ("a bucket too small for a prefix", bytes(512), False),
    ]
    cases = []
    for name, padded, valid in named:
        prefix = 2684 if "prefix" in name else 0
        case = {"name": name, "prefix": prefix, "padded": padded, "verdict": verdict(ses.unpad, padded, prefix)}
        assert (case["verdict"] == "valid") == valid, name
        if valid:
            content, items = ses.unpad(padded, prefix)
            case |= {"content": content, "items": [{"type": kind, "bytes": value} for kind, value in items]}
        cases.append(case)
    return {"lengths": lengths, "padded": cases}


class World:
    """Alice's phone opens a session with Bob's phone."""

    def __init__(self, one_time):
        chain = Chain()
        self.aik, self.phone, self.manifest = chain.aik, chain.phone, chain.v2
        bob, self.bob = account("bob"), device("bob phone")
        first = idn.entry(bob.public, self.bob, DAY, bob)
        self.bob_manifest = idn.manifest(bob.public, 1, bytes(32), bob, b"", [first], [])
        self.head = idn.head(self.bob_manifest)
        self.spk, self.signed_seed = bytes_of("bob spk", 32), bytes_of("bob signed seed", 64)
        self.opk, self.one_time_seed = (bytes_of("bob opk", 32), bytes_of("bob one-time seed", 64))
        self.signed_pair = idn.prekey_pair(bob.public, self.bob, 1, 3, DAY, self.spk, self.signed_seed, self.head)
        self.one_time_pair = idn.prekey_pair(bob.public, self.bob, 2, 11, DAY, self.opk, self.one_time_seed)
        if not one_time:
            self.opk = self.one_time_seed = self.one_time_pair = None
        known = (self.bob.id, self.bob.public, self.bob.dh)
        pair = (11, dh_public(self.opk), kem_public(self.one_time_seed)) if one_time else None
        signed = (3, dh_public(self.spk), kem_public(self.signed_seed))
        self.responder = ses.Responder(bob.public, known, self.head, signed, pair)
        self.ephemeral, self.ratchet = bytes_of("ephemeral", 32), bytes_of("first ratchet", 32)
        self.randomness = bytes_of("kem randomness", 32)

    def responder_values(self):
        """Everything that does not differ between the handshakes."""
        return {
            "initiator": {
                "account": self.aik, "device": self.phone.id, "signing_secret": self.phone.secret,
                "dh_secret": self.phone.dh_secret, "manifest": self.manifest,
            },
            "responder": {
                "account": self.responder.aik, "device": self.bob.id, "signing_secret": self.bob.secret,
                "dh_secret": self.bob.dh_secret, "manifest": self.bob_manifest, "head": self.head,
                "signed_pair": self.signed_pair, "signed_dh_secret": self.spk, "signed_kem_seed": self.signed_seed,
                "one_time_pair": self.one_time_pair, "one_time_dh_secret": self.opk,
                "one_time_kem_seed": self.one_time_seed,
            },
            "ephemeral_secret": self.ephemeral, "ratchet_secret": self.ratchet,
            "kem_randomness": self.randomness, "attempt": 1,
        }

    def initiate(self, attempt=1, pred=None):
        a = (self.aik, self.phone.id, self.manifest, self.phone.public, self.phone.dh_secret)
        return ses.initiate(self.responder, a, self.ephemeral, self.ratchet, self.randomness, attempt, pred)

    def accept(self, prefix, held=()):
        whole, fields = ses.read_prefix(prefix)
        assert whole == prefix
        secrets = (self.bob.dh_secret, self.spk, self.signed_seed, self.opk, self.one_time_seed)
        return ses.accept(self.responder, secrets, fields, held)

    def sessions(self, log=lambda values: None):
        made = self.initiate()
        a = ses.Session.initiator(made, self.ratchet, dh_public(self.spk), log)
        b = ses.Session.responder(self.accept(made["prefix"]), self.spk, log)
        return a, b

    def handshake(self):
        made = self.initiate()
        found = self.accept(made["prefix"])
        assert all(found[key] == made[key] for key in ("th", "c1", "k_conf", "conf", "rk", "hk_a", "hk_b"))
        values = self.responder_values() | {"values": made, "refused": []}
        prefix = made["prefix"]
        for at, name in ((1, "another suite"), (8, "one-time pair"), (20, "EK"), (60, "ct"), (1611, "blocks"),
                         (1700, "sealed identity"), (len(prefix) - 1, "conf")):
            forged = prefix[:at] + bytes([prefix[at] ^ 1]) + prefix[at + 1 :]
            refused = verdict(self.accept, forged) if name not in ("one-time pair", "blocks") else "SES-16"
            assert refused != "valid", name
            values["refused"].append({"name": name, "at": at, "verdict": refused})
        return values


class Conversation:
    """Two sessions and a log. An event is a sending, or an arrival with its outcome."""

    def __init__(self, name):
        self.name, self.events, self.envelopes, self.values = name, [], [], []
        self.a, self.b = World(True).sessions(self.values.append)

    def _side(self, who):
        return self.a if who == "A" else self.b

    def send(self, who, content=b"", keep=True):
        """`keep` is false for an envelope that never arrives: only its digest is recorded."""
        side, at = self._side(who), len(self.envelopes)
        fresh = None
        if side.must_step and side.step_number > 0:
            fresh = bytes_of(f"{self.name} ratchet {at}", 32)
        random = sha256(b"waxwing vectors random", self.name.encode(), u32(at))[:16]
        self.values.clear()
        drawn = []

        def kem_random(length):
            drawn.append(bytes_of(f"{self.name} kem {at}", length))
            return drawn[0]

        envelope = side.send(content, random, fresh, kem_random=kem_random)
        event = {"send": who, "envelope": at, "content": content, "random": random}
        if fresh:
            event["ratchet_secret"] = fresh
        if drawn:
            event["kem_random"] = drawn[0]
        event |= {"bytes": envelope, "values": list(self.values)} if keep else {"sha256": sha256(envelope)}
        self.envelopes.append(envelope)
        self.events.append(event)
        return at

    def refuse_send(self, who):
        try:
            self._side(who).send(b"", bytes(16), kem_random=bytes)
        except Refused as refusal:
            self.events.append({"refuse_send": who, "verdict": str(refusal)})
            return
        raise AssertionError("sent")

    def arrive(self, who, at, content=None):
        """`content` None: it must be refused."""
        self.values.clear()
        event = {"arrive": who, "envelope": at} | self._open(who, self.envelopes[at], content)
        self.events.append(event)

    def dishonest(self, who, name, what, change):
        """An envelope that only `who` can make, with `change` applied in one place. It must be
        refused, and nothing that `who` keeps has moved."""
        sender, receiver = copy.deepcopy(self._side(who)), "B" if who == "A" else "A"
        fresh = bytes_of(f"{self.name} dishonest ratchet", 32) if sender.must_step and sender.step_number else None
        forge = lambda place, value: change(value) if place == what else value
        envelope = sender.send(b"text", bytes(16), fresh, forge, lambda length: bytes_of(f"{self.name} kem", length))
        self.events.append({"arrive": receiver, "name": name, "bytes": envelope} | self._open(receiver, envelope, None))

    def lie(self, who, name, change):
        """A content whose slack only `who` can choose. It is opened; the numbers before and after it
        never arrive, so that `who` has not used its number twice."""
        receiver = "B" if who == "A" else "A"
        self.send(who, b"", keep=False)
        sender = copy.deepcopy(self._side(who))
        forge = lambda place, value: change(value) if place == "padded" else value
        envelope = sender.send(b"text", bytes(16), None, forge, bytes)
        opened = self._open(receiver, envelope, b"text")
        self.events.append({"arrive": receiver, "name": name, "bytes": envelope} | opened)
        self.send(who, b"", keep=False)

    def forge(self, who, at, position, name):
        """One changed bit; `position` counts from the end where it is negative."""
        envelope = bytearray(self.envelopes[at])
        envelope[position] ^= 1
        event = {"arrive": who, "envelope": at, "changed_byte": position % len(envelope), "name": name}
        self.events.append(event | self._open(who, bytes(envelope), None))

    def _open(self, who, envelope, content):
        self.values.clear()
        try:
            opened = self._side(who).receive(envelope)
            assert opened == content, self.name
            return {"verdict": "valid", "content": opened, "values": list(self.values)}
        except Refused as refusal:
            assert content is None, f"{self.name}: {refusal}"
            return {"verdict": str(refusal)}

    def talk(self, who, content):
        at = self.send(who, content)
        self.arrive("B" if who == "A" else "A", at, content)
        return at

    def made(self):
        return {"name": self.name, "th": self.a.th, "events": self.events}


class Continuation:
    """Alice opens a second session after some of a first one; the server has no one-time pair left."""

    def __init__(self, name, talk, restored=None):
        """`talk`: who sends and whether it arrives, e.g. "A+" or "B-". `restored`: the length of the
        talk after which Alice's store was copied; she opens the second session from the copy."""
        first, old = Conversation(name), None
        for at, (who, arrives) in enumerate(talk):
            if restored == at:
                old = copy.deepcopy(first.a)
            sent = first.send(who, b"%d" % at)
            if arrives == "+":
                first.arrive("B" if who == "A" else "A", sent, b"%d" % at)
        world = World(False)
        world.ephemeral, world.ratchet, world.randomness = (
            bytes_of(f"{name} {what}", 32) for what in ("ephemeral", "ratchet", "kem randomness"))
        held = old or first.a
        pred = (held.th, held.cont_peer)
        made = world.initiate(0, pred)
        self.case = {
            "name": name, "events": first.events, "restored_after": restored, "attempt": 0,
            "ephemeral_secret": world.ephemeral, "ratchet_secret": world.ratchet,
            "kem_randomness": world.randomness, "pred": pred[0], "cont": pred[1],
            "cont_id": ses.cont_id(pred[1]),
            "values": {key: made[key] for key in ("th", "c1", "conf", "rk", "hk_a", "hk_b", "prefix")},
            "verdict": verdict(world.accept, made["prefix"], [first.b]),
        }
        assert (self.case["verdict"] == "valid") == (old is None), name
        if old is None:
            found = world.accept(made["prefix"], [first.b])
            assert all(found[key] == made[key] for key in ("th", "rk", "hk_a", "hk_b"))
            which = "own" if pred[1] == first.b.cont_own else "proved"
            self.case["held_as"] = which
            values = []
            a = ses.Session.initiator(made, world.ratchet, dh_public(world.spk), values.append)
            b = ses.Session.responder(found, world.spk, lambda values: None)
            random = bytes_of(f"{name} random", 16)
            envelope = a.send(b"again", random)
            assert b.receive(envelope) == b"again"
            self.case["first"] = {"content": b"again", "random": random, "bytes": envelope}


def continuations():
    made = [
        Continuation("after an answer", ["A+", "B+"]),
        Continuation("the answer to the answer was lost", ["A+", "B+", "A-"]),
        Continuation("the second answer was lost", ["A+", "B+", "A+", "B-"]),
        Continuation("many turns, the last one lost", ["A+", "B+", "A+", "B+", "A+", "B+", "A+", "B-"]),
        Continuation("a copy of the store", ["A+", "B+", "A+", "B+", "A+", "B+"], restored=3),
    ]
    assert [one.case.get("held_as") for one in made] == ["own", "own", "proved", "proved", None]
    return [one.case for one in made]


def paths():
    """Sessions of one device pair, and the way through them."""
    ids = {name: bytes_of(f"session {name}", 32) for name in "abcdefg"}
    low, high = sorted((ids["a"], ids["b"]))
    cases = [
        ("one session", [(ids["a"], Z, 0)], Z),
        ("the attempt decides", [(high, Z, 0), (low, Z, 1)], Z),
        ("then th", [(high, Z, 3), (low, Z, 3)], Z),
        ("a branch of the loser never wins", [(high, Z, 1), (low, Z, 0), (ids["c"], low, 1000)], Z),
        ("three in a row", [(ids["a"], Z, 0), (ids["b"], ids["a"], 0), (ids["c"], ids["b"], 4)], Z),
        ("the first one is gone", [(ids["b"], ids["a"], 0), (ids["c"], ids["b"], 2), (ids["d"], ids["b"], 1)], ids["a"]),
        ("what continued a session that is gone", [(ids["b"], ids["a"], 0), (ids["c"], ids["g"], 9)], ids["a"]),
        ("a number and not bytes", [(low, Z, 256), (high, Z, 255)], Z),
    ]
    return [
        {
            "name": name, "root": root,
            "sessions": [{"th": th, "pred": pred, "attempt": attempt} for th, pred, attempt in sessions],
            "path": ses.path(sessions, root),
        }
        for name, sessions, root in cases
    ]


def conversations():
    return [scenario().made() for scenario in (
        turns, out_of_order, loss, front_gap, maximum_jump, forged, dishonest, epochs, epochs_with_loss, broken_key,
        broken_answer,
    )]


def turns():
    c = Conversation("turns")
    for round in range(3):
        c.talk("A", b"from A %d" % round)
        c.talk("A", b"")
        c.talk("B", b"from B %d" % round)
    c.talk("A", b"y" * 600)
    c.talk("B", b"z" * 5000)
    return c


def out_of_order():
    c = Conversation("out of order")
    first = [c.send("A", b"first %d" % n) for n in range(3)]
    for at in (2, 0, 1):
        c.arrive("B", first[at], b"first %d" % at)
    c.arrive("B", first[0])
    b = [c.send("B", b"answer %d" % n) for n in range(3)]
    c.arrive("A", b[0], b"answer 0")
    a = c.send("A", b"next")
    c.arrive("B", a, b"next")
    late = c.send("B", b"the next step")
    c.arrive("A", late, b"the next step")
    c.arrive("A", b[2], b"answer 2")
    c.arrive("A", b[1], b"answer 1")
    c.arrive("A", b[1])
    return c


def loss():
    c = Conversation("loss")
    c.send("A", b"lost")
    c.talk("A", b"the first that arrives")
    c.send("B", b"lost")
    c.talk("B", b"answer")
    c.send("A", b"lost", keep=False)
    c.talk("A", b"once more")
    return c


def front_gap():
    c = Conversation("front gap of 256")
    c.talk("A", b"hello")
    c.talk("B", b"hello")
    waiting = [c.send("A", b"", keep=at in (7, 256)) for at in range(257)]
    c.arrive("B", waiting[256], b"")
    c.arrive("B", waiting[7], b"")
    return c


def maximum_jump():
    c = Conversation("maximum jump")
    c.talk("A", b"hello")
    c.talk("B", b"hello")
    sent = [c.send("A", b"%d" % n, keep=n in (0, 500, 999)) for n in range(1000)]
    c.refuse_send("A")
    c.arrive("B", sent[999], b"999")
    c.arrive("B", sent[0], b"0")
    c.talk("B", b"answer")
    c.talk("A", b"a new chain, whose pn is 1000")
    c.arrive("B", sent[500], b"500")
    return c


def forged():
    c = Conversation("forged")
    first = c.send("A", b"hello")
    for position, name in ((0, "version"), (1, "kind"), (-1, "content"), (-2000, "content")):
        c.forge("B", first, position, name)
    c.arrive("B", first, b"hello")
    answer = c.send("B", b"answer")
    for position, name in ((0, "version"), (1, "kind"), (2, "tag"), (18, "salt"), (34, "header"), (93, "header"),
                           (94, "content"), (-1, "content")):
        c.forge("A", answer, position, name)
    c.arrive("A", answer, b"answer")
    c.arrive("A", answer)
    c.talk("A", b"it goes on")
    return c


def dishonest():
    """What only the peer can make, and what is refused all the same."""
    c = Conversation("dishonest")

    def number(at, value):
        return lambda header: header[:at] + u32(value) + header[at + 4 :]

    def beyond(padded):
        """A unit with a number that neither part has, in the first epoch."""
        item = u8(2) + u16(37) + u32(1) + u8(37) + bytes(32)
        return padded[:6] + item + bytes(len(padded) - 6 - len(item))

    key = ("another ratchet key", "header", lambda header: dh_public(bytes_of("other", 32)) + header[32:])
    both = [
        ("another mix", "header", number(40, 1)), ("n is 1000", "header", number(32, 1000)),
        ("n is the greatest u32", "header", number(32, 2**32 - 1)), ("pn is 1001", "header", number(36, 1001)),
        ("n is not that of the tag", "header", number(32, 5)),
        ("another tag", "tag", lambda tag: bytes(16)),
        ("the content is longer than its bucket", "padded", lambda padded: b"\xff\xff" + padded[2:]),
        ("an item is longer than the bucket", "padded", lambda padded: padded[:6] + u8(9) + u16(60000) + padded[9:]),
        ("an acknowledgement of another length", "padded",
         lambda padded: padded[:6] + u8(4) + u16(11) + bytes(len(padded) - 9)),
        ("a byte behind the last item", "padded", lambda padded: padded[:-1] + u8(1)),
        ("no bucket", "padded", lambda padded: padded + b"\0"),
        ("a unit of 31 bytes", "padded", lambda padded: padded[:6] + u8(2) + u16(36) + bytes(len(padded) - 9)),
        ("a map of 7 bytes", "padded", lambda padded: padded[:6] + u8(3) + u16(11) + bytes(len(padded) - 9)),
        ("units that the part does not have", "padded", beyond),
    ]
    for case in [*both, key, ("a chain before the first", "header", number(36, 1))]:
        c.dishonest("A", *case)
    c.talk("A", b"hello")
    for case in [*both, key]:
        c.dishonest("A", *case)
    for case in [*both, ("an agreement that is all zero", "header", lambda header: bytes(32) + header[32:])]:
        c.dishonest("B", *case)
    c.talk("B", b"hello")
    c.talk("A", b"the second chain")
    c.talk("B", b"the second chain")
    c.dishonest("A", "pn is below what was opened", "header", number(36, 0))
    c.talk("A", b"it goes on")
    return c


def epochs():
    """Three epochs in turns, of which each side owns one at least, with contents of several lengths."""
    c = Conversation("epochs")
    c.talk("A", b"hello")
    for round in range(26):
        c.talk("B", b"y" * 100)
        c.talk("A", b"x" * (100 + round % 3 * 300))
    assert c.a.epochs.number >= 4 and c.b.epochs.number >= 4
    return c


def epochs_with_loss():
    """Loss, disorder, late units of an epoch that was mixed, and the chain that mixes begun by a
    later envelope than its first."""
    c = Conversation("epochs with loss")
    c.talk("A", b"hello")
    late = None
    for round in range(60):
        for who, peer in (("B", "A"), ("A", "B")):
            at = c.send(who, b"text", keep=True)
            if round % 7 == 3 and late is None:
                late = (peer, at)
            elif (round * 5 + (who == "A") * 3) % 11 > 2:
                c.arrive(peer, at, b"text")
            if late and round % 7 == 6:
                c.arrive(*late, b"text")
                late = None
        if c.a.epochs.number > 2 and c.b.epochs.number > 2:
            return c
    raise AssertionError("the epochs do not end")


def units(epoch, first, count, byte):
    """An item of type 2 (ENV-60) behind a content of 4 bytes."""
    item = u8(2) + u16(5 + 32 * count) + u32(epoch) + u8(first) + bytes([byte]) * (32 * count)
    return lambda padded: padded[:6] + item + bytes(len(padded) - 6 - len(item))


def broken_key():
    """B sends a key that FIPS 203 refuses: the contents are opened, A ends the epochs."""
    c = Conversation("broken key")
    c.talk("A", b"hello")
    for first in (0, 12, 24, 25):
        c.lie("B", "units of a key that is none", units(1, first, 12, 0xFF))
    assert c.a.epochs.failed
    for _ in range(4):
        c.talk("B", b"text")
        c.talk("A", b"text")
    return c


def broken_answer():
    """A sends an answer that does not confirm: the contents are opened, B ends the epochs."""
    c = Conversation("broken answer")
    c.talk("A", b"hello")
    while c.a.epochs.answer is None:
        c.talk("B", b"text")
        c.talk("A", b"text")
    for first in (0, 12, 23):
        c.lie("A", "units of an answer that is none", units(1, first, 12, 0x55))
    assert c.b.epochs.failed
    for _ in range(4):
        c.talk("B", b"text")
        c.talk("A", b"text")
    return c
