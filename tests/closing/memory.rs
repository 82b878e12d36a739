//! What a running process holds: every page of its memory that is there, searched for bytes.
//! Not here: what is sought (`shown.rs`).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use memchr::memmem::Finder;

const PAGE: u64 = 4096;
/// So much is read at once; a needle that lies across two reads is found, for they overlap.
const READ_PAGES: u64 = 1024;
/// So many pages may be there and yet not be readable, such as a device's that the kernel maps.
const UNREAD_MAX: usize = 16;
/// No process has fewer.
const READ_MIN: usize = 256;

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
    let told = |error: io::Error| {
        format!(
            "the memory of process {pid} cannot be read: {error}; run this test as root, or as who may trace its children"
        )
    };
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).map_err(told)?;
    let mut pages = Pages::of(pid).map_err(told)?;
    let overlap = needles.iter().map(|needle| needle.length).max().unwrap_or_default();
    let mut found = Vec::new();
    for (start, end) in maps.lines().filter_map(mapping) {
        let mut carried: Vec<u8> = Vec::new();
        for (from, count) in pages.present(start, end).map_err(told)? {
            for bytes in pages.read(from, count).map_err(told)? {
                let Some(bytes) = bytes else {
                    carried.clear();
                    continue;
                };
                carried.extend_from_slice(&bytes);
                found.extend(needles.iter().filter(|needle| needle.is_in(&carried)).map(|needle| needle.what.clone()));
                carried.drain(..carried.len().saturating_sub(overlap));
            }
        }
    }
    pages.enough().map_err(|why| format!("process {pid}: {why}"))?;
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

/// The pages of a process.
struct Pages {
    memory: File,
    pagemap: File,
    /// How many were read.
    count: usize,
    /// Where pages are that are there and cannot be read.
    unread: Vec<u64>,
}

impl Pages {
    fn of(pid: u32) -> io::Result<Pages> {
        let (memory, pagemap) = (File::open(format!("/proc/{pid}/mem"))?, File::open(format!("/proc/{pid}/pagemap"))?);
        Ok(Pages { memory, pagemap, count: 0, unread: Vec::new() })
    }

    /// Runs of pages that are there, in memory or swapped out.
    fn present(&mut self, start: u64, end: u64) -> io::Result<Vec<(u64, u64)>> {
        let mut runs: Vec<(u64, u64)> = Vec::new();
        let mut entries = vec![0; usize::try_from((end - start) / PAGE * 8).expect("a map fits")];
        self.pagemap.read_exact_at(&mut entries, start / PAGE * 8)?;
        for (page, entry) in (0..).zip(entries.chunks_exact(8)) {
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

    /// What stands in a run: all of it, or page by page if one of them cannot be read.
    fn read(&mut self, from: u64, count: u64) -> io::Result<Vec<Option<Vec<u8>>>> {
        let mut bytes = vec![0; usize::try_from(count * PAGE).expect("some pages")];
        if self.memory.read_exact_at(&mut bytes, from).is_ok() {
            self.count += usize::try_from(count).expect("some pages");
            return Ok(vec![Some(bytes)]);
        }
        let mut pages = Vec::new();
        for at in (0..count).map(|page| from + page * PAGE) {
            let mut bytes = vec![0; usize::try_from(PAGE).expect("a page")];
            let read = self.memory.read_exact_at(&mut bytes, at).is_ok();
            self.count += usize::from(read);
            // A page that went meanwhile is none that holds anything.
            if !read && !self.present(at, at + PAGE)?.is_empty() {
                self.unread.push(at);
            }
            pages.push(read.then_some(bytes));
        }
        Ok(pages)
    }

    /// Whether so much was read that what was not found is not there.
    fn enough(&self) -> Result<(), String> {
        let (count, unread) = (self.count, self.unread.len());
        if count < READ_MIN {
            return Err(format!("only {count} pages could be read: that is not its memory"));
        }
        match self.unread.first() {
            Some(first) if unread > UNREAD_MAX => {
                Err(format!("{unread} pages, from {first:#x} on, are there and cannot be read"))
            }
            Some(_) | None => Ok(()),
        }
    }
}

#[test]
fn pages_beside_one_that_cannot_be_read_are_read_and_few_may_be_missing() {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("its own");
    // Nothing is mapped before the first mapping: so it looks where a page went while it was about to be read.
    let (start, _) = maps.lines().next().and_then(mapping).expect("a mapping");
    let mut pages = Pages::of(std::process::id()).expect("its own");
    let read = pages.read(start - PAGE, 2).expect("a page map");
    assert_eq!(read.iter().map(|page| page.as_ref().map(Vec::len)).collect::<Vec<_>>(), [None, Some(4096)]);
    assert!(pages.unread.is_empty(), "what is not there is not missed: {:x?}", pages.unread);
    for (read, unread, is_enough) in
        [(READ_MIN, 0, true), (READ_MIN - 1, 0, false), (READ_MIN, 16, true), (9999, 17, false)]
    {
        (pages.count, pages.unread) = (read, vec![start; unread]);
        assert_eq!(pages.enough().is_ok(), is_enough, "{read} read, {unread} not");
    }
}

#[test]
fn what_stands_in_its_own_memory_is_found_by_the_search() {
    let secret: Vec<u8> = std::hint::black_box((0_u8..64).map(|byte| byte.wrapping_mul(37) ^ 0x5a).collect());
    let found = found_in_memory(std::process::id(), &[Needle::new("it", &secret)]).expect("its own memory");
    assert_eq!(found, ["it"]);
}
