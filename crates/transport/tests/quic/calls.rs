// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Greetings and calls.

use prost::Message as _;
use waxwing_transport::framing::encode_frame;

use super::foreign::{foreign_client, hybrid};
use super::*;

/// [TRN-9].
#[tokio::test]
async fn whatever_a_client_sends_is_answered() {
    let listener = listener();
    let to = listener.local_address().unwrap();
    let (client, link) = tokio::join!(foreign_client(hybrid(), ALPN, to), listener.accept());
    let client = client.unwrap();
    tokio::spawn(serve(link.unwrap()));
    let exchange = |bytes: Vec<u8>| {
        let client = client.clone();
        async move {
            let (mut send, mut recv) = client.open_bi().await.unwrap();
            // The server may stop the stream before it was written whole.
            let _ = send.write_all(&bytes).await;
            let _ = send.finish();
            let answer = recv
                .read_to_end(limits::CONTROL_FRAME_SIZE_MAX)
                .await
                .unwrap();
            bytes::Bytes::from(answer)
        }
    };
    let hello = v1::Hello {
        protocol_min: 1,
        protocol_max: 1,
        ..v1::Hello::default()
    };
    // A field of a later version is ignored.
    let mut greeting = encode_frame(&hello, 100).unwrap().to_vec();
    greeting.extend_from_slice(&[0x7a, 0x01, 0x55]);
    greeting[3] += 3;
    assert!(!exchange(greeting).await.is_empty());
    for (bytes, expected) in [
        (vec![0x7f; 100], v1::ErrorCode::TooLarge),
        (vec![0, 0, 0, 3, 0xff, 0xff, 0xff], v1::ErrorCode::Malformed),
        (vec![0, 0, 0, 9, 1], v1::ErrorCode::Malformed),
        (vec![0, 0, 0, 0], v1::ErrorCode::UnknownCall),
        (Vec::new(), v1::ErrorCode::Malformed),
    ] {
        let answer = exchange(bytes).await;
        let response = v1::Response::decode(answer.slice(4..)).unwrap();
        let Some(v1::response::Result::Error(error)) = response.result else {
            panic!("not refused");
        };
        assert_eq!(error.code(), expected);
    }
    let answer = exchange(encode_frame(&status(), 100).unwrap().to_vec()).await;
    let response = v1::Response::decode(answer.slice(4..)).unwrap();
    assert!(matches!(
        response.result,
        Some(v1::response::Result::PrekeyStatus(_))
    ));
}
