# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Handshake, double ratchet, envelope: docs/spec/03-session.md and 04-envelope.md."""

import copy

from .epochs import Epochs, item_is_whole
from .identity import SUITE, Reader, Version
from .primitives import (
    Refused, Z, aes_block, dh, dh_public, expand, hmac, kdf, kem_decapsulate, kem_encapsulate, name,
    seal, sha256, split, u8, u16, u32, unseal,
)

CHAIN_END = 1000
BLOCKS_MAX = 9


# Padding: ENV-3 to ENV-7.


def bucket(length):
    """512, 1024, 2048, 4096, then Padmé."""
    for size in (512, 1024, 2048, 4096):
        if length <= size:
            return size
    exponent = length.bit_length() - 1
    mask = (1 << (exponent - exponent.bit_length())) - 1
    return (length + mask) & ~mask


def padded_length(content, prefix):
    """The length of a padded content of `content` bytes behind a prefix of `prefix` bytes."""
    if prefix == 0:
        return bucket(2 + content)
    return bucket(max(4096, prefix + 2 + content)) - prefix


def pad(content, prefix, items=()):
    if len(content) > 61440:
        raise Refused("ENV-7")
    length = padded_length(len(content), prefix)
    out = u16(len(content)) + content
    for kind, value in items:
        item = u8(kind) + u16(len(value)) + value
        if len(out) + len(item) <= length:
            out += item
    return out.ljust(length, b"\0")


def unpad(padded, prefix):
    """Returns (content, items)."""
    whole = len(padded) + prefix
    if bucket(whole) != whole or (prefix and whole < 4096):
        raise Refused("ENV-6")
    reader = Reader(padded)
    content = reader.take(reader.number(2))
    if len(content) > 61440:
        raise Refused("ENV-7")
    items = []
    while reader.at < len(padded):
        kind = reader.number(1)
        if kind == 0:
            if any(padded[reader.at :]):
                raise Refused("ENV-4")
            break
        items.append((kind, reader.take(reader.number(2))))
        if kind == 4 and len(items[-1][1]) != 12 or not item_is_whole(*items[-1]):
            raise Refused("ENV-4")
    return content, items


# Handshake: SES-7 to SES-14.


class Responder:
    """What both sides know of B before the first envelope."""

    def __init__(self, aik, device, head, signed, one_time):
        """`signed`, `one_time`: (id, X25519 public key, encapsulation key); `one_time` may be None."""
        self.aik, self.head = aik, head
        self.id, self.signing, self.dh = device
        self.signed, self.one_time = signed, one_time

    def transcript(self, ephemeral, ct):
        """SES-8."""
        one_time = self.one_time[1] if self.one_time else Z
        ek = (self.one_time or self.signed)[2]
        return sha256(
            b"hs0", u16(SUITE), self.aik, self.id, self.head, self.signing, self.dh, self.signed[1],
            one_time, ek, ephemeral, ct,
        )


def clear_fields(responder, ephemeral, ct, blocks):
    """SES-14."""
    one_time = responder.one_time[0] if responder.one_time else 0
    return u8(1) + u16(SUITE) + u32(responder.signed[0]) + u32(one_time) + ephemeral + ct + u8(blocks)


def cont_id(cont):
    """SES-51."""
    return name(cont, "id", b"", 8)


def initiate(responder, a, ephemeral, ratchet, randomness, attempt, pred=None):
    """`a`: (AIK_A, dev_A, manifest, IKs_A, secret of IKd_A); `pred`: (th, CONT_pred) or None. Returns
    every value on the way."""
    aik, device, version, signing, dh_secret = a
    ek = (responder.one_time or responder.signed)[2]
    ss, ct = kem_encapsulate(ek, randomness)
    spk = responder.signed[1]
    opk = dh(ephemeral, responder.one_time[1]) if responder.one_time else Z
    h0 = responder.transcript(dh_public(ephemeral), ct)
    k_id, c0 = split(kdf(Z, dh(ephemeral, spk) + opk + ss, "hs-id", h0, 64), 32, 32)
    named, cont = pred or (Z, Z)
    identity = aik + device + u16(len(version)) + version + dh_public(ratchet) + named + u32(attempt)
    identity += cont_id(cont) if pred else bytes(8)
    identity = identity.ljust(-(-len(identity) // 1024) * 1024, b"\0")
    clear = clear_fields(responder, dh_public(ephemeral), ct, len(identity) // 1024)
    sealed = seal(k_id, bytes(12), clear, identity)
    th = sha256(b"hs1", h0, identity, signing, dh_public(dh_secret))
    keys = _finish(c0, dh(dh_secret, spk) + dh(ephemeral, responder.dh), th, cont)
    return {
        "ct": ct, "ss": ss, "h0": h0, "k_id": k_id, "c0": c0, "identity": identity, "th": th, **keys,
        "prefix": clear + sealed + keys["conf"],
    }


def _authenticate(c0, agreements, th):
    """SES-12."""
    c1, k_conf = split(kdf(c0, agreements, "hs", th, 64), 32, 32)
    return {"c1": c1, "k_conf": k_conf, "conf": hmac(k_conf, th)}


def _root(c1, th, cont):
    """SES-13."""
    rk, hk_a, hk_b = split(kdf(cont, c1, "hs-root", th, 96), 32, 32, 32)
    return {"rk": rk, "hk_a": hk_a, "hk_b": hk_b}


def _finish(c0, agreements, th, cont):
    keys = _authenticate(c0, agreements, th)
    return keys | _root(keys["c1"], th, cont)


def read_prefix(data):
    """Splits the bytes behind version and kind: (prefix, fields)."""
    reader = Reader(data)
    if reader.number(1) != 1 or reader.number(2) != SUITE:
        raise Refused("SES-16")
    fields = {"signed": reader.number(4), "one_time": reader.number(4)}
    fields["ephemeral"], fields["ct"] = reader.take(32), reader.take(1568)
    blocks = reader.number(1)
    if not 1 <= blocks <= BLOCKS_MAX:
        raise Refused("SES-14")
    fields["clear"] = data[: reader.at]
    fields["sealed"], fields["conf"] = reader.take(1024 * blocks + 16), reader.take(32)
    return data[: reader.at], fields


def accept(responder, secrets, fields, held=()):
    """SES-15, SES-16 up to the header. `secrets`: IKd_B, SPK, seed of the signed pair, and of the
    one-time pair or None for both. `held`: the sessions that are kept, each with `th` and its two
    continuity secrets."""
    dh_secret, spk, signed_seed, opk, one_time_seed = secrets
    ephemeral, ct = fields["ephemeral"], fields["ct"]
    ss = kem_decapsulate(one_time_seed if opk else signed_seed, ct)
    h0 = responder.transcript(ephemeral, ct)
    agreed = dh(spk, ephemeral) + (dh(opk, ephemeral) if opk else Z) + ss
    k_id, c0 = split(kdf(Z, agreed, "hs-id", h0, 64), 32, 32)
    identity = unseal(k_id, bytes(12), fields["clear"], fields["sealed"])
    reader = Reader(identity)
    aik, device = reader.take(32), reader.take(16)
    version = reader.take(reader.number(2))
    ratchet, pred, attempt, named = reader.take(32), reader.take(32), reader.number(4), reader.take(8)
    if any(identity[reader.at :]) or len(identity) - reader.at >= 1024:
        raise Refused("SES-10")
    if (aik, device) == (responder.aik, responder.id) or (pred == Z and any(named)):
        raise Refused("SES-16")
    read = Version(version)
    listed = [entry for entry in read.devices if entry.id == device]
    if read.aik != aik or not listed:
        raise Refused("SES-16")
    th = sha256(b"hs1", h0, identity, listed[0].signing, listed[0].dh)
    keys = _authenticate(c0, dh(spk, listed[0].dh) + dh(dh_secret, ephemeral), th)
    if keys["conf"] != fields["conf"]:
        raise Refused("SES-16 conf")
    keys |= _root(keys["c1"], th, _continuity(pred, named, held))
    return {"th": th, "ratchet": ratchet, "attempt": attempt, "aik": aik, "device": device, **keys}


def _continuity(pred, named, held):
    """SES-52, SES-56: the secret that a handshake names; `z` where it continues nothing."""
    if pred == Z:
        return Z
    for session in held:
        if session.th == pred:
            for cont in (session.cont_own, session.cont_proved):
                if cont and cont_id(cont) == named:
                    return cont
    raise Refused("SES-56")


def path(sessions, root=Z):
    """SES-54: the `th` of the sessions from the beginning to the active one. `sessions`: (th, pred,
    attempt)."""
    found, level = [], root
    while True:
        siblings = [(attempt, th) for th, pred, attempt in sessions if pred == level]
        if not siblings:
            return found
        level = max(siblings)[1]
        found.append(level)


# Ratchet: SES-24 to SES-40.


class Chain:
    def __init__(self, chain_key, header_key, step):
        self.key, self.n, self.step, self.mix = chain_key, 0, step, 0
        self.tag_key, self.seal_key = header_keys(header_key)

    def next_message_key(self):
        """SES-31."""
        mk = hmac(self.key, u8(1), u32(self.n))
        self.key = hmac(self.key, u8(2))
        self.n += 1
        return mk


def header_keys(header_key):
    """SES-33: (TK, HKe)."""
    return split(expand(header_key, "header", b"", 64), 32, 32)


def message_keys(mk, salt):
    """SES-32: (K, N)."""
    return split(expand(mk, "msg", salt, 44), 32, 12)


def routing_tag(tag_key, n):
    """SES-34."""
    return aes_block(tag_key, n.to_bytes(16, "big"))


class Session:
    """One device's side. `log` receives the values of each step and message."""

    def __init__(self, th, rk, own_header_key, peer_header_key, log):
        self.th, self.rk, self.log = th, rk, log
        self.own_next, self.peer_next = own_header_key, peer_header_key
        self.sending = self.receiving = None
        self.ratchet = self.remote = None
        self.step_number = self.pn = 0
        self.must_step = True
        self.prefix = b""
        self.skipped = {}
        self.newest = None
        self.first = None
        self.epochs = None
        # SES-50 and SES-52: of the peer's last step, the own last one, the own last one proved.
        self.cont_peer = self.cont_own = self.cont_proved = None

    @classmethod
    def initiator(cls, keys, ratchet, spk, log):
        session = cls(keys["th"], keys["rk"], keys["hk_a"], keys["hk_b"], log)
        session.ratchet, session.remote, session.prefix = ratchet, spk, keys["prefix"]
        session.epochs = Epochs(keys["th"], False, log)
        return session

    @classmethod
    def responder(cls, keys, spk_secret, log):
        session = cls(keys["th"], keys["rk"], keys["hk_b"], keys["hk_a"], log)
        session.ratchet, session.must_step, session.first = spk_secret, False, keys["ratchet"]
        session.epochs = Epochs(keys["th"], True, log)
        return session

    def _derive(self, new, remote, agreed, mixed):
        """SES-24; returns CK and NHK, and advances the root."""
        self.step_number += 1
        mix, pq, hashes = mixed or (0, Z, b"")
        ctx = sha256(self.th, u32(self.step_number), u32(mix), new, remote, hashes)
        self.rk, ck, nhk, cont = split(kdf(self.rk, agreed + pq, "step", ctx, 128), 32, 32, 32, 32)
        log = {"step": self.step_number, "mix": mix, "ctx": ctx, "rk": self.rk, "ck": ck, "nhk": nhk, "cont": cont}
        self.log(log)
        return ck, nhk, cont

    def send(self, content, random, new_ratchet=None, forge=lambda what, value: value, kem_random=None):
        """`new_ratchet`: the secret for a step, where one is due (not for A's first step, SES-25).
        `kem_random`: see Epochs.begin. `forge` lets a dishonest peer put something else in a place."""
        if self.must_step:
            self.ratchet = new_ratchet or self.ratchet
            public = dh_public(self.ratchet)
            self.pn = self.sending.n if self.sending else 0
            mixed = self.epochs.mix_own()
            ck, nhk, self.cont_own = self._derive(public, self.remote, dh(self.ratchet, self.remote), mixed)
            self.sending, self.own_next, self.must_step = Chain(ck, self.own_next, self.step_number), nhk, False
            self.sending.mix = mixed[0] if mixed else 0
        chain = self.sending
        if chain.n >= CHAIN_END:
            raise Refused("SES-36")
        n, mk = chain.n, chain.next_message_key()
        items = [(4, u32(self.newest[0]) + self.newest[1])] if self.newest else []
        slack = padded_length(len(content), len(self.prefix)) - 2 - len(content)
        self.epochs.begin(slack, kem_random)
        items += self.epochs.items(slack - (15 if items and slack >= 15 else 0))
        padded = forge("padded", pad(content, len(self.prefix), items))
        salt = name(mk, "salt", random + sha256(padded), 16)
        envelope = u8(1) + u8(1 if self.prefix else 0) + self.prefix
        envelope += forge("tag", routing_tag(chain.tag_key, n)) + salt
        header = forge("header", dh_public(self.ratchet) + u32(n) + u32(self.pn) + u32(chain.mix))
        envelope += seal(chain.seal_key, salt[:12], envelope, header)
        key, nonce = message_keys(mk, salt)
        self.log({"n": n, "pn": self.pn, "mix": chain.mix, "mk": mk, "salt": salt, "header": header, "key": key, "nonce": nonce})
        return envelope + seal(key, nonce, self.th + envelope, padded)

    def receive(self, envelope):
        """Returns the content. A refusal leaves the state as it was: everything is worked out on
        copies first."""
        saved = dict(self.__dict__), dict(self.skipped)
        epochs = copy.copy(self.epochs)
        epochs.units, epochs.peer_holds = dict(epochs.units), set(epochs.peer_holds)
        chains = [(c, dict(c.__dict__)) for c in (self.receiving, self.sending) if c]
        try:
            return self._receive(envelope)
        except Refused:
            self.__dict__, self.skipped = saved
            self.epochs = epochs
            for chain, values in chains:
                chain.__dict__ = values
            raise

    def _receive(self, envelope):
        reader = Reader(envelope)
        if reader.number(1) != 1:
            raise Refused("ENV-1")
        kind, prefix = reader.number(1), b""
        if kind == 1:
            prefix, _ = read_prefix(envelope[2:])
            reader.take(len(prefix))
        elif kind != 0:
            raise Refused("ENV-1")
        tag, salt = reader.take(16), reader.take(16)
        before_header = envelope[: reader.at]
        sealed_header = reader.take(60)
        before_content, sealed = envelope[: reader.at], envelope[reader.at :]
        if tag in self.skipped:
            step, n, mk = self.skipped.pop(tag)
        else:
            step, n, mk = self._advance(before_header, salt, sealed_header)
            if tag != routing_tag(self.receiving.tag_key, n):
                raise Refused("SES-34")
        key, nonce = message_keys(mk, salt)
        padded = unseal(key, nonce, self.th + before_content, sealed)
        content, items = unpad(padded, len(prefix))
        self.epochs.receive(items)
        if self.newest is None or (step, n) > self.newest[2]:
            self.newest = (n, sha256(salt + sealed[-16:])[:8], (step, n))
        self.prefix = b""
        return content

    def _advance(self, ad, salt, sealed):
        """SES-26 to SES-30, SES-35, SES-36: opens the header and gives the message key."""
        header, new_chain = self._open_header(ad, salt, sealed)
        remote, n, pn, mix = header[:32], *(int.from_bytes(header[at : at + 4], "big") for at in (32, 36, 40))
        if n >= CHAIN_END or pn > CHAIN_END:
            raise Refused("SES-36")
        if new_chain:
            if self.receiving is None and self.first not in (None, remote):
                raise Refused("SES-16")
            if pn < (self.receiving.n if self.receiving else 0) or (pn and not self.receiving):
                raise Refused("SES-28")
            if self.receiving:
                self._skip_to(pn)
            mixed = self.epochs.mix_named(mix)
            agreed = dh(self.ratchet, remote)
            ck, nhk, self.cont_peer = self._derive(remote, dh_public(self.ratchet), agreed, mixed)
            self.cont_proved = self.cont_own
            self.receiving = Chain(ck, self.peer_next, self.step_number)
            self.receiving.mix = mix
            self.peer_next, self.remote = nhk, remote
            self.ratchet, self.must_step = None, True
        elif remote != self.remote:
            raise Refused("SES-30")
        elif mix != self.receiving.mix:
            raise Refused("SES-26")
        if n < self.receiving.n:
            raise Refused("opened before")
        self._skip_to(n)
        return self.receiving.step, n, self.receiving.next_message_key()

    def _open_header(self, ad, salt, sealed):
        if self.receiving:
            try:
                return unseal(self.receiving.seal_key, salt[:12], ad, sealed), False
            except Refused:
                pass
        if self.must_step:
            # The peer answers a step of ours; before that it cannot make one.
            raise Refused("ENV-8")
        try:
            return unseal(header_keys(self.peer_next)[1], salt[:12], ad, sealed), True
        except Refused:
            raise Refused("ENV-8") from None

    def _skip_to(self, n):
        step = self.receiving.step
        while self.receiving.n < n:
            tag = routing_tag(self.receiving.tag_key, self.receiving.n)
            number = self.receiving.n
            self.skipped[tag] = (step, number, self.receiving.next_message_key())
            while len(self.skipped) > 1000:
                self.skipped.pop(next(iter(self.skipped)))
