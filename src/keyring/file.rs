//! The keyring file and its credential: sealed, rewritten crash-safely, never readable by others.
//! Not here: what the keys are for (`keys.rs`).
//! Bytes: `portreeve keyring v0\n` (21) | generation u64 | generation secret (32) | nonce (12) | AES-256-GCM of CBOR,
//! its tag (16) last. Integers are big endian; everything before the ciphertext is its associated data. The key is
//! HKDF-SHA-256(salt: generation secret, input: credential, info: `portreeve keyring kek v0` and the generation).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf;
use minicbor::{Decode, Encode};
use zeroize::{Zeroize, Zeroizing};

use super::Error;
use super::keys::{Keyring, Slot};
use crate::audit::keys::{Part, Recipient};
use crate::disk::secret_file::Fault;
use crate::disk::{Disk, Lock, RealDisk};
use crate::entropy::{self, Entropy};
use crate::secret::Secret;

const MAGIC: &[u8; 21] = b"portreeve keyring v0\n";
const FILE_MODE: u32 = 0o600;
const HEADER_BYTES: usize = 21 + 8 + 32 + NONCE_LEN;
/// A keyring of 100,000 customers over ten years is smaller.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// Where a keyring is kept, locked against a second user of it.
pub struct Store {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    credential: Secret<[u8; 32]>,
    generation: u64,
    generation_secret: Secret<[u8; 32]>,
    _lock: Box<dyn Lock>,
}

impl Store {
    /// Makes a new keyring file; never overwrites one.
    ///
    /// # Errors
    /// [`Error::Exists`], [`Error::Busy`], [`Error::Storage`].
    pub fn create(
        disk: Arc<dyn Disk>,
        path: &Path,
        credential: Secret<[u8; 32]>,
        keyring: &mut Keyring,
        entropy: &dyn Entropy,
    ) -> Result<Store, Error> {
        let lock = lock(&*disk, path)?;
        match disk.open_to_read(path) {
            Ok(_) => return Err(Error::Exists { path: path.to_owned() }),
            Err(source) if source.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(storage("look for", path, source)),
        }
        let generation_secret = Secret::new(entropy::random(entropy));
        let store = Store { disk, path: path.to_owned(), credential, generation: 1, generation_secret, _lock: lock };
        store.save(keyring, entropy)?;
        Ok(store)
    }

    /// Opens an existing keyring with the credential in `credential_path`. It is read under its lock, and what is read
    /// lasts: a key from a file whose name the last, killed user of it had not made durable could be gone after all.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Exposed`], [`Error::Damaged`], [`Error::WrongCredential`], [`Error::Busy`],
    /// [`Error::Storage`].
    pub fn open(disk: Arc<dyn Disk>, path: &Path, credential_path: &Path) -> Result<(Store, Keyring), Error> {
        let credential = read_credential(credential_path)?;
        let lock = lock(&*disk, path)?;
        disk.settle(path).map_err(|source| storage("sync the directory of", path, source))?;
        let sealed = read_guarded(&*disk, "keyring file", path, FILE_MODE, FILE_BYTES_MAX)?;
        let damaged =
            |problem: &str| Error::Damaged { what: "keyring file", path: path.to_owned(), problem: problem.to_owned() };
        let (header, ciphertext) =
            sealed.expose().split_first_chunk::<HEADER_BYTES>().ok_or_else(|| damaged("shorter than its header"))?;
        let header = Header::parse(header).ok_or_else(|| damaged("not a keyring file of a version known here"))?;
        let kek = kek(&credential, &header)?;
        let mut body = Zeroizing::new(ciphertext.to_vec());
        let nonce = Nonce::assume_unique_for_key(header.nonce);
        let plain = kek
            .open_in_place(nonce, Aad::from(header.bytes()), &mut body)
            .map_err(|_| Error::WrongCredential { path: path.to_owned(), credential: credential_path.to_owned() })?;
        let keyring =
            decode(plain).map_err(|error| damaged(&format!("sealed around what cannot be read ({error})")))?;
        let Header { generation, secret, .. } = header;
        let generation_secret = Secret::new(*secret);
        Ok((Store { disk, path: path.to_owned(), credential, generation, generation_secret, _lock: lock }, keyring))
    }

    /// Writes the keyring in place of the last one. Until the rename is done the old file stands, whole; afterwards
    /// the new one does, durably.
    ///
    /// # Errors
    /// [`Error::Storage`]: the old file may or may not have been replaced; both open.
    pub fn save(&self, keyring: &mut Keyring, entropy: &dyn Entropy) -> Result<(), Error> {
        keyring.revision = keyring.revision.saturating_add(1);
        let sealed = self.seal(keyring, entropy)?;
        let replaced = self.disk.replace(&self.path, &sealed, FILE_MODE);
        replaced.map_err(|source| storage("replace", &self.path, source))
    }

    fn seal(&self, keyring: &Keyring, entropy: &dyn Entropy) -> Result<Vec<u8>, Error> {
        let secret = Zeroizing::new(*self.generation_secret.expose());
        let header = Header { generation: self.generation, secret, nonce: entropy::random(entropy) };
        let mut body = encode(keyring)?;
        let nonce = Nonce::assume_unique_for_key(header.nonce);
        let tag = kek(&self.credential, &header)?
            .seal_in_place_separate_tag(nonce, Aad::from(header.bytes()), &mut body)
            .map_err(|_| Error::Bug("AES-256-GCM refused to seal the keyring"))?;
        let mut sealed = header.bytes().to_vec();
        sealed.extend_from_slice(&body);
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed)
    }
}

/// What stands before the ciphertext.
struct Header {
    generation: u64,
    secret: Zeroizing<[u8; 32]>,
    nonce: [u8; NONCE_LEN],
}

impl Header {
    fn parse(bytes: &[u8; HEADER_BYTES]) -> Option<Header> {
        let rest = bytes.strip_prefix(MAGIC)?;
        let (generation, rest) = rest.split_first_chunk()?;
        let (secret, nonce) = rest.split_first_chunk()?;
        let nonce = nonce.try_into().ok()?;
        Some(Header { generation: u64::from_be_bytes(*generation), secret: Zeroizing::new(*secret), nonce })
    }

    fn bytes(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let fields = MAGIC.iter().copied().chain(self.generation.to_be_bytes());
        let fields = fields.chain(self.secret.iter().copied()).chain(self.nonce);
        for (byte, field) in bytes.iter_mut().zip(fields) {
            *byte = field;
        }
        bytes
    }
}

/// The key-encryption key of a generation.
// HOLE: the generation secret stands in the file, so an old copy of the file opens with the credential. Destroying keys
// (a later issue) moves it to a place of its own that is replaced under generation + 1.
fn kek(credential: &Secret<[u8; 32]>, header: &Header) -> Result<LessSafeKey, Error> {
    struct Length;
    impl hkdf::KeyType for Length {
        fn len(&self) -> usize {
            32
        }
    }
    let refused = |_| Error::Bug("HKDF-SHA-256 refused 32 bytes");
    let mut key = Zeroizing::new([0; 32]);
    let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, &*header.secret);
    salt.extract(credential.expose())
        .expand(&[b"portreeve keyring kek v0", &header.generation.to_be_bytes()], Length)
        .and_then(|okm| okm.fill(&mut *key))
        .map_err(refused)?;
    UnboundKey::new(&AES_256_GCM, &*key).map(LessSafeKey::new).map_err(refused)
}

/// The file's content, as CBOR.
#[derive(Encode, Decode)]
#[cbor(map)]
struct Content {
    #[n(0)]
    revision: u64,
    #[cbor(n(1), with = "minicbor::bytes")]
    seed: [u8; 32],
    #[n(2)]
    private: Vec<Private>,
    #[n(3)]
    tags: Vec<Tag>,
}

#[derive(Encode, Decode)]
struct Private {
    #[n(0)]
    recipient: Recipient,
    #[n(1)]
    part: Part,
    #[n(2)]
    period: u32,
    #[cbor(n(3), with = "minicbor::bytes")]
    key: [u8; 32],
}

#[derive(Encode, Decode)]
struct Tag {
    #[n(0)]
    recipient: Recipient,
    #[cbor(n(1), with = "minicbor::bytes")]
    key: [u8; 32],
}

impl Drop for Content {
    fn drop(&mut self) {
        self.seed.zeroize();
        self.private.iter_mut().for_each(|private| private.key.zeroize());
        self.tags.iter_mut().for_each(|tag| tag.key.zeroize());
    }
}

fn encode(keyring: &Keyring) -> Result<Zeroizing<Vec<u8>>, Error> {
    let private = keyring.private.iter().map(|(Slot { recipient, part, period }, key)| Private {
        recipient: *recipient,
        part: *part,
        period: *period,
        key: *key.expose(),
    });
    let tags = keyring.tags.iter().map(|(recipient, key)| Tag { recipient: *recipient, key: *key.expose() });
    let content = Content {
        revision: keyring.revision,
        seed: *keyring.seed.expose(),
        private: private.collect(),
        tags: tags.collect(),
    };
    // Enough room from the start: a vector that grows leaves copies of keys behind.
    let room = 128 + 64 * (content.private.len() + content.tags.len());
    let mut body = Zeroizing::new(Vec::with_capacity(room));
    minicbor::encode(&content, &mut *body).map_err(|_| Error::Bug("CBOR refused the keyring"))?;
    Ok(body)
}

fn decode(plain: &[u8]) -> Result<Keyring, minicbor::decode::Error> {
    let content: Content = minicbor::decode(plain)?;
    let slot = |private: &Private| Slot { recipient: private.recipient, part: private.part, period: private.period };
    Ok(Keyring {
        seed: Secret::new(content.seed),
        revision: content.revision,
        private: content.private.iter().map(|private| (slot(private), Secret::new(private.key))).collect(),
        tags: content.tags.iter().map(|tag| (tag.recipient, Secret::new(tag.key))).collect(),
    })
}

/// Reads the keyring's credential: exactly 32 bytes that nobody but its owner may read.
///
/// # Errors
/// [`Error::Missing`], [`Error::Exposed`], [`Error::Damaged`], [`Error::Storage`].
pub fn read_credential(path: &Path) -> Result<Secret<[u8; 32]>, Error> {
    read_secret_bytes("keyring credential", path)
}

/// Reads a secret of exactly 32 bytes that nobody but its owner may read.
pub(super) fn read_secret_bytes(what: &'static str, path: &Path) -> Result<Secret<[u8; 32]>, Error> {
    let bytes = read_guarded(&RealDisk, what, path, 0o400, 4096)?;
    bytes.expose().as_slice().try_into().map(Secret::new).map_err(|_| Error::Damaged {
        what,
        path: path.to_owned(),
        problem: format!("{} bytes long instead of 32", bytes.expose().len()),
    })
}

/// Reads a secret file that is a regular one, not too long, and closed to group and others.
fn read_guarded(
    disk: &dyn Disk,
    what: &'static str,
    path: &Path,
    due: u32,
    bytes_max: u64,
) -> Result<Secret<Vec<u8>>, Error> {
    let (damaged, path) =
        (|path, problem: &str| Error::Damaged { what, path, problem: problem.to_owned() }, path.to_owned());
    disk.read_secret(&path, bytes_max).map_err(|fault| match fault {
        Fault::Unreadable(source) if source.kind() == io::ErrorKind::NotFound => Error::Missing { what, path },
        Fault::Unreadable(source) => storage("read", &path, source),
        Fault::Exposed(mode) => Error::Exposed { what, path, mode, due },
        Fault::NotAFile => damaged(path, "not a regular file"),
        Fault::TooLarge => damaged(path, "larger than any such file"),
    })
}

/// Takes the lock next to the keyring file, so that two processes never rewrite it over each other. A process that is
/// just being started by somebody else can hold it for an instant, so it is tried a few times.
fn lock(disk: &dyn Disk, path: &Path) -> Result<Box<dyn Lock>, Error> {
    let lock = path.with_added_extension("lock");
    let mut tries = 10;
    loop {
        tries -= 1;
        match disk.lock(&lock) {
            Ok(lock) => return Ok(lock),
            Err(source) if source.kind() != io::ErrorKind::WouldBlock => return Err(storage("lock", &lock, source)),
            Err(_) if tries == 0 => return Err(Error::Busy { path: path.to_owned() }),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

pub(super) fn storage(verb: &'static str, path: &Path, source: io::Error) -> Error {
    Error::Storage { verb, path: path.to_owned(), source }
}

#[cfg(test)]
#[path = "file_crash_tests.rs"]
mod crash_tests;
#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
