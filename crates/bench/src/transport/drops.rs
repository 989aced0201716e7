// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How many datagrams the kernel has dropped because a UDP socket of this machine was full.

use anyhow::{Context as _, Result};

/// The sum over all UDP sockets that are open now.
pub(super) fn total() -> Result<u64> {
    let mut sum: u64 = 0;
    for name in ["/proc/net/udp", "/proc/net/udp6"] {
        // A system without IPv6 has no second file.
        let Ok(text) = std::fs::read_to_string(name) else {
            continue;
        };
        sum =
            sum.saturating_add(sum_of(&text).with_context(|| format!("{name} has another form"))?);
    }
    Ok(sum)
}

/// The last column of each line below the heading.
fn sum_of(text: &str) -> Option<u64> {
    let mut lines = text.lines();
    lines.next()?.contains("drops").then_some(())?;
    lines.try_fold(0_u64, |sum, line| {
        let drops: u64 = line.split_whitespace().last()?.parse().ok()?;
        sum.checked_add(drops)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_column_is_summed() {
        let text = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
             12: 0100007F:D431 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 9001 2 00000000 3\n\
             13: 0100007F:D432 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 9002 2 00000000 4\n";
        assert_eq!(sum_of(text), Some(7));
        assert_eq!(sum_of("nothing"), None);
    }

    #[test]
    fn this_kernel_has_the_counter() {
        let _socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        assert!(total().is_ok());
    }
}
