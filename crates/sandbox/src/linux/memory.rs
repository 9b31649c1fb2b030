//! Resident memory of a tree of processes, read from `/proc`.

use std::fs;

/// The children of a process with one thread.
pub(super) fn children(process: u32) -> Vec<u32> {
    let path = format!("/proc/{process}/task/{process}/children");
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split_ascii_whitespace().filter_map(|number| number.parse().ok()).collect()
}

/// The children of every thread of a process.
fn all_children(process: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let texts = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    texts.flat_map(|text| text.split_ascii_whitespace().filter_map(|n| n.parse().ok()).collect::<Vec<u32>>()).collect()
}

/// Bytes that the descendants of `root` have in memory. Pages that several share count for each.
pub(super) fn resident_below(root: u32, page: u64) -> u64 {
    let (mut total, mut waiting, mut seen) = (0_u64, all_children(root), 0);
    while let Some(process) = waiting.pop() {
        let statm = fs::read_to_string(format!("/proc/{process}/statm")).unwrap_or_default();
        let pages: u64 = statm.split_ascii_whitespace().nth(1).and_then(|field| field.parse().ok()).unwrap_or(0);
        total = total.saturating_add(pages.saturating_mul(page));
        waiting.extend(all_children(process));
        seen += 1;
        if seen > 1 << 16 {
            break;
        }
    }
    total
}

/// Whether the kernel lists children at all.
pub(super) fn can_watch() -> bool {
    let process = std::process::id();
    fs::exists(format!("/proc/{process}/task/{process}/children")).unwrap_or(false)
}
