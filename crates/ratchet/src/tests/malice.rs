// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A peer that holds the right keys and says wrong things: refused, and the state is as it was.

use rand_core::CryptoRng;

use waxwing_crypto::DhSecret;

use super::world::{NOW, Party, acquainted, local, strangers};
use crate::envelope::{self, ContentAd, Envelope};
use crate::handshake::offer;
use crate::session::header::Header;
use crate::session::padding;
use crate::{Continuation, KemChanges, RatchetError, Session};

/// What `session` would send next, with a header of the peer's choice. `tag` is the number that
/// the routing tag is made for.
pub(super) fn lie<R: CryptoRng>(
    session: &Session,
    tag: u32,
    padded: &[u8],
    rng: &mut R,
    change: impl FnOnce(&mut Header),
) -> Vec<u8> {
    let chain = session.state().sending.as_ref().unwrap();
    let mut header = Header {
        ratchet_key: *chain.ratchet.public(),
        n: chain.n,
        pn: chain.pn,
        mix: chain.mix,
    };
    change(&mut header);
    let (key, _) = chain.key.advance(chain.n);
    let mut out = vec![envelope::VERSION, envelope::PLAIN];
    out.extend_from_slice(chain.header.tag(tag).as_bytes());
    let mut padded = padded.to_vec();
    let seal = key.seal(&mut padded, rng, |salt| {
        out.extend_from_slice(salt);
        let sealed = chain.header.seal(&header, salt, &out)?;
        out.extend_from_slice(&sealed);
        Ok(ContentAd::new(&session.id(), &out))
    });
    out.extend_from_slice(&padded);
    out.extend_from_slice(&seal.unwrap().1);
    out
}

/// A peer in the middle of a chain, and the other side, which has opened all of it.
pub(super) fn peers() -> (Party, Party) {
    let (mut a, mut b) = acquainted();
    for _ in 0..3 {
        let envelope = a.send(&mut b, b"x");
        b.receive(&envelope).unwrap();
    }
    (a, b)
}

pub(super) fn refused(b: &mut Party, envelope: &[u8]) -> RatchetError {
    let before = b.snapshot();
    let error = b.receive(envelope).unwrap_err();
    assert_eq!(b.snapshot(), before);
    error
}

#[test]
fn without_a_lie_it_is_opened() {
    let (mut a, mut b) = peers();
    let session = a.active();
    let n = session.state().sending.as_ref().unwrap().n;
    let padded = padding::pad(b"honest", 0).unwrap();
    let envelope = lie(&session, n, &padded, &mut a.rng, |_| ());
    assert_eq!(b.receive(&envelope).unwrap(), b"honest");
}

#[test]
fn headers_beyond_the_limits_are_refused() {
    let (mut a, mut b) = peers();
    let session = a.active();
    let n = session.state().sending.as_ref().unwrap().n;
    let padded = padding::pad(b"lie", 0).unwrap();
    let rng = &mut a.rng;
    for far in [1000, u32::MAX] {
        let envelope = lie(&session, n, &padded, rng, |header| header.n = far);
        assert_eq!(refused(&mut b, &envelope), RatchetError::TooFarAhead);
    }
    let envelope = lie(&session, n, &padded, rng, |header| header.pn = 1001);
    assert_eq!(refused(&mut b, &envelope), RatchetError::TooFarAhead);
    let envelope = lie(&session, n, &padded, rng, |header| header.mix = 1);
    let error = refused(&mut b, &envelope);
    assert_eq!(error, RatchetError::Malformed("epoch"));
    let envelope = lie(&session, n, &padded, rng, |header| header.n = 0);
    assert_eq!(refused(&mut b, &envelope), RatchetError::Replay);
    let envelope = lie(&session, n, &padded, rng, |header| header.n = n + 1);
    let error = refused(&mut b, &envelope);
    assert_eq!(error, RatchetError::Malformed("routing tag"));
    let envelope = lie(&session, n, &padded, rng, |header| {
        header.ratchet_key[0] ^= 1
    });
    assert_eq!(refused(&mut b, &envelope), RatchetError::PeerDiverged);
}

#[test]
fn a_step_with_a_bad_key_or_a_wrong_length_is_refused() {
    let (mut a, mut b) = peers();
    let turn = b.send(&mut a, b"turn");
    a.receive(&turn).unwrap();
    a.send(&mut b, b"makes the step");
    let session = a.active();
    let pn = session.state().sending.as_ref().unwrap().pn;
    let padded = padding::pad(b"lie", 0).unwrap();
    let rng = &mut a.rng;
    let envelope = lie(&session, 1, &padded, rng, |header| {
        header.ratchet_key = [0; 32]
    });
    assert_eq!(refused(&mut b, &envelope), RatchetError::NonContributory);
    let envelope = lie(&session, 1, &padded, rng, |header| header.pn = pn - 1);
    let error = refused(&mut b, &envelope);
    assert_eq!(error, RatchetError::Malformed("chain length"));
    let envelope = lie(&session, 1, &padded, rng, |header| {
        header.ratchet_key[0] ^= 1
    });
    assert_eq!(refused(&mut b, &envelope), RatchetError::AuthFailed);
    // A larger `pn` than there is costs rows, and nothing else.
    let envelope = lie(&session, 1, &padded, rng, |header| header.pn = 1000);
    assert_eq!(b.receive(&envelope).unwrap(), b"lie");
    assert!(b.skipped.len() <= 1000);
}

#[test]
fn the_first_step_is_made_with_the_announced_key() {
    let (mut a, mut b) = strangers();
    let bundle = b.bundle();
    for honest in [false, true] {
        let own = local(&a.secrets, &a.manifest);
        let first = Continuation::first(0);
        let offer = offer(&own, &bundle, &first, NOW, &mut a.rng).unwrap();
        let other = DhSecret::generate(&mut a.rng);
        let mut state = offer.state;
        let key = if honest { offer.ratchet } else { other };
        state.make_step(key, &mut KemChanges::default()).unwrap();
        let session = Session::new(state, Some(offer.prefix.into()));
        let envelope = session.encrypt(b"first", &mut a.rng).unwrap().envelope;
        if honest {
            assert_eq!(b.receive(&envelope).unwrap(), b"first");
        } else {
            let error = refused(&mut b, &envelope);
            assert_eq!(error, RatchetError::Malformed("first ratchet key"));
        }
    }
}

#[test]
fn a_step_that_nobody_answered_is_an_alarm() {
    let (mut a, mut b) = peers();
    // B has not made a step since A's last: A cannot have made another one.
    let mut session = a.active();
    let mut state = session.state().duplicate();
    let next = state.sending_next.duplicate();
    state.sending.as_mut().unwrap().header = next;
    session = Session::new(state, None);
    let padded = padding::pad(b"lie", 0).unwrap();
    let envelope = lie(&session, 0, &padded, &mut a.rng, |_| ());
    assert_eq!(refused(&mut b, &envelope), RatchetError::PeerDiverged);
}

#[test]
fn bad_padding_is_refused() {
    let (mut a, mut b) = peers();
    let session = a.active();
    let n = session.state().sending.as_ref().unwrap().n;
    let mut padded = padding::pad(b"lie", 0).unwrap();
    padded[511] = 1;
    let envelope = lie(&session, n, &padded, &mut a.rng, |_| ());
    let error = refused(&mut b, &envelope);
    assert_eq!(error, RatchetError::Malformed("padding"));
    let envelope = lie(&session, n, &padded[..511], &mut a.rng, |_| ());
    assert!(Envelope::parse(&envelope).is_err());
}
