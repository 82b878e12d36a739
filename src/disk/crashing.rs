//! A disk in memory that loses power when a test wants it to, and whose calls fail when a test wants them to.
//! Not here: what survives (`medium.rs`). It runs the same sequences of calls as the real one (`disk/verbs.rs`), so
//! that their order is what is tested. A seed decides everything; calls are counted from each start.

mod medium;

use std::collections::{HashMap, HashSet};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard};

pub use medium::{How, Random, SECTOR_BYTES};
use medium::{Medium, Node};

use super::verbs::{self, Calls, Pace};
use super::{AppendFile, BlockFile, Blocks, Disk, Lock, ReadAt, secret_file};
use crate::secret::Secret;

/// What is counted and can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    MakeDirectory,
    Names,
    Lock,
    Read,
    Create,
    Write,
    Sync,
    Rename,
    Unlink,
    SyncDirectory,
    Open,
    OpenToRead,
    ReadAt,
    FreeBytes,
}

impl Call {
    /// In the order in which a log first makes them.
    pub const ALL: [Call; 14] = [
        Call::MakeDirectory,
        Call::Names,
        Call::Lock,
        Call::Read,
        Call::Create,
        Call::Write,
        Call::Sync,
        Call::Rename,
        Call::Unlink,
        Call::SyncDirectory,
        Call::Open,
        Call::OpenToRead,
        Call::ReadAt,
        Call::FreeBytes,
    ];

    /// How far it can be done when it fails.
    pub fn hows(self) -> &'static [How] {
        match self {
            Call::Sync | Call::SyncDirectory => &[How::Not, How::Partly, How::Whole, How::Lost],
            Call::Write => &[How::Not, How::Partly, How::Whole],
            Call::MakeDirectory | Call::Create | Call::Rename | Call::Unlink => &[How::Not, How::Whole],
            // They only look.
            Call::Names | Call::Lock | Call::Read | Call::Open | Call::OpenToRead | Call::ReadAt | Call::FreeBytes => {
                &[How::Not]
            }
        }
    }
}

/// The n-th call of its kind from the start on, from 1, fails.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    pub call: Call,
    pub nth: u64,
    pub kind: ErrorKind,
    /// How far it was done nevertheless.
    pub how: How,
}

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The machine lives on, and with it the page cache.
    Killed,
    PowerLost,
}

/// A disk that says something is durable which is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    OfFiles,
    OfDirectories,
}

/// One start of a machine with that disk; clones are the same start.
#[derive(Clone)]
pub struct CrashingDisk {
    state: Arc<Mutex<State>>,
    start: u64,
}

struct State {
    medium: Medium,
    random: Random,
    start: u64,
    is_down: bool,
    calls: u64,
    counts: HashMap<Call, u64>,
    crash_at: Option<u64>,
    crash_at_one: Option<(Call, u64)>,
    crashed_in: Option<(Call, PathBuf)>,
    faults: Vec<Fault>,
    lie: Option<Lie>,
    locks: HashSet<PathBuf>,
    replaced: Vec<(PathBuf, Vec<u8>)>,
}

impl CrashingDisk {
    /// An empty disk.
    pub fn new(seed: u64) -> Self {
        let state = State {
            medium: Medium::new(),
            random: Random(seed),
            start: 0,
            is_down: false,
            calls: 0,
            counts: HashMap::new(),
            crash_at: None,
            crash_at_one: None,
            crashed_in: None,
            faults: Vec::new(),
            lie: None,
            locks: HashSet::new(),
            replaced: Vec::new(),
        };
        CrashingDisk { state: Arc::new(Mutex::new(state)), start: 0 }
    }

    /// From now on the disk lies.
    pub fn lie(&self, lie: Lie) {
        self.state().lie = Some(lie);
    }

    /// Everything stops during the n-th call from now on, from 1.
    pub fn crash_in(&self, calls: u64) {
        let mut state = self.state();
        state.crash_at = Some(state.calls + calls);
    }

    /// Everything stops during the n-th call of that kind from now on, from 1.
    pub fn crash_in_one(&self, call: Call, nth: u64) {
        let mut state = self.state();
        state.crash_at_one = Some((call, state.counts.get(&call).copied().unwrap_or(0) + nth));
    }

    /// There is no crash after all.
    pub fn go_on(&self) {
        let mut state = self.state();
        (state.crash_at, state.crash_at_one) = (None, None);
    }

    pub fn fail(&self, fault: Fault) {
        self.state().faults.push(fault);
    }

    /// Everything stops now.
    pub fn stop(&self) {
        self.state().is_down = true;
    }

    pub fn is_down(&self) -> bool {
        self.state().is_down
    }

    /// In which call everything stopped, and with which file.
    pub fn crashed_in(&self) -> Option<(Call, PathBuf)> {
        self.state().crashed_in.clone()
    }

    /// How many calls there were since the start.
    pub fn calls(&self) -> u64 {
        self.state().calls
    }

    /// How many calls of that kind there were since the start.
    pub fn count(&self, call: Call) -> u64 {
        self.state().counts.get(&call).copied().unwrap_or(0)
    }

    /// Whether every fault has happened.
    pub fn all_failed(&self) -> bool {
        self.state().faults.is_empty()
    }

    /// All that was ever to be put in place of a file, whether it got there or not.
    pub fn replaced(&self) -> Vec<(PathBuf, Vec<u8>)> {
        self.state().replaced.clone()
    }

    /// The next start, after such an end. Who still holds the old one only gets errors.
    pub fn restart(&self, ending: Ending) -> CrashingDisk {
        let mut state = self.state();
        let State { medium, random, .. } = &mut *state;
        if ending == Ending::PowerLost {
            medium.lose_power(random);
        }
        state.start += 1;
        (state.is_down, state.calls, state.crashed_in) = (false, 0, None);
        (state.crash_at, state.crash_at_one) = (None, None);
        state.counts.clear();
        state.faults.clear();
        state.locks.clear();
        CrashingDisk { state: Arc::clone(&self.state), start: state.start }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics while it holds the disk")
    }

    fn running(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.state();
        if state.is_down || state.start != self.start { Err(off()) } else { Ok(state) }
    }

    /// One call: counted, and done as far as it is to be.
    fn call<T>(&self, call: Call, path: &Path, act: impl FnOnce(&mut State, How) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.running()?;
        state.calls += 1;
        let count = state.counts.entry(call).or_default();
        *count += 1;
        let nth = *count;
        if state.crash_at == Some(state.calls) || state.crash_at_one == Some((call, nth)) {
            (state.is_down, state.crashed_in) = (true, Some((call, path.to_owned())));
            // Power goes while it is done: a write may arrive, a sync does not wait for it any more.
            let is_sync = matches!(call, Call::Sync | Call::SyncDirectory);
            return act(&mut state, if is_sync { How::Not } else { How::Whole }).and(Err(off()));
        }
        let is_due = |fault: &Fault| fault.call == call && fault.nth == nth;
        if let Some(at) = state.faults.iter().position(is_due) {
            let fault = state.faults.remove(at);
            return act(&mut state, fault.how).and(Err(fault.kind.into()));
        }
        act(&mut state, How::Whole)
    }

    /// One call that changes nothing.
    fn look<T>(&self, call: Call, path: &Path, look: impl FnOnce(&State) -> io::Result<T>) -> io::Result<T> {
        self.call(call, path, |state, _| look(state))
    }

    /// One call that changes names: done, or not.
    fn name<T: Default>(
        &self,
        call: Call,
        path: &Path,
        act: impl FnOnce(&mut Medium) -> io::Result<T>,
    ) -> io::Result<T> {
        self.call(call, path, |state, how| match how {
            How::Whole | How::Partly => act(&mut state.medium),
            How::Not | How::Lost => Ok(T::default()),
        })
    }

    fn write(&self, file: usize, path: &Path, offset: usize, bytes: &[u8]) -> io::Result<()> {
        self.call(Call::Write, path, |state, how| {
            let len = match how {
                How::Whole => bytes.len(),
                How::Partly => bytes.len() / 2 / SECTOR_BYTES * SECTOR_BYTES,
                How::Not | How::Lost => 0,
            };
            if len > 0 {
                state.medium.write(file, offset, &bytes[..len]);
            }
            Ok(())
        })
    }

    fn sync_file(&self, file: usize, path: &Path) -> io::Result<()> {
        self.call(Call::Sync, path, |state, how| {
            let how = if state.lie == Some(Lie::OfFiles) { How::Not } else { how };
            let State { medium, random, .. } = state;
            medium.sync(file, how, random);
            Ok(())
        })
    }
}

fn off() -> io::Error {
    io::Error::other("the power is off")
}

impl Calls for CrashingDisk {
    /// Which file, and where the next write goes.
    type File = (usize, PathBuf, usize);

    fn make_one_directory(&self, dir: &Path) -> io::Result<()> {
        self.name(Call::MakeDirectory, dir, |medium| medium.make_directory(dir))
    }

    fn remove_one_directory(&self, dir: &Path) -> io::Result<()> {
        self.name(Call::Unlink, dir, |medium| medium.remove_directory(dir))
    }

    fn is_directory(&self, dir: &Path) -> bool {
        matches!(self.state().medium.find(dir), Some(Node::Directory(_)))
    }

    fn is_taken(&self, path: &Path) -> io::Result<bool> {
        Ok(self.running()?.medium.find(path).is_some())
    }

    fn create(&self, path: &Path, _mode: u32) -> io::Result<Self::File> {
        let file = self.name(Call::Create, path, |medium| medium.create(path))?;
        Ok((file, path.to_owned(), 0))
    }

    /// It has no owners.
    fn own_like(&self, _file: &Self::File, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn append(&self, (file, path, end): &mut Self::File, bytes: &[u8]) -> io::Result<()> {
        self.write(*file, path, *end, bytes)?;
        *end += bytes.len();
        Ok(())
    }

    fn append_zeros(&self, file: &mut Self::File, len: u64, _: Pace<'_>) -> io::Result<()> {
        self.append(file, &vec![0; usize::try_from(len).map_err(io::Error::other)?])
    }

    fn sync(&self, (file, path, _): &Self::File) -> io::Result<()> {
        self.sync_file(*file, path)
    }

    fn rename_over(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.name(Call::Rename, to, |medium| medium.rename(from, to))
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.name(Call::Unlink, path, |medium| medium.unlink(path))
    }

    fn sync_directory(&self, dir: &Path) -> io::Result<()> {
        self.call(Call::SyncDirectory, dir, |state, how| {
            let how = if state.lie == Some(Lie::OfDirectories) { How::Not } else { how };
            let State { medium, random, .. } = state;
            medium.sync_directory(dir, how, random)
        })
    }
}

impl Disk for CrashingDisk {
    fn make_directory(&self, dir: &Path) -> io::Result<()> {
        verbs::make_directory(self, dir)
    }

    fn names(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.look(Call::Names, dir, |state| state.medium.names(dir))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        self.call(Call::Lock, path, |state, how| {
            if state.medium.find(path).is_none() {
                state.medium.create(path)?;
            }
            if how == How::Whole && !state.locks.insert(path.to_owned()) {
                return Err(ErrorKind::WouldBlock.into());
            }
            Ok(())
        })?;
        Ok(Box::new(Held { disk: self.clone(), path: path.to_owned() }))
    }

    fn is_locked(&self, path: &Path) -> io::Result<bool> {
        self.look(Call::Lock, path, |state| Ok(state.locks.contains(path)))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.look(Call::Read, path, |state| Ok(state.medium.content(state.medium.file(path)?).to_vec()))
    }

    fn read_secret(&self, path: &Path, _bytes_max: u64) -> Result<Secret<Vec<u8>>, secret_file::Fault> {
        self.read(path).map(Secret::new).map_err(secret_file::Fault::Unreadable)
    }

    fn settle(&self, path: &Path) -> io::Result<()> {
        verbs::settle(self, path)
    }

    fn replace(&self, path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
        self.running()?.replaced.push((path.to_owned(), bytes.to_vec()));
        verbs::replace(self, path, bytes, mode)
    }

    fn allocate(&self, path: &Path, len: u64) -> io::Result<()> {
        verbs::allocate(self, path, len, Pace::AtOnce)
    }

    fn allocate_for_later(&self, path: &Path, len: u64, _: &AtomicBool) -> io::Result<()> {
        self.allocate(path, len)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        verbs::rename(self, from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        verbs::remove(self, path)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn BlockFile>> {
        let file = self.look(Call::Open, path, |state| state.medium.file(path))?;
        Ok(Box::new(OpenFile { disk: self.clone(), file, path: path.to_owned() }))
    }

    fn open_to_append(&self, path: &Path) -> io::Result<Box<dyn AppendFile>> {
        let (file, end) = self.look(Call::Open, path, |state| {
            let file = state.medium.file(path)?;
            Ok((file, state.medium.content(file).len()))
        })?;
        Ok(Box::new(Growing { disk: self.clone(), file: (file, path.to_owned(), end) }))
    }

    fn open_to_read(&self, path: &Path) -> io::Result<Box<dyn ReadAt>> {
        let file = self.look(Call::OpenToRead, path, |state| state.medium.file(path))?;
        Ok(Box::new(OpenFile { disk: self.clone(), file, path: path.to_owned() }))
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        self.look(Call::FreeBytes, dir, |_| Ok(1 << 40))
    }
}

struct Held {
    disk: CrashingDisk,
    path: PathBuf,
}

impl Lock for Held {}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if state.start == self.disk.start {
            state.locks.remove(&self.path);
        }
    }
}

struct Growing {
    disk: CrashingDisk,
    file: (usize, PathBuf, usize),
}

impl AppendFile for Growing {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        Calls::append(&self.disk, &mut self.file, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        Calls::sync(&self.disk, &self.file)
    }
}

struct OpenFile {
    disk: CrashingDisk,
    file: usize,
    path: PathBuf,
}

impl ReadAt for OpenFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.running()?.medium.content(self.file).len() as u64)
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.disk.look(Call::ReadAt, &self.path, |state| {
            let content = state.medium.content(self.file).get(offset as usize..);
            let here = content.and_then(|content| content.get(..bytes.len())).ok_or(ErrorKind::UnexpectedEof)?;
            bytes.copy_from_slice(here);
            Ok(())
        })
    }
}

impl BlockFile for OpenFile {
    fn write_durably(&self, offset: u64, blocks: &Blocks) -> io::Result<()> {
        self.disk.write(self.file, &self.path, offset as usize, blocks.bytes())?;
        self.disk.sync_file(self.file, &self.path)
    }
}

#[cfg(test)]
#[path = "crashing_tests.rs"]
mod tests;
