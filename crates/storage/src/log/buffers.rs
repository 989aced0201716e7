// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Buffers of records that are used again by the thread that gives them back. An allocator takes a lock
//! for pieces of this size, which threads that append at once would wait for.

use std::cell::RefCell;

/// Buffers that one thread keeps.
const KEPT_MAX: usize = 512;
/// The largest one that is kept, in bytes.
const SIZE_MAX: usize = 4096;

thread_local! {
    static KEPT: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer with at least this capacity.
pub(crate) fn take(capacity: usize) -> Vec<u8> {
    let kept = if capacity <= SIZE_MAX {
        KEPT.try_with(|kept| kept.borrow_mut().pop()).ok().flatten()
    } else {
        None
    };
    let mut buffer = kept.unwrap_or_default();
    buffer.reserve_exact(capacity);
    buffer
}

/// Keeps buffers for [`take`], or frees them.
pub(crate) fn give_back(buffers: Vec<Vec<u8>>) {
    // A thread that ends keeps none.
    let _ended = KEPT.try_with(|kept| {
        let mut kept = kept.borrow_mut();
        for mut buffer in buffers {
            if buffer.capacity() <= SIZE_MAX && kept.len() < KEPT_MAX {
                buffer.clear();
                kept.push(buffer);
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_empty_and_large_enough() {
        give_back(vec![vec![7; 100], vec![7; SIZE_MAX + 1]]);
        let again = take(200);
        assert!(again.is_empty() && again.capacity() >= 200);
        assert_eq!(KEPT.with(|kept| kept.borrow().len()), 0);
        give_back((0..KEPT_MAX + 5).map(|_| Vec::with_capacity(10)).collect());
        assert_eq!(KEPT.with(|kept| kept.borrow().len()), KEPT_MAX);
        assert!(take(SIZE_MAX + 1).capacity() > SIZE_MAX);
        assert_eq!(KEPT.with(|kept| kept.borrow().len()), KEPT_MAX);
    }
}
