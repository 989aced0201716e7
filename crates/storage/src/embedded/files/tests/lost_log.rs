// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A store whose delivery log is gone: what `verify` says is what a start does.

use super::*;

#[tokio::test]
async fn a_made_store_without_its_log_is_damaged() {
    for left in [None, Some("nothing"), Some("segment"), Some("spare")] {
        let place = Place::default();
        drop(place.server().await);
        let path = place.folder.path();
        assert!(verify_server(path, place.files.clone()).unwrap().is_whole());
        let log = path.join("log");
        fs::remove_dir_all(&log).unwrap();
        if let Some(left) = left {
            fs::create_dir(&log).unwrap();
            fs::write(log.join(format!("00000001.{left}")), [0; 4096]).unwrap();
        }
        let found = verify_server(path, place.files.clone()).unwrap();
        assert!(found.log.is_lost && !found.is_whole(), "{left:?} is left");
        let refused = place.try_server().await.err();
        let is_said = matches!(refused, Some(StoreError::Corrupt { .. }));
        assert!(is_said, "{left:?} is left: {refused:?}");
    }
    let empty = Place::default();
    let found = verify_server(empty.folder.path(), empty.files).unwrap();
    assert!(found.is_whole(), "none was made");
}
