//! What a running process holds: every page of its memory that is there, searched for bytes.
//! Not here: what is sought (`shown.rs`).

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;

use memchr::memmem::Finder;

const PAGE: u64 = 4096;
/// So much is read at once; a needle that lies across two reads is found, for they overlap.
const READ_PAGES: u64 = 1024;

/// Bytes that must not be there, and what they are.
pub struct Needle {
    pub what: String,
    finder: Finder<'static>,
    length: usize,
}

impl Needle {
    pub fn new(what: impl Into<String>, bytes: &[u8]) -> Needle {
        assert!(bytes.len() >= 16, "shorter bytes are found by chance");
        Needle { what: what.into(), finder: Finder::new(bytes).into_owned(), length: bytes.len() }
    }

    pub fn is_in(&self, bytes: &[u8]) -> bool {
        self.finder.find(bytes).is_some()
    }
}

/// Which of the needles stand in the memory of that process. An error says that it may not be read: that is no absence.
pub fn found_in_memory(pid: u32, needles: &[Needle]) -> Result<Vec<String>, String> {
    let told = |what: &str| {
        let what = format!("{what} of process {pid}");
        move |error: std::io::Error| {
            format!("{what} cannot be read: {error}; run this test as root, or as who may trace its children")
        }
    };
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).map_err(told("the map"))?;
    let memory = File::open(format!("/proc/{pid}/mem")).map_err(told("the memory"))?;
    let mut pagemap = File::open(format!("/proc/{pid}/pagemap")).map_err(told("the page map"))?;
    let overlap = needles.iter().map(|needle| needle.length).max().unwrap_or_default();
    let (mut found, mut pages_read) = (Vec::new(), 0_u64);
    for (start, end) in maps.lines().filter_map(mapping) {
        let mut carried: Vec<u8> = Vec::new();
        for (from, pages) in present(&mut pagemap, start, end).map_err(told("the page map"))? {
            let mut bytes = vec![0; usize::try_from(pages * PAGE).expect("some pages")];
            // a page that went meanwhile is none that holds anything
            if memory.read_exact_at(&mut bytes, from).is_err() {
                carried.clear();
                continue;
            }
            pages_read += pages;
            carried.extend_from_slice(&bytes);
            found.extend(needles.iter().filter(|needle| needle.is_in(&carried)).map(|needle| needle.what.clone()));
            carried.drain(..carried.len().saturating_sub(overlap));
        }
    }
    if pages_read < 256 {
        return Err(format!("only {pages_read} pages of process {pid} could be read: that is not its memory"));
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// From where to where, if it may be read and is no device of the kernel's.
fn mapping(line: &str) -> Option<(u64, u64)> {
    let (range, rest) = line.split_once(' ')?;
    let (start, end) = range.split_once('-')?;
    let is_readable = rest.starts_with('r') && !rest.contains("[v");
    let number = |text| u64::from_str_radix(text, 16).ok();
    Some((number(start)?, number(end)?)).filter(|_| is_readable)
}

/// Runs of pages that are there, in memory or swapped out.
fn present(pagemap: &mut File, start: u64, end: u64) -> std::io::Result<Vec<(u64, u64)>> {
    let count = (end - start) / PAGE;
    pagemap.seek(SeekFrom::Start(start / PAGE * 8))?;
    let mut entries = vec![0; usize::try_from(count * 8).expect("a map fits")];
    let read = pagemap.read(&mut entries)?;
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for (page, entry) in (0..).zip(entries.chunks_exact(8).take(read / 8)) {
        // bit 63: present; bit 62: swapped
        if entry.last().is_none_or(|byte| byte & 0xc0 == 0) {
            continue;
        }
        let at = start + page * PAGE;
        match runs.last_mut() {
            Some((from, pages)) if *from + *pages * PAGE == at && *pages < READ_PAGES => *pages += 1,
            Some(_) | None => runs.push((at, 1)),
        }
    }
    Ok(runs)
}
