// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Secret byte strings: on the heap, filled in place, wiped on drop.
//!
//! A [`Secret`] cannot be copied, printed or compared by accident: there is no `Copy`, `Clone`,
//! `Debug`, `Display` or `PartialEq`. The bytes live in one heap allocation, because a value that
//! moves on the stack leaves its old bytes behind.

use std::sync::Arc;

use rand_core::CryptoRng;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// `N` secret bytes. Wiped when its last owner is dropped.
///
/// ```compile_fail
/// fn printable<T: std::fmt::Debug>() {}
/// printable::<waxwing_crypto::Secret<32>>();
/// ```
/// ```compile_fail
/// fn duplicable<T: Clone>() {}
/// duplicable::<waxwing_crypto::Secret<32>>();
/// ```
/// ```compile_fail
/// fn comparable<T: PartialEq>() {}
/// comparable::<waxwing_crypto::Secret<32>>();
/// ```
pub struct Secret<const N: usize>(Arc<Scratch<N>>);

impl<const N: usize> Secret<N> {
    /// Makes a secret by filling its bytes in place.
    #[must_use]
    pub fn fill_with(fill: impl FnOnce(&mut [u8; N])) -> Self {
        let mut bytes = Arc::new(Scratch::zeros());
        // Nobody else has it yet.
        if let Some(own) = Arc::get_mut(&mut bytes) {
            fill(own);
        }
        Self(bytes)
    }

    /// As [`Secret::fill_with`], for a filling that can fail. What was filled is then wiped.
    ///
    /// # Errors
    /// Those of `fill`.
    pub fn try_fill_with<E>(fill: impl FnOnce(&mut [u8; N]) -> Result<(), E>) -> Result<Self, E> {
        let mut filled = Ok(());
        let secret = Self::fill_with(|bytes| filled = fill(bytes));
        filled.map(|()| secret)
    }

    /// Fresh random bytes.
    #[must_use]
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        Self::fill_with(|bytes| rng.fill_bytes(bytes))
    }

    /// Copies bytes into a secret. The caller wipes the source.
    #[must_use]
    pub fn copy_of(bytes: &[u8; N]) -> Self {
        Self::fill_with(|own| own.copy_from_slice(bytes))
    }

    /// Copies a slice into a secret; `None` where its length is not `N`. The caller wipes the
    /// source.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        <&[u8; N]>::try_from(bytes).ok().map(Self::copy_of)
    }

    /// The bytes, for key derivation and for sealed rows. Every use of this method is a place to
    /// review.
    #[must_use]
    pub fn expose(&self) -> &[u8; N] {
        &self.0
    }

    /// A second owner of the same bytes, where a protocol state needs one. Deliberately not `Clone`, so
    /// that no derived implementation duplicates secrets unseen.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self(Arc::clone(&self.0))
    }

    /// Compares in constant time.
    #[must_use]
    pub fn equals(&self, other: &Self) -> bool {
        // SES-41.
        bool::from(self.0.as_slice().ct_eq(other.0.as_slice()))
    }
}

impl<const N: usize> ZeroizeOnDrop for Secret<N> {}

/// `N` secret bytes on the stack, for a computation that ends in the same function. Wiped when
/// dropped, all at once: [`zeroize::Zeroizing`] wipes an array byte by byte. What is moved leaves its
/// bytes behind, so it is borrowed and never moved.
pub struct Scratch<const N: usize>([u8; N]);

impl<const N: usize> Scratch<N> {
    /// Zeros.
    #[must_use]
    pub const fn zeros() -> Self {
        Self([0; N])
    }
}

impl<const N: usize> core::ops::Deref for Scratch<N> {
    type Target = [u8; N];

    fn deref(&self) -> &[u8; N] {
        &self.0
    }
}

impl<const N: usize> core::ops::DerefMut for Scratch<N> {
    fn deref_mut(&mut self) -> &mut [u8; N] {
        &mut self.0
    }
}

impl<const N: usize> Drop for Scratch<N> {
    fn drop(&mut self) {
        self.0.as_mut_slice().zeroize();
    }
}

impl<const N: usize> ZeroizeOnDrop for Scratch<N> {}

/// Splits derived bytes into consecutive parts; each part is a [`Secret`] of its own. Parts that do
/// not add up to the whole do not compile. The caller wipes the whole.
#[must_use]
pub fn split<const N: usize, const PARTS: usize, const M: usize>(
    whole: &[u8; N],
) -> [Secret<M>; PARTS] {
    const { assert!(matches!(PARTS.checked_mul(M), Some(sum) if sum == N)) };
    let mut chunks = whole.chunks_exact(M);
    core::array::from_fn(|_| {
        Secret::fill_with(|part| {
            if let Some(chunk) = chunks.next() {
                part.copy_from_slice(chunk);
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_split_keeps_every_byte_in_order() {
        let whole: [u8; 96] = core::array::from_fn(|at| u8::try_from(at).unwrap());
        let [a, b, c] = split::<96, 3, 32>(&whole);
        assert_eq!(a.expose()[0], 0);
        assert_eq!(b.expose()[0], 32);
        assert_eq!(c.expose()[31], 95);
    }

    #[test]
    fn equality_is_by_content() {
        let one = Secret::<4>::copy_of(&[1, 2, 3, 4]);
        assert!(one.equals(&one.duplicate()));
        assert!(!one.equals(&Secret::copy_of(&[1, 2, 3, 5])));
        assert!(Secret::<4>::from_slice(&[1, 2, 3]).is_none());
    }
}
