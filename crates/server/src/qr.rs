// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Links as QR codes, drawn with half blocks.

use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

/// The link as lines of half blocks, with its quiet zone; `None` when it is too long for a code.
///
/// Light modules are drawn and dark ones left out, since most terminals are dark; scanners read
/// both.
pub(crate) fn draw(link: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(link, EcLevel::L).ok()?;
    let image = code
        .render::<Dense1x2>()
        .dark_color(Dense1x2::Light)
        .light_color(Dense1x2::Dark)
        .quiet_zone(true)
        .build();
    Some(image)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_square_and_uses_half_blocks_only() {
        let image = draw("waxwing:invite/AQ").unwrap();
        let lines: Vec<&str> = image.lines().collect();
        let width = lines[0].chars().count();
        assert!(lines.iter().all(|line| line.chars().count() == width));
        assert_eq!(lines.len(), width.div_ceil(2));
        assert!(
            image
                .chars()
                .all(|c| " \u{2580}\u{2584}\u{2588}\n".contains(c))
        );
        assert!(draw(&"x".repeat(8000)).is_none());
    }
}
