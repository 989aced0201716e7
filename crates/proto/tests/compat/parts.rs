// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Parts that many messages have.

use bytes::Bytes;
use waxwing_proto::v1;

pub(crate) fn filled(length: usize, byte: u8) -> Bytes {
    vec![byte; length].into()
}

pub(crate) fn key(byte: u8) -> Bytes {
    filled(32, byte)
}

/// A device id, message id, delivery id, envelope id, token or locator.
pub(crate) fn id(byte: u8) -> Bytes {
    filled(16, byte)
}

pub(crate) fn signature(byte: u8) -> Bytes {
    filled(64, byte)
}

pub(crate) fn head(byte: u8) -> Option<v1::ManifestHead> {
    Some(v1::ManifestHead {
        version: 300,
        hash: key(byte),
    })
}

pub(crate) fn server() -> Option<v1::Server> {
    let key_pins = vec![key(0xb1), key(0xb2)];
    Some(v1::Server {
        host: "chat.example.org".to_owned(),
        port: 4747,
        key_pins,
    })
}

/// Stands where a manifest, a pair or an envelope travels as bytes of a layout of its own.
pub(crate) fn opaque(byte: u8) -> Bytes {
    filled(300, byte)
}
