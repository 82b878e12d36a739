//! Reads an archive back: the chunks in order, then the tar in them, against the manifest it was written with.
//! Not here: who may open it (the keyring). Blocks: call it where that is allowed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use aws_lc_rs::digest::{Context, SHA256};

use super::Error;
use crate::audit::archive::{CHUNK_BYTES, HEADER_BYTES_MAX, Header, Opener, TAG_BYTES};
use crate::purge::Manifest;
use crate::secret::Secret;

/// A sealed file, its header read.
pub(super) struct Sealed {
    pub(super) header: Header,
    file: File,
    chunks: u64,
}

impl Sealed {
    pub(super) fn open(path: &Path) -> Result<Sealed, Error> {
        let mut file = File::open(path).map_err(Error::file("open", path))?;
        let mut begin = Vec::new();
        let read = (&mut file).take(HEADER_BYTES_MAX as u64).read_to_end(&mut begin);
        read.map_err(Error::file("read", path))?;
        let bytes = file.metadata().map_err(Error::file("measure", path))?.len();
        let header = Header::read(&begin);
        let header = header.and_then(|header| Some((header.holds(bytes)?.0, header)));
        let (chunks, header) =
            header.ok_or_else(|| Error::Refused(format!("{} is no sealed archive", path.display())))?;
        file.seek(SeekFrom::Start(header.length())).map_err(Error::file("read", path))?;
        Ok(Sealed { header, file, chunks })
    }

    /// What is in it.
    pub(super) fn plain(self, key: &Secret<[u8; 32]>) -> Plain {
        let opener = Opener::new(&self.header, key, self.chunks);
        Plain { file: self.file, opener, chunk: Vec::new(), at: 0 }
    }
}

/// The plain bytes of a sealed file; it ends only after its last chunk.
pub(super) struct Plain {
    file: File,
    opener: Opener,
    chunk: Vec<u8>,
    at: usize,
}

impl Read for Plain {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.chunk.len() {
            if self.opener.is_through() {
                return Ok(0);
            }
            let mut sealed = Vec::with_capacity(CHUNK_BYTES + TAG_BYTES);
            (&mut self.file).take((CHUNK_BYTES + TAG_BYTES) as u64).read_to_end(&mut sealed)?;
            let plain = self.opener.open(&mut sealed);
            let plain = plain.ok_or_else(|| io::Error::other("a chunk does not open: the file was changed or cut"))?;
            self.chunk = plain.to_vec();
            self.at = 0;
        }
        let rest = self.chunk.get(self.at..).unwrap_or_default();
        let read = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..read), rest.get(..read)) {
            to.copy_from_slice(from);
        }
        self.at += read;
        Ok(read)
    }
}

/// What was seen of one table or large object.
struct Seen {
    rows: u64,
    hash: Context,
}

/// Reads the whole tar and compares it with the manifest.
///
/// # Errors
/// What differs, in words.
pub(super) fn check(mut plain: Plain, manifest: &Manifest) -> Result<(), String> {
    let (mut seen, mut found) = (BTreeMap::<String, Seen>::new(), None);
    let mut archive = tar::Archive::new(&mut plain);
    for entry in archive.entries().map_err(|fault| fault.to_string())? {
        let mut entry = entry.map_err(|fault| fault.to_string())?;
        let name = entry.path().map_err(|fault| fault.to_string())?.to_string_lossy().into_owned();
        if name == "manifest.json" {
            let mut text = Vec::new();
            entry.read_to_end(&mut text).map_err(|fault| fault.to_string())?;
            found = Some(text);
            continue;
        }
        // parts of one thing lie in its folder; what lies nowhere is itself
        let of = if name.contains('/') { name.rsplit_once('/').map_or("", |(folder, _)| folder) } else { &name };
        let seen = seen.entry(of.to_owned()).or_insert_with(|| Seen { rows: 0, hash: Context::new(&SHA256) });
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            let read = entry.read(&mut buffer).map_err(|fault| fault.to_string())?;
            let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
            seen.hash.update(bytes);
            seen.rows += bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        }
    }
    // to the last chunk: nothing that lacks its end is whole
    io::copy(&mut plain, &mut io::sink()).map_err(|fault| fault.to_string())?;
    let written = serde_json::to_vec_pretty(manifest).map_err(|fault| fault.to_string())?;
    if found.as_deref() != Some(&written) {
        return Err("its manifest is another".to_owned());
    }
    compare(seen, manifest)
}

fn compare(mut seen: BTreeMap<String, Seen>, manifest: &Manifest) -> Result<(), String> {
    let mut take = |name: String| {
        let none = || Seen { rows: 0, hash: Context::new(&SHA256) };
        let seen = seen.remove(&name).unwrap_or_else(none);
        let digest: String = seen.hash.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        (seen.rows, digest)
    };
    if take("schema.sql".to_owned()).1 != manifest.schema_sha256 {
        return Err("its schema differs".to_owned());
    }
    for (number, table) in manifest.tables.iter().enumerate() {
        if take(format!("tables/{number}")) != (table.rows, table.sha256.clone()) {
            return Err(format!("the rows of {} differ", table.table));
        }
    }
    for object in &manifest.large_objects {
        if take(format!("large-objects/{}", object.oid)).1 != object.sha256 {
            return Err(format!("large object {} differs", object.oid));
        }
    }
    Ok(())
}
