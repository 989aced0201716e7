// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What secrets must not be able to do, checked by the compiler: a type that gained one of these
//! traits would make two implementations apply, and this file would not compile.

use crate::session::chain_key::ChainKey;
use crate::session::header::HeaderKeys;
use crate::session::kem::{Answer, EpochSecret, Epochs, OfferedKey};
use crate::session::root_key::RootKey;
use crate::session::state::State;
use crate::{KemChanges, MessageKey, PrekeySecret, Session, SkippedRow};

macro_rules! assert_not {
    ($type:ty: $($bound:path),+) => {
        const _: fn() = || {
            trait Ambiguous<A> {
                fn item() {}
            }
            impl<T: ?Sized> Ambiguous<()> for T {}
            $({
                #[allow(dead_code, reason = "only its type parameter is used")]
                struct Gained;
                impl<T: ?Sized + $bound> Ambiguous<Gained> for T {}
            })+
            let _ = <$type as Ambiguous<_>>::item;
        };
    };
}

macro_rules! assert_secret {
    ($($type:ty),+ $(,)?) => {
        $(assert_not!($type: Clone, Copy, core::fmt::Debug, core::fmt::Display, PartialEq);)+
    };
}

assert_secret!(
    MessageKey,
    SkippedRow,
    ChainKey,
    RootKey,
    HeaderKeys,
    EpochSecret,
    Answer,
    OfferedKey,
    Epochs,
    KemChanges,
    State,
    PrekeySecret,
    waxwing_crypto::Secret<32>,
    waxwing_crypto::DhSecret,
    waxwing_crypto::KemSecret768,
    waxwing_crypto::KemSecret1024,
    waxwing_crypto::kdf::HmacKey,
    waxwing_crypto::aead::Cipher,
    waxwing_crypto::prf::BlockPrf,
    waxwing_crypto::DeviceSecrets,
    waxwing_crypto::DeviceSigningSecret,
    waxwing_crypto::AccountSecret,
    waxwing_crypto::RecoveryWords,
    waxwing_crypto::MasterKey,
    waxwing_crypto::StoreKeys,
);
assert_not!(Session: Clone, Copy, core::fmt::Display, PartialEq);

#[test]
fn a_session_prints_nothing_secret() {
    let (a, _) = super::world::acquainted();
    let session = a.active();
    let printed = format!("{session:?}");
    assert!(printed.starts_with("Session { id: SessionId("));
    assert!(printed.len() < 100);
}

/// What sending and opening return says which session and which message it is about, and nothing of
/// the content, the envelope or the keys.
#[test]
fn what_was_sealed_and_opened_prints_nothing_secret() {
    let (mut a, b) = super::world::acquainted();
    let sealed = a.active().encrypt(b"content", &mut a.rng).unwrap();
    let envelope = crate::Envelope::parse(&sealed.envelope).unwrap();
    let opened = b.active().decrypt(&envelope, None, super::world::NOW);
    let opened = opened.unwrap();
    let session = format!("{:?}", sealed.session);
    let printed = format!("{sealed:?}");
    let sent = sealed.sent;
    assert_eq!(
        printed,
        format!("Sealed {{ session: {session}, sent: {sent:?}, .. }}")
    );
    let (session, position) = (&opened.session, opened.position);
    let expected = format!("Opened {{ session: {session:?}, position: {position:?}, .. }}");
    assert_eq!(format!("{opened:?}"), expected);
}
