# SPDX-License-Identifier: Apache-2.0 OR MIT
"""KEM epochs: docs/spec/03-session.md, SES-90 to SES-101, and their items in 04-envelope.md."""

from .primitives import (
    ML_KEM_768, Refused, kem_check, kem_decapsulate, kem_encapsulate, kem_public, name, sha256, u8, u32, u64,
)

UNIT = 32
KEY_UNITS, ANSWER_UNITS = 37, 35
CT_LENGTH = 1088
# An acknowledgement, and an item with one unit (SES-91, SES-92).
ROOM_TO_BEGIN = 15 + 8 + UNIT


class Epochs:
    """One side of the epochs of one session."""

    def __init__(self, th, is_responder, log):
        self.th, self.is_responder, self.log = th, is_responder, log
        self.failed, self.number = False, 0
        self._next()

    def _next(self):
        """SES-99."""
        self.number += 1
        self.seed = self.key = None
        self.answer = self.secret = self.hashes = None
        self.units, self.peer_holds, self.cursor = {}, set(), 0
        self.checked = False

    @property
    def owner(self):
        """SES-90."""
        return self.is_responder == (self.number % 2 == 1)

    def begin(self, slack, random):
        """Before a sending whose slack has that many bytes. `random` gives the seed (64 bytes) or the
        randomness (32 bytes) that is drawn, if any."""
        if self.failed or slack < ROOM_TO_BEGIN:
            return
        if self.owner and self.seed is None:
            # SES-91.
            self.seed = random(64)
            self.key = kem_public(self.seed, ML_KEM_768)
            self.log({"epoch": self.number, "ek": self.key})
        elif not self.owner and self.answer is None and len(self.units) == KEY_UNITS:
            # SES-92.
            ek = self._whole()
            self.secret, ct = kem_encapsulate(ek, random(32), ML_KEM_768)
            self.hashes = sha256(ek), sha256(ct)
            self.answer = ct + self._confirmation()
            self.units = {}
            self.log({"epoch": self.number, "ss": self.secret, "answer": self.answer})

    def _whole(self):
        return b"".join(self.units[at] for at in sorted(self.units))

    def _confirmation(self):
        return name(self.secret, "kem", self.th + u32(self.number) + self.hashes[0] + self.hashes[1], 32)

    def items(self, room):
        """What goes into the slack behind the acknowledgement: (type, value)."""
        if self.failed:
            return []
        items = []
        if self.units and room >= 15:
            # ENV-61.
            items.append((3, u32(self.number) + u64(sum(1 << at for at in self.units))))
            room -= 15
        ready = self.owner and self.checked
        sent = None if ready else self.key if self.owner else self.answer
        if sent is None:
            return items
        # SES-95, ENV-60.
        count = len(sent) // UNIT
        order = [at % count for at in range(self.cursor, self.cursor + count) if at % count not in self.peer_holds]
        runs = []
        for at in order:
            extends = runs and runs[-1][-1] + 1 == at
            cost = UNIT if extends else UNIT + 8
            if cost > room:
                break
            room -= cost
            runs[-1].append(at) if extends else runs.append([at])
            self.cursor = at + 1
        for run in runs:
            items.append((2, u32(self.number) + u8(run[0]) + sent[run[0] * UNIT : (run[-1] + 1) * UNIT]))
        return items

    def receive(self, items):
        """The items of an opened content: SES-93 to SES-96."""
        if self.failed:
            return
        for kind, value in items:
            epoch = int.from_bytes(value[:4], "big")
            if kind == 3 and epoch == self.number:
                self.peer_holds |= {at for at in range(64) if int.from_bytes(value[4:], "big") >> at & 1}
        total = ANSWER_UNITS if self.owner else KEY_UNITS
        for kind, value in items:
            if kind != 2 or int.from_bytes(value[:4], "big") != self.number:
                continue
            first, units = value[4], value[5:]
            if first + len(units) // UNIT > total:
                raise Refused("SES-93")
            wanted = self.seed is not None and not self.checked if self.owner else self.answer is None
            if not wanted:
                continue
            if self.owner:
                self.peer_holds = set(range(KEY_UNITS))
            for at in range(len(units) // UNIT):
                self.units.setdefault(first + at, units[at * UNIT : (at + 1) * UNIT])
        if len(self.units) < total:
            return
        try:
            self._check()
        except Refused:
            # SES-100.
            self.failed, self.units = True, {}
            self.log({"epoch": self.number, "failed": True})

    def _check(self):
        whole = self._whole()
        if not self.owner:
            kem_check(whole, ML_KEM_768)
            return
        ct, confirmation = whole[:CT_LENGTH], whole[CT_LENGTH:]
        self.secret = kem_decapsulate(self.seed, ct, ML_KEM_768)
        self.hashes = sha256(self.key), sha256(ct)
        if self._confirmation() != confirmation:
            raise Refused("SES-96")
        self.checked, self.units = True, {}

    def mix_own(self):
        """SES-97: (mix, PQ, hashes) of an own step, or None."""
        return self._mix() if self.owner and self.checked else None

    def mix_named(self, mix):
        """SES-98."""
        if mix == 0:
            return None
        if self.owner or self.answer is None or mix != self.number:
            raise Refused("SES-98")
        return self._mix()

    def _mix(self):
        mixed = self.number, self.secret, self.hashes[0] + self.hashes[1]
        self._next()
        return mixed


def item_is_whole(kind, value):
    """ENV-60, ENV-61."""
    if kind == 2:
        return len(value) >= 5 + UNIT and (len(value) - 5) % UNIT == 0
    return kind != 3 or len(value) == 12

