// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Every kind of link: text form, mistakes, and what is refused although the checksum holds.

use core::fmt::Display;
use core::str::FromStr;

use proptest::prelude::*;
use waxwing_proto::limits::LINK_LENGTH_MAX;
use waxwing_proto::{AccountKey, DeliveryId, InviteToken, KeyPin, ServerAddress};

use super::text::{Body, parse};
use super::*;
use crate::encoding::{Reader, Writer};
use crate::testing::TestDevice;
use crate::verification::VerificationPayload;

fn server(host: &str, port: u16, pins: &[u8]) -> ServerAddress {
    ServerAddress {
        host: host.parse().unwrap(),
        port,
        key_pins: pins.iter().map(|byte| KeyPin([*byte; 32])).collect(),
    }
}

fn invite() -> InviteLink {
    InviteLink::new(server("a.example", 4433, &[1]), InviteToken::new([5; 16])).unwrap()
}

fn contact() -> ContactLink {
    ContactLink::new(
        server("a.example", 4433, &[1, 2]),
        "alice".parse().unwrap(),
        TestDevice::new(1).as_account(),
        DeliveryId::new([6; 16]),
    )
    .unwrap()
}

fn code() -> LinkCode {
    LinkCode::new(
        server("a.example", 4433, &[1]),
        RendezvousSecret::new([0x77; 16]),
        &TestDevice::new(1).keys(),
    )
    .unwrap()
}

/// No text that differs in one bit is read, and every cut is refused.
fn assert_fragile<L: Display + FromStr>(link: &L) {
    let text = link.to_string();
    assert!(text.len() <= LINK_LENGTH_MAX);
    assert_eq!(L::from_str(&text).ok().unwrap().to_string(), text);
    assert!(L::from_str(&format!("  {text}\n")).is_ok());
    for bit in 0..text.len().saturating_mul(8) {
        let mut bytes = text.clone().into_bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        if let Ok(bad) = String::from_utf8(bytes) {
            // Where the flip makes white space of the last character, that character is missing.
            assert!(L::from_str(&bad).is_err(), "{bad}");
        }
    }
    for length in 0..text.len() {
        let cut = text.get(..length).unwrap();
        assert!(L::from_str(cut).is_err());
    }
}

#[test]
fn links_survive_no_mistake() {
    assert_fragile(&invite());
    assert_fragile(&contact());
    assert_fragile(&code());
    let head = crate::ManifestHead {
        version: 3,
        hash: crate::Digest::new([8; 32]),
    };
    assert_fragile(&VerificationPayload {
        account: AccountKey::new([1; 32]),
        head,
        peer: AccountKey::new([2; 32]),
        peer_head: head,
    });
    assert_fragile(&ServerLink::new(server("::1", 1, &[9])).unwrap());
}

#[test]
fn links_say_what_they_say() {
    let invite: InviteLink = invite().to_string().parse().unwrap();
    assert_eq!(invite.token(), &InviteToken::new([5; 16]));
    assert_eq!(invite.server(), &server("a.example", 4433, &[1]));
    let contact: ContactLink = contact().to_string().parse().unwrap();
    assert_eq!(contact.address().to_string(), "alice@a.example");
    assert_eq!(contact.account(), &TestDevice::new(1).as_account());
    assert_eq!(contact.delivery_id(), &DeliveryId::new([6; 16]));
    assert_eq!(contact.server().key_pins.len(), 2);
    assert!(contact.to_string().starts_with("waxwing:contact/"));
    let long = "a".repeat(253);
    let longest = ContactLink::new(
        server(&long, u16::MAX, &[1, 2]),
        "b".repeat(32).parse().unwrap(),
        TestDevice::new(1).as_account(),
        DeliveryId::new([6; 16]),
    )
    .unwrap();
    assert!(longest.to_string().len() <= LINK_LENGTH_MAX);
    assert_eq!(longest.to_string().parse(), Ok(longest));
}

#[test]
fn mistakes_are_told_apart() {
    assert_eq!(
        invite().to_string().parse::<ContactLink>(),
        Err(LinkError::WrongKind {
            expected: LinkKind::Contact,
            found: LinkKind::Invite,
        })
    );
    let renamed = invite().to_string().replace("invite", "server");
    assert_eq!(renamed.parse::<ServerLink>(), Err(LinkError::Checksum));
    for text in [
        "",
        "alice@a.example",
        "https://a.example",
        "waxwing:",
        "waxwing:cat/AA",
    ] {
        assert_eq!(text.parse::<InviteLink>(), Err(LinkError::NotALink));
        assert_eq!(LinkKind::of(text), None);
    }
    assert_eq!(LinkKind::of(&code().to_string()), Some(LinkKind::Device));
    assert_eq!(
        LinkKind::of("waxwing:verify/"),
        Some(<VerificationPayload as Body>::KIND)
    );
    for text in ["waxwing:invite/", "waxwing:invite/AAAA", "waxwing:invite/ä"] {
        assert_eq!(text.parse::<InviteLink>(), Err(LinkError::Checksum));
    }
    let huge = format!("waxwing:invite/{}", "A".repeat(LINK_LENGTH_MAX));
    assert_eq!(huge.parse::<InviteLink>(), Err(LayoutError::Limit.into()));
    let error = invite().to_string().parse::<LinkCode>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "this is an invite link, not a device's link code"
    );
}

/// The text form of any bytes, with a checksum that holds.
fn text_of(kind: LinkKind, word: &str, layout: &[u8]) -> String {
    let digest = crate::Digest::of(&[crate::labels::LINK_CHECKSUM, word.as_bytes(), b"\0", layout]);
    let whole = [layout, &digest.as_bytes()[..4]].concat();
    let text = format!(
        "waxwing:{word}/{}",
        data_encoding::BASE64URL_NOPAD.encode(&whole)
    );
    assert_eq!(LinkKind::of(&text), Some(kind));
    text
}

fn parse_server(layout: &[u8]) -> Result<ServerLink, LinkError> {
    parse(&text_of(LinkKind::Server, "server", layout))
}

#[test]
fn a_right_checksum_does_not_make_a_link() {
    let good = Writer::new()
        .u8(1)
        .prefixed(b"a.example")
        .unwrap()
        .u16(4433)
        .u8(1)
        .raw(&[1; 32])
        .into_bytes();
    assert_eq!(
        parse_server(&good),
        ServerLink::new(server("a.example", 4433, &[1])).map_err(Into::into)
    );
    let changed = |place: usize, value: u8| {
        let mut bad = good.clone();
        bad[place] = value;
        parse_server(&bad)
    };
    assert_eq!(changed(0, 2), Err(LinkError::UnsupportedVersion));
    assert_eq!(changed(3, b'A'), Err(LayoutError::Value.into()));
    assert_eq!(changed(1, 0xff), Err(LayoutError::Limit.into()));
    let pins = good.len() - 33;
    assert_eq!(changed(pins, 0), Err(LayoutError::Value.into()));
    assert_eq!(changed(pins, 2), Err(LayoutError::Truncated.into()));
    assert_eq!(changed(pins, 3), Err(LayoutError::Limit.into()));
    let mut no_port = good.clone();
    no_port[pins - 2..pins].fill(0);
    assert_eq!(parse_server(&no_port), Err(LayoutError::Value.into()));
    let longer = [good.as_slice(), &[0]].concat();
    assert_eq!(parse_server(&longer), Err(LayoutError::Trailing.into()));
}

#[test]
fn addresses_and_keys_are_checked_when_links_are_made() {
    for bad in [
        server("a", 0, &[1]),
        server("a", 1, &[]),
        server("a", 1, &[1, 2, 3]),
    ] {
        assert!(ServerLink::new(bad.clone()).is_err());
        assert!(InviteLink::new(bad, InviteToken::new([0; 16])).is_err());
    }
    let weak = ContactLink::new(
        server("a", 1, &[1]),
        "alice".parse().unwrap(),
        AccountKey::new([0; 32]),
        DeliveryId::new([0; 16]),
    );
    assert_eq!(weak, Err(LayoutError::Value.into()));
}

#[test]
fn a_link_code_keeps_its_secret_and_knows_its_device() {
    let code = code();
    let shown = format!("{code:?}");
    assert!(
        shown.contains("RendezvousSecret(..)") && !shown.contains("119"),
        "{shown}"
    );
    assert!(!format!("{:?}", invite()).contains("InviteToken(5"));
    assert!(code.fits(&TestDevice::new(1).keys()));
    assert!(!code.fits(&TestDevice::new(2).keys()));
    let read: LinkCode = code.to_string().parse().unwrap();
    assert!(read.fits(&TestDevice::new(1).keys()));
    assert_eq!(read.locator(), code.locator());
    // The first 16 bytes of SHA-256("waxwing/1 rendezvous locator\0" || 16 times 0x77).
    assert_eq!(code.locator().to_hex(), "806a319630a00d75ec8c3a17a5eef77d");
    assert_ne!(code.locator(), RendezvousSecret::new([0x78; 16]).locator());
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        host in "[a-z0-9.-]{1,253}", port in 1_u16.., pins in prop::collection::vec(any::<u8>(), 1..=2),
        token: [u8; 16],
    ) {
        let link = InviteLink::new(server(&host, port, &pins), InviteToken::new(token)).unwrap();
        prop_assert_eq!(link.to_string().parse(), Ok(link));
    }

    #[test]
    fn parsing_never_panics(text in "\\PC{0,80}", layout in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = text.parse::<ContactLink>();
        let _ = format!("waxwing:contact/{text}").parse::<ContactLink>();
        let mut versioned = layout.clone();
        versioned.insert(0, 1);
        if let Ok(link) = parse_server(&versioned) {
            let written = link.write(Writer::new()).unwrap().into_bytes();
            prop_assert_eq!(&written, &layout);
        }
        let _ = <ContactLink as Body>::read(&mut Reader::new(&layout));
        let _ = <LinkCode as Body>::read(&mut Reader::new(&layout));
        let _ = <VerificationPayload as Body>::read(&mut Reader::new(&layout));
    }
}
