// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How many datagrams the kernel has dropped because a UDP socket of these processes was full.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};

/// The sum over all UDP sockets that these processes have now, from their beginning.
pub(super) fn of(processes: &[u32]) -> Result<u64> {
    let mut inodes = BTreeSet::new();
    for process in processes {
        for entry in std::fs::read_dir(format!("/proc/{process}/fd"))? {
            // A descriptor that was closed between is no socket of interest.
            let Ok(target) = std::fs::read_link(entry?.path()) else {
                continue;
            };
            let target = target.to_string_lossy();
            let inode = target
                .strip_prefix("socket:[")
                .and_then(|rest| rest.strip_suffix(']'));
            inodes.extend(inode.and_then(|inode| inode.parse::<u64>().ok()));
        }
    }
    let mut sum: u64 = 0;
    for name in ["/proc/net/udp", "/proc/net/udp6"] {
        // A system without IPv6 has no second file.
        let Ok(text) = std::fs::read_to_string(name) else {
            continue;
        };
        let drops = sum_of(&text, &inodes).with_context(|| format!("{name} has another form"))?;
        sum = sum.saturating_add(drops);
    }
    Ok(sum)
}

/// The last column of the lines of these sockets.
fn sum_of(text: &str, inodes: &BTreeSet<u64>) -> Option<u64> {
    let mut lines = text.lines();
    lines.next()?.contains("drops").then_some(())?;
    lines.try_fold(0_u64, |sum, line| {
        let mut columns = line.split_whitespace();
        let inode: u64 = columns.nth(9)?.parse().ok()?;
        let drops: u64 = columns.last()?.parse().ok()?;
        let counted = if inodes.contains(&inode) { drops } else { 0 };
        sum.checked_add(counted)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_drops_of_own_sockets_are_summed() {
        let text = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
             12: 0100007F:D431 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 9001 2 00000000 3\n\
             13: 0100007F:D432 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 9002 2 00000000 4\n";
        assert_eq!(sum_of(text, &BTreeSet::from([9001, 9002])), Some(7));
        assert_eq!(sum_of(text, &BTreeSet::from([9002])), Some(4));
        assert_eq!(sum_of("nothing", &BTreeSet::new()), None);
    }

    /// A socket that nobody reads fills up, and the counter shows it.
    #[test]
    fn this_kernel_counts_what_it_drops() {
        let full = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let own = std::process::id();
        let before = of(&[own]).unwrap();
        for _ in 0..20_000 {
            let _ = sender.send_to(&[0; 1200], full.local_addr().unwrap());
        }
        assert!(of(&[own]).unwrap() > before);
    }
}
