//! Every parser of bytes that others write, as a function that must neither panic nor accept what it would write
//! differently, and says whether it accepted them. Shared by the fuzz targets (`cargo +nightly fuzz run NAME`) and by the
//! short seeded run of `make test` (`tests/parsers`).

use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use portreeve::audit::archive;
use portreeve::audit::checkpoint::{Checkpoint, SigningKey};
use portreeve::audit::cosignature::{Cosigner, cosigned};
use portreeve::audit::descriptor::{DESCRIPTOR_BYTES, Descriptor};
use portreeve::audit::note::{Algorithm, Note, VerifierKey, checkpoints_in};
use portreeve::audit::pieces::{Pieces, Sought};
use portreeve::audit::proof::{Key, Proof, check};
use portreeve::audit::public::Public;
use portreeve::audit::record::{Kind, Record, Skeleton, Values};
use portreeve::audit::tree::sha256;
use portreeve::audit::witnessing::AddCheckpoint;
use portreeve::audit::words::{from_content, to_content};
use portreeve::clock::Timestamp;
use portreeve::config;
use portreeve::datamap::DataMap;
use portreeve::disk::{BLOCK_BYTES, ReadAt, RealDisk};
use portreeve::keyring::{Error, file, written_again};
use portreeve::log::blocks::{self, Blocks};
use portreeve::log::index::{HEAD_BYTES, Head, Index};
use portreeve::log::segment::{
    BATCH_HEADER_BYTES, BatchHeader, Depth, Found, SegmentHeader, batch_at, content_start, last_not_zero, next_header,
};
use portreeve::log::summary::Summary;
use portreeve::retention::certificate;
use portreeve::secret::Secret;
use portreeve::snapshots;
use portreeve::wire::{backend, frame, frontend, scram, startup};

/// Each parser, by the name of its fuzz target.
pub const PARSERS: [(&str, fn(&[u8]) -> bool); 24] = [
    ("frames", frames),
    ("backend", messages),
    ("startup", first_packet),
    ("descriptor", descriptor),
    ("segment", segment),
    ("batch", batch),
    ("index", index),
    ("blocks", blocks),
    ("words", words),
    ("pieces", pieces),
    ("record", record),
    ("checkpoint", checkpoint),
    ("proof", proof),
    ("certificate", erasure),
    ("keyring_file", keyring_file),
    ("keyring_message", keyring_message),
    ("config", configuration),
    ("datamap", datamap),
    ("snapshot_header", snapshot_header),
    ("archive_header", archive_header),
    ("note", note),
    ("add_checkpoint", add_checkpoint),
    ("public", public),
    ("summary", summary),
];

/// The parser of that name.
pub fn named(name: &str) -> impl Fn(&[u8]) {
    let found = PARSERS.iter().find(|(parser, _)| *parser == name);
    let parse = found.expect("it is one of them").1;
    move |data| {
        let _is_accepted = parse(data);
    }
}

/// What clients send after the start: cut, then decoded. The bytes of a frame stay what they were.
pub fn frames(data: &[u8]) -> bool {
    let mut buffer = BytesMut::from(data);
    let (mut cut, mut is_decoded) = (0, true);
    while let Ok(Some(frame)) = frame::cut(&mut buffer, 1 << 20) {
        let bytes = frame.bytes();
        assert_eq!(data.get(cut..cut + bytes.len()), Some(&bytes[..]), "a frame is what was sent");
        cut += bytes.len();
        let first = scram::initial_response(&frame).is_ok();
        let last = scram::response(&frame).is_ok();
        is_decoded &= frontend::decode(&frame).is_ok() || first || last;
    }
    is_decoded && cut == data.len()
}

/// What the server sends, in pieces of any size: the same messages whatever the pieces are.
pub fn messages(data: &[u8]) -> bool {
    let walk = |pieces: Vec<&[u8]>| {
        let (mut walker, mut seen) = (backend::Walker::new(), Vec::new());
        for piece in pieces {
            walker.walk(piece, |message| seen.push(format!("{message:?}"))).ok()?;
        }
        Some((seen, walker.at_boundary(), walker.unfinished_bytes()))
    };
    let (step, data) = data.split_first().map_or((1, data), |(step, rest)| (usize::from(*step) + 1, rest));
    let whole = walk(vec![data]);
    assert_eq!(walk(data.chunks(step).collect()), whole, "pieces of {step}");
    whole.is_some_and(|(seen, is_at_boundary, _)| is_at_boundary && !seen.is_empty())
}

/// The first packet of a connection.
pub fn first_packet(data: &[u8]) -> bool {
    let told = startup::packet_bytes(data);
    let is_one = startup::parse(&Bytes::copy_from_slice(data)).is_ok();
    if is_one {
        assert_eq!(told.ok(), Some(Some(data.len())), "nothing is left over");
    }
    is_one
}

/// A leaf: whatever is accepted is written back the same.
pub fn descriptor(data: &[u8]) -> bool {
    let Some(leaf) = data.first_chunk::<DESCRIPTOR_BYTES>() else { return false };
    let Ok(read) = Descriptor::parse(leaf) else { return false };
    assert_eq!(read.to_bytes(), *leaf);
    true
}

/// A segment's header, its own check made right, so that what is behind it is reached.
pub fn segment(data: &[u8]) -> bool {
    let mut block = data.to_vec();
    block.resize(BLOCK_BYTES, 0);
    let (checked, check) = block.split_at_mut(BLOCK_BYTES - 32);
    check.copy_from_slice(&sha256(&[checked]));
    let _version = SegmentHeader::other_version(&block);
    let _unfixed = SegmentHeader::parse(data);
    let Some(header) = SegmentHeader::parse(&block) else { return false };
    assert_eq!(header.to_bytes(), block);
    true
}

/// A batch, its checks made right likewise; and a file of it.
pub fn batch(data: &[u8]) -> bool {
    let mut bytes = data.to_vec();
    bytes.resize(data.len().next_multiple_of(BLOCK_BYTES).max(BLOCK_BYTES), 0);
    if let Some((checked, rest)) = bytes.split_at_mut_checked(112)
        && let Some(check) = rest.get_mut(..16)
    {
        check.copy_from_slice(sha256(&[checked]).get(..16).unwrap_or_default());
    }
    let Some(header) = BatchHeader::parse(&bytes) else { return look_at(bytes) };
    assert_eq!(header.to_bytes(), bytes.get(..BATCH_HEADER_BYTES).unwrap_or_default());
    let start = content_start(header.leaves);
    if let Some(front) = bytes.get(..start.saturating_sub(32)) {
        let digest = sha256(&[front]);
        if let Some(place) = bytes.get_mut(start - 32..start) {
            place.copy_from_slice(&digest);
        }
    }
    look_at(bytes)
}

/// Whether there is a batch at its beginning.
fn look_at(bytes: Vec<u8>) -> bool {
    let file = InMemory(bytes);
    let length = file.0.len() as u64;
    let mut is_one = false;
    for depth in [Depth::Leaves, Depth::Parts] {
        match batch_at(&file, 0, length, depth).expect("memory can be read") {
            Found::Batch(batch) => {
                assert!(batch.header.length <= length, "it ends within its file");
                is_one = true;
            }
            Found::Nothing | Found::Bad(_) => {}
        }
    }
    last_not_zero(&file, 0, length).expect("memory can be read");
    next_header(&file, 0, length).expect("memory can be read");
    is_one
}

/// A segment's index, its body's hash and its signature made right likewise; what is accepted is written back the same.
pub fn index(data: &[u8]) -> bool {
    let _unfixed = Head::parse(data, &signing().public());
    let mut bytes = data.to_vec();
    bytes.resize(data.len().max(HEAD_BYTES), 0);
    let (head, body) = bytes.split_at_mut(HEAD_BYTES);
    let (signed, signature) = head.split_at_mut(HEAD_BYTES - 64);
    signed.iter_mut().rev().zip(sha256(&[body]).iter().rev()).for_each(|(byte, hash)| *byte = *hash);
    signature.copy_from_slice(&signing().sign_bytes(b"portreeve segment index\0", signed));
    let Some(index) = Head::parse(head, &signing().public()).and_then(|head| Index::parse(head, body)) else {
        return false;
    };
    let leaves: usize = index.batches().map(|(_, leaves)| leaves.len()).sum();
    assert_eq!(leaves, index.head.leaves as usize, "each leaf is in a batch");
    assert!(index.leaves_of(&[0; 16]).len() <= leaves);
    assert_eq!(index.to_bytes(&signing()), bytes);
    true
}

/// A segment's blocks, their hash and the signature made right likewise; what is accepted is written back the same.
pub fn blocks(data: &[u8]) -> bool {
    assert!(Blocks::parse(data, &other_signing().public()).is_none(), "this key signed nothing");
    let mut bytes = data.to_vec();
    bytes.resize(data.len().max(blocks::HEAD_BYTES), 0);
    let (head, body) = bytes.split_at_mut(blocks::HEAD_BYTES);
    let (signed, signature) = head.split_at_mut(blocks::HEAD_BYTES - 64);
    signed.iter_mut().rev().zip(sha256(&[body]).iter().rev()).for_each(|(byte, hash)| *byte = *hash);
    signature.copy_from_slice(&signing().sign_bytes(b"portreeve segment blocks\0", signed));
    let Some(read) = Blocks::parse(&bytes, &signing().public()) else { return false };
    assert_eq!(read.to_bytes(&signing()), bytes);
    assert!(read.of(&[0; 16]).is_none_or(|_| !read.is_empty()));
    true
}

/// What a block holds, once it is opened.
pub fn pieces(data: &[u8]) -> bool {
    let read = Pieces::from_content(data);
    if let Some(pieces) = &read {
        assert_eq!(pieces.to_content().as_slice(), data);
    }
    let mut taken = Pieces::default();
    taken.add(data);
    let text = String::from_utf8_lossy(data).to_lowercase();
    assert!(Sought::of(&text).is_none_or(|sought| taken.may_hold(&sought)));
    read.is_some()
}

pub fn words(data: &[u8]) -> bool {
    let Some(words) = from_content(data) else { return false };
    assert_eq!(to_content(&words), data);
    true
}

struct InMemory(Vec<u8>);

impl ReadAt for InMemory {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let from = self.0.get(usize::try_from(offset).unwrap_or(usize::MAX)..).unwrap_or_default();
        let from = from.get(..bytes.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        bytes.copy_from_slice(from);
        Ok(())
    }
}

/// A record's content; what is read is written and read again to the same, and unfolds.
pub fn record(data: &[u8]) -> bool {
    let skeleton: Option<Skeleton> = minicbor::decode(data).ok();
    let values: Option<Values> = minicbor::decode(data).ok();
    let is_one = skeleton.is_some() || values.is_some();
    let mut record = Record::new(Timestamp(0), Kind::Statement, None);
    if let Some(skeleton) = skeleton {
        let again = minicbor::to_vec(&skeleton).expect("memory takes what is written");
        assert_eq!(minicbor::decode::<Skeleton>(&again).ok().as_ref(), Some(&skeleton));
        record.skeleton = skeleton;
    }
    if let Some(values) = values {
        let again = minicbor::to_vec(&values).expect("memory takes what is written");
        assert_eq!(minicbor::decode::<Values>(&again).ok().as_ref(), Some(&values));
        record.values = values;
    }
    assert!(!record.unfold().is_empty());
    is_one
}

fn signing() -> SigningKey {
    SigningKey::from_seed(&Secret::new([1; 32]))
}

fn other_signing() -> SigningKey {
    SigningKey::from_seed(&Secret::new([9; 32]))
}

/// A checkpoint: nothing opens that this key did not sign.
pub fn checkpoint(data: &[u8]) -> bool {
    let note = String::from_utf8_lossy(data);
    let size = Checkpoint::claimed_size(&note);
    let origin = Checkpoint::claimed_origin(&note).unwrap_or_default();
    if let Ok(opened) = Checkpoint::open(&note, origin, &signing().public()) {
        assert!(note.starts_with(&format!("{}\n{}\n", opened.origin, opened.size)));
    }
    size.is_some() && !origin.is_empty()
}

/// A proof: read, checked, and written back.
pub fn proof(data: &[u8]) -> bool {
    let text = String::from_utf8_lossy(data);
    let _is_one = Proof::is_one(&text);
    let Ok(proof) = Proof::from_text(&text) else { return false };
    assert_eq!(Proof::from_text(&proof.to_text()).as_ref(), Ok(&proof));
    let checked = check(&proof, &[Key { origin: None, public: signing().public() }]);
    assert!(!checked.faults.is_empty() || checked.logs.len() == proof.logs.len());
    true
}

/// A certificate of erasure: what is read is written and read again to the same.
pub fn erasure(data: &[u8]) -> bool {
    let text = String::from_utf8_lossy(data);
    let verdict = certificate::verify(&text, &signing().public(), Timestamp(0));
    let Some(read) = certificate::Certificate::from_text(&text) else { return false };
    assert_eq!(certificate::Certificate::from_text(&read.to_text()).as_ref(), Some(&read));
    verdict.findings.is_empty() && !verdict.parts.is_empty()
}

/// The keyring's file: none opens that was not sealed with the credential.
pub fn keyring_file(data: &[u8]) -> bool {
    let first = 1_u64.to_be_bytes();
    let generations = [b"portreeve generation v0\n".as_slice(), &first, &[7; 32]].concat();
    let right = [b"portreeve keyring v1\n".as_slice(), &first, &[7; 60]].concat();
    for (keyring, generations) in [(data, generations.as_slice()), (&right, data)] {
        let folder = Folder::new();
        let (path, credential) = (folder.0.join("keyring"), folder.0.join("credential"));
        folder.write(&path, keyring);
        folder.write(&path.with_file_name("keyring.generation"), generations);
        folder.write(&credential, &[7; 32]);
        let fault = file::Store::open(Arc::new(RealDisk), &path, &credential).err().expect("it is sealed by another");
        let is_of_it =
            matches!(&fault, Error::Damaged { path, .. } | Error::Missing { path, .. } if *path == credential);
        assert!(!is_of_it, "nothing but the credential was looked at: {fault}");
    }
    false
}

/// A configuration.
pub fn configuration(data: &[u8]) -> bool {
    let folder = Folder::new();
    let path = folder.0.join("portreeve.toml");
    folder.write(&path, data);
    config::load(&path).is_ok()
}

/// A data map: what is read is written and read again to the same.
pub fn datamap(data: &[u8]) -> bool {
    let text = String::from_utf8_lossy(data);
    let Ok(map) = DataMap::parse("data.toml", &text) else { return false };
    assert_eq!(DataMap::parse("again.toml", &map.to_toml()).ok().as_ref(), Some(&map));
    true
}

/// A snapshot's header.
pub fn snapshot_header(data: &[u8]) -> bool {
    let Ok(header) = minicbor::decode::<snapshots::Header>(data) else { return false };
    let again = minicbor::to_vec(&header).expect("memory takes what is written");
    assert!(minicbor::decode::<snapshots::Header>(&again).is_ok());
    true
}

/// The header of a customer's own archive.
pub fn archive_header(data: &[u8]) -> bool {
    let Some(header) = archive::Header::read(data) else { return false };
    assert!(header.length() <= data.len() as u64);
    header.holds(data.len() as u64).is_some()
}

/// Signed notes and verifier keys, as witnesses and folders of notes bring them.
pub fn note(data: &[u8]) -> bool {
    let text = String::from_utf8_lossy(data);
    let key = VerifierKey::parse(&text);
    let is_key = key.is_some();
    if let Some(key) = key {
        assert_eq!(VerifierKey::parse(&key.text()), Some(key));
    }
    let note = Note::read(&text);
    if let Ok(read) = &note {
        assert!(text.starts_with(read.text) && read.text.ends_with('\n'), "the text is a part of the note");
    }
    let key = Cosigner::new("witness.example/w1", &Secret::new([2; 32])).verifier_key();
    let _at = cosigned(&text, &key);
    let checkpoints = checkpoints_in(&text);
    for one in &checkpoints {
        assert!(Note::read(one).is_ok() && text.contains(one.as_str()), "it stands there, and is one");
    }
    is_key || note.is_ok() || !checkpoints.is_empty()
}

/// What a log asks a witness: what is read is written and read again to the same, and nobody's is cosigned.
pub fn add_checkpoint(data: &[u8]) -> bool {
    let Ok(request) = AddCheckpoint::read(&String::from_utf8_lossy(data)) else { return false };
    assert_eq!(AddCheckpoint::read(&request.to_body()).as_ref(), Ok(&request));
    assert!(request.judge(None, None).is_err(), "a log that nobody watches");
    let public = signing().public();
    let key = VerifierKey { name: "portreeve/a".to_owned(), algorithm: Algorithm::Ed25519, public };
    for remembers in [None, Some(Checkpoint { origin: "portreeve/a".to_owned(), size: 5, root: [5; 32] })] {
        if let Ok(checkpoint) = request.judge(Some(&key), remembers.as_ref()) {
            assert!(request.note.starts_with(&format!("portreeve/a\n{}\n", checkpoint.size)));
        }
    }
    true
}

/// What goes over the keyring's socket: what is read is written so that it is read as the same.
pub fn keyring_message(data: &[u8]) -> bool {
    let mut is_one = false;
    for (written, at) in written_again(data).into_iter().zip(0..) {
        let Some(written) = written else { continue };
        is_one = true;
        let again = written_again(&written).into_iter().nth(at).flatten();
        assert_eq!(again.as_ref(), Some(&written));
    }
    is_one
}

/// What is open to everybody: where a log goes on, and notices of erasure.
pub fn public(data: &[u8]) -> bool {
    let Some((kind, content)) = data.split_first() else { return false };
    let kind = [Kind::Continues, Kind::Continued, Kind::Notice].into_iter().cycle().nth(usize::from(*kind));
    let kind = kind.expect("it goes round");
    let Some(read) = Public::parse(kind, content) else { return false };
    assert_eq!(read.kind(), kind);
    assert_eq!(Public::parse(kind, &read.to_bytes()).as_ref(), Some(&read));
    if let Public::Notice(notice) = read {
        let _records = notice.records_of("portreeve/a");
    }
    true
}

/// A finished segment's summary, its digest and signature made right, so that what is behind them is reached.
pub fn summary(data: &[u8]) -> bool {
    let (block, key) = ([7; BLOCK_BYTES], signing());
    assert_eq!(Summary::parse(data, &block, &key.public()), None, "this key signed nothing");
    let mut bytes = data.to_vec();
    if let Some(digest) = bytes.get_mut(8..40) {
        digest.copy_from_slice(&sha256(&[&block]));
    }
    let signature = key.sign_bytes(b"portreeve segment summary\0", &bytes);
    bytes.extend_from_slice(&signature);
    let Some(read) = Summary::parse(&bytes, &block, &key.public()) else { return false };
    assert_eq!(Summary::parse(&read.to_bytes(&block, &key), &block, &key.public()).as_ref(), Some(&read));
    true
}

/// A folder of its own for one run.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new() -> Folder {
        use std::sync::atomic::{AtomicU64, Ordering};
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("portreeve-parsers-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).expect("a folder");
        Folder(path)
    }

    fn write(&self, path: &std::path::Path, bytes: &[u8]) {
        use std::os::unix::fs::PermissionsExt;
        std::fs::write(path, bytes).expect("written");
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("kept from others");
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).expect("removed");
    }
}
