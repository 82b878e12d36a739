//! What tests of the log share: people with keys, a clock that is set, a disk that fails when told to.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use aws_lc_rs::signature::Ed25519KeyPair;

use super::crash_tests::ByHand;
use super::open::{DataKeys, Opened, open};
use super::reader::{Content, Reader};
use super::start::Ready;
use super::together::Examined;
use super::verify::{Finding, Opening, Verdict, examine, examine_ahead, verify};
use super::*;
use crate::audit::keys::{Part, RecipientKey, SealedDataKey, TagKey, generate_key_pair, open_data_key};
use crate::audit::tag::Tags;
use crate::clock::Timestamp;
use crate::disk::secret_file::Fault;
use crate::disk::{AppendFile, BlockFile, Blocks, Disk, Lock, ReadAt, RealDisk};
use crate::entropy::OsEntropy;
use crate::ids::CustomerId;
use crate::secret::Secret;

/// 2026-11-21T12:00:00Z.
pub const NOON: Timestamp = Timestamp(1_795_262_400_000_000);
pub const SEVEN: CustomerId = CustomerId(7);
pub const EIGHT: CustomerId = CustomerId(8);

const RECIPIENTS: [Recipient; 3] = [Recipient::Vendor, Recipient::Customer(SEVEN), Recipient::Customer(EIGHT)];

pub struct SetClock(pub AtomicI64);

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
}

/// A directory for a log, with the keys of the vendor and of customers 7 and 8, private ones included.
pub struct Fixture {
    pub temporary: tempfile::TempDir,
    pub recipients: Recipients,
    pub clock: Arc<SetClock>,
    pub disk: FaultyDisk,
    pub segment_bytes: u64,
    privates: HashMap<(Recipient, Part, u32), Secret<[u8; 32]>>,
}

impl Fixture {
    pub fn new() -> Self {
        let mut fixture = Fixture {
            temporary: tempfile::tempdir().expect("a temporary directory"),
            recipients: Recipients::new(),
            clock: Arc::new(SetClock(AtomicI64::new(NOON.0))),
            disk: FaultyDisk::default(),
            segment_bytes: 64 << 10,
            privates: HashMap::new(),
        };
        for recipient in RECIPIENTS {
            fixture.set_tag(recipient);
        }
        fixture.add_period(NOON);
        fixture
    }

    /// Keys for the period of that moment, where there are none.
    pub fn add_period(&mut self, at: Timestamp) {
        let keyring = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("32 bytes are a seed");
        for (recipient, part) in RECIPIENTS.into_iter().flat_map(|recipient| Part::ALL.map(|part| (recipient, part))) {
            let period = recipient.period(at);
            if self.privates.contains_key(&(recipient, part, period)) {
                continue;
            }
            let (public, private) = generate_key_pair();
            self.recipients.set(RecipientKey::sign(recipient, part, period, public, &keyring));
            self.privates.insert((recipient, part, period), private);
        }
    }

    /// Makes a recipient recognisable.
    pub fn set_tag(&self, recipient: Recipient) {
        let number = recipient.customer().map_or(1, |customer| customer.0 as u8);
        self.recipients.set_tag(recipient, TagKey(Secret::new([number; 32])));
    }

    pub fn dir(&self) -> PathBuf {
        self.temporary.path().join("log")
    }

    pub fn settings(&self) -> Settings {
        let mut settings = Settings::new("proxy-gate-1", signing(1));
        (settings.segment_bytes, settings.reserve_bytes) = (self.segment_bytes, 1 << 20);
        settings
    }

    pub fn try_open(&self) -> Result<Log, Error> {
        self.try_open_with(self.settings())
    }

    pub fn try_open_with(&self, settings: Settings) -> Result<Log, Error> {
        let (disk, clock) = (Arc::new(self.disk.clone()), Arc::clone(&self.clock) as Arc<dyn Clock>);
        Log::open(disk, &self.dir(), settings, self.recipients.clone(), clock, Arc::new(OsEntropy))
    }

    /// A log whose threads' turns the test takes.
    pub fn by_hand(&self) -> ByHand {
        let (disk, clock) = (Arc::new(self.disk.clone()), Arc::clone(&self.clock) as Arc<dyn Clock>);
        let (dir, recipients) = (self.dir(), self.recipients.clone());
        let ready = Ready::open(disk, &dir, self.settings(), recipients, clock, Arc::new(OsEntropy));
        ByHand::new(ready.expect("the log opens").by_hand())
    }

    pub fn open(&self) -> Log {
        self.try_open().expect("the log opens")
    }

    /// Every private key, and whose it is.
    pub fn privates(&self) -> impl Iterator<Item = (&(Recipient, Part, u32), &Secret<[u8; 32]>)> {
        self.privates.iter()
    }

    /// What the keyring would do.
    pub fn open_key(&self, sealed: &SealedDataKey) -> Secret<[u8; 32]> {
        let private = self.privates.get(&(sealed.recipient, sealed.part, sealed.period)).expect("there is such a key");
        open_data_key(private, sealed).expect("the data key opens")
    }

    pub fn data_keys(&self) -> DataKeys {
        let reader = Reader::open(&self.dir()).expect("the log can be read");
        let mut tags = Tags::new(&self.recipients, reader.origin());
        let mut keys = DataKeys::new();
        for sealed in reader.sealed_data_keys(&mut tags).expect("read") {
            keys.insert(sealed.position, &self.open_key(&sealed));
        }
        keys
    }

    /// Every record, opened, with its position.
    pub fn records(&self) -> Vec<(u64, Record)> {
        let reader = Reader::open(&self.dir()).expect("the log can be read");
        let mut tags = Tags::new(&self.recipients, reader.origin());
        // First the entries, then the keys: a log that is being written gets new data keys meanwhile.
        let entries: Result<Vec<_>, Error> = reader.entries().collect();
        let keys = self.data_keys();
        let mut records = Vec::new();
        for entry in entries.expect("whole") {
            let recipient = entry.recipient(&mut tags).expect("recognised");
            if let Content::Record { .. } = entry.content {
                let Opened { record, still_sealed } =
                    open(reader.origin(), &entry, recipient, &keys).expect("the record opens");
                assert_eq!(still_sealed, []);
                records.push((entry.position(), record));
            }
        }
        records
    }

    pub fn kinds(&self) -> Vec<Kind> {
        self.records().into_iter().map(|(_, record)| record.kind).collect()
    }

    pub fn verify(&self) -> Vec<Finding> {
        let keys = self.data_keys();
        let opening = Opening { recipients: &self.recipients, keys: &keys };
        let findings = verify(&self.dir(), &signing(1).public(), Some(&opening)).expect("readable");
        assert_eq!(
            findings,
            verify(&self.dir(), &signing(1).public(), None).expect("readable"),
            "with and without keys"
        );
        let examined = |of: Result<Examined, Error>| of.expect("readable").findings;
        let by_one = examined(examine(&self.dir(), &signing(1).public(), Some(&opening), u64::MAX));
        let by_several = examined(examine_ahead(&self.dir(), &signing(1).public(), Some(&opening)));
        assert_eq!(by_several, by_one, "read by several threads and by one");
        findings
    }

    /// Verifies with hashes and signature only.
    pub fn verdicts(&self) -> Vec<Verdict> {
        let findings = verify(&self.dir(), &signing(1).public(), None).expect("readable");
        findings.into_iter().map(|finding| finding.verdict).collect()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    pub fn change(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = std::fs::read(self.file(name)).expect("the file is there");
        change(&mut bytes);
        std::fs::write(self.file(name), bytes).expect("written");
    }
}

pub fn signing(seed: u8) -> SigningKey {
    SigningKey::from_seed(&Secret::new([seed; 32]))
}

pub fn claim(frame: u64) -> Claim {
    Claim::of(SessionId([1; 8]), frame)
}

pub fn statement(customer: Option<CustomerId>, text: &str) -> Record {
    let mut record = Record::new(NOON, Kind::Statement, customer);
    record.skeleton.verb = Some("query".to_owned());
    record.values.text = Some(text.as_bytes().to_vec());
    record
}

/// The real disk, until it is told to fail.
#[derive(Clone, Default)]
pub struct FaultyDisk(Arc<Faults>);

#[derive(Default)]
pub struct Faults {
    /// How many of the next block writes fail.
    pub writes: AtomicUsize,
    /// How many block writes were tried.
    pub tried: AtomicUsize,
    /// How many of the next replacements fail.
    pub replaces: AtomicUsize,
    /// How many of the next replacements find no space.
    pub full_replaces: AtomicUsize,
    /// The name of a file of which nothing can be read from that byte on.
    pub unreadable: Mutex<Option<(String, u64)>>,
    /// How many of the next allocations fail for want of space.
    pub allocates: AtomicUsize,
    /// Free bytes plus one; 0: ask the real disk.
    pub free: AtomicU64,
    /// While true, block writes wait.
    pub held: Mutex<bool>,
    pub released: Condvar,
}

impl std::ops::Deref for FaultyDisk {
    type Target = Faults;

    fn deref(&self) -> &Faults {
        &self.0
    }
}

impl FaultyDisk {
    pub fn hold(&self, held: bool) {
        *self.held.lock().expect("not poisoned") = held;
        self.released.notify_all();
    }
}

fn fails(faults: &AtomicUsize, kind: io::ErrorKind) -> io::Result<()> {
    match faults.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1)) {
        Ok(_) => Err(kind.into()),
        Err(_) => Ok(()),
    }
}

impl Disk for FaultyDisk {
    fn make_directory(&self, dir: &Path) -> io::Result<()> {
        RealDisk.make_directory(dir)
    }

    fn names(&self, dir: &Path) -> io::Result<Vec<String>> {
        RealDisk.names(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        RealDisk.lock(path)
    }

    fn is_locked(&self, path: &Path) -> io::Result<bool> {
        RealDisk.is_locked(path)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        RealDisk.read(path)
    }

    fn read_secret(&self, path: &Path, bytes_max: u64) -> Result<Secret<Vec<u8>>, Fault> {
        RealDisk.read_secret(path, bytes_max)
    }

    fn settle(&self, path: &Path) -> io::Result<()> {
        RealDisk.settle(path)
    }

    fn replace(&self, path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
        fails(&self.replaces, io::ErrorKind::Other)?;
        fails(&self.full_replaces, io::ErrorKind::StorageFull)?;
        RealDisk.replace(path, bytes, mode)
    }

    fn allocate(&self, path: &Path, len: u64) -> io::Result<()> {
        fails(&self.allocates, io::ErrorKind::StorageFull)?;
        RealDisk.allocate(path, len)
    }

    fn allocate_for_later(&self, path: &Path, len: u64, hurries: &AtomicBool) -> io::Result<()> {
        fails(&self.allocates, io::ErrorKind::StorageFull)?;
        RealDisk.allocate_for_later(path, len, hurries)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn BlockFile>> {
        Ok(Box::new(FaultyFile { faults: self.clone(), file: RealDisk.open(path)? }))
    }

    fn open_to_append(&self, path: &Path) -> io::Result<Box<dyn AppendFile>> {
        RealDisk.open_to_append(path)
    }

    fn open_to_read(&self, path: &Path) -> io::Result<Box<dyn ReadAt>> {
        let unreadable = self.unreadable.lock().expect("not poisoned");
        let from = unreadable.as_ref().filter(|(name, _)| path.ends_with(name)).map(|(_, from)| *from);
        Ok(Box::new(WornFile { file: RealDisk.open_to_read(path)?, from }))
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        match self.free.load(Ordering::Acquire).checked_sub(1) {
            Some(free) => Ok(free),
            None => RealDisk.free_bytes(dir),
        }
    }
}

struct FaultyFile {
    faults: FaultyDisk,
    file: Box<dyn BlockFile>,
}

impl BlockFile for FaultyFile {
    fn write_durably(&self, offset: u64, blocks: &Blocks) -> io::Result<()> {
        let held = self.faults.held.lock().expect("not poisoned");
        drop(self.faults.released.wait_while(held, |held| *held).expect("not poisoned"));
        self.faults.tried.fetch_add(1, Ordering::AcqRel);
        fails(&self.faults.writes, io::ErrorKind::Other)?;
        self.file.write_durably(offset, blocks)
    }
}

/// A file that cannot be read from that byte on.
struct WornFile {
    file: Box<dyn ReadAt>,
    from: Option<u64>,
}

impl ReadAt for WornFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        match self.from {
            Some(from) if offset + bytes.len() as u64 > from => Err(rustix::io::Errno::IO.into()),
            _ => self.file.read_at(offset, bytes),
        }
    }
}
