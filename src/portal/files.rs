//! What an owner may take home: the archive and the certificates, as files in a folder of their own customer's.
//! Not here: who writes them (retention). A name is a plain one, never a way out of the folder; what is not a regular
//! file is not there.

use std::fs::{DirEntry, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use rustix::fs::OFlags;
use rustix::io::Errno;
use tokio::io::AsyncReadExt;

use super::error::Error;
use crate::audit::archive::{CHUNK_BYTES, HEADER_BYTES_MAX, Header, Opener, TAG_BYTES};
use crate::ids::CustomerId;
use crate::secret::Secret;

/// So much is read at a time.
const READ_BYTES: usize = 64 * 1024;

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    /// Its name.
    pub name: String,
    /// Its size.
    pub bytes: u64,
}

/// The folder of that customer.
fn folder(archives: &Path, customer: CustomerId) -> PathBuf {
    archives.join(customer.to_string())
}

/// 1 to 100 of `A-Z a-z 0-9 . _ -`, not beginning with a dot.
fn is_plain(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=100).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(plain)
}

fn unreadable(cause: io::Error) -> Error {
    Error::Unavailable { place: "your files", cause: cause.to_string() }
}

/// What that customer's owners may take home, by name; nothing if there is no such folder.
pub fn offered(archives: &Path, customer: CustomerId) -> Result<Vec<Offered>, Error> {
    let entries = match std::fs::read_dir(folder(archives, customer)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(error)),
    };
    let one = |entry: DirEntry| -> io::Result<Option<Offered>> {
        let (name, about) = (entry.file_name().into_string(), entry.metadata()?);
        let name = name.ok().filter(|name| about.is_file() && is_plain(name));
        Ok(name.map(|name| Offered { name, bytes: about.len() }))
    };
    let all: io::Result<Vec<Option<Offered>>> = entries.map(|entry| entry.and_then(one)).collect();
    let mut offered: Vec<Offered> = all.map_err(unreadable)?.into_iter().flatten().collect();
    offered.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(offered)
}

/// Opens one of them. A link is none; what cannot be opened though it is there is an error of its own.
pub fn open(archives: &Path, customer: CustomerId, name: &str) -> Result<(File, u64), Error> {
    if !is_plain(name) {
        return Err(Error::NotFound("file"));
    }
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(folder(archives, customer).join(name));
    let file = opened.map_err(|cause| match cause.kind() {
        ErrorKind::NotFound => Error::NotFound("file"),
        _ if cause.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => Error::NotFound("file"),
        _ => unreadable(cause),
    })?;
    let about = file.metadata().map_err(unreadable)?;
    if about.is_file() { Ok((file, about.len())) } else { Err(Error::NotFound("file")) }
}

/// What stands before an archive that is sealed to its owner; none: the file is as it is.
pub fn sealed(file: &File) -> Option<Header> {
    let mut begin = vec![0; HEADER_BYTES_MAX];
    let read = file.read_at(&mut begin, 0).ok()?;
    Header::read(begin.get(..read)?)
}

/// The archive as its owner gets it, opened while it is taken. It ends early, as an error, if the file is not whole.
pub fn opened(
    (file, bytes): (File, u64),
    (header, key): (&Header, &Secret<[u8; 32]>),
    name: &str,
) -> Result<Response, Error> {
    let damaged = |cause: &str| Error::Unavailable { place: "your files", cause: format!("{name}: {cause}") };
    let (chunks, plain) = header.holds(bytes).ok_or_else(|| damaged("it is cut"))?;
    let opener = Opener::new(header, key, chunks);
    let at = header.length();
    let chunks = stream::try_unfold((file, opener, at), |(file, mut opener, at)| async move {
        if opener.is_through() {
            return Ok::<_, io::Error>(None);
        }
        let reading = tokio::task::spawn_blocking(move || {
            let mut chunk = vec![0; CHUNK_BYTES + TAG_BYTES];
            let read = read_full(&file, &mut chunk, at)?;
            chunk.truncate(read);
            let plain = opener.open(&mut chunk).map(Bytes::copy_from_slice);
            let plain = plain.ok_or_else(|| io::Error::other("a chunk does not open"))?;
            Ok((plain, (file, opener, at + read as u64)))
        });
        reading.await.map_err(io::Error::other)?.map(Some)
    });
    let name = name.strip_suffix(".sealed").unwrap_or(name);
    saved(Body::from_stream(chunks), plain, name)
}

fn read_full(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut read = 0;
    while let Some(rest) = buffer.get_mut(read..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, at + read as u64)? {
            0 => break,
            more => read += more,
        }
    }
    Ok(read)
}

/// The file as an answer to be saved, read as fast as it is taken.
pub fn sent((file, bytes): (File, u64), name: &str) -> Result<Response, Error> {
    let file = tokio::fs::File::from_std(file).take(bytes);
    let chunks = stream::try_unfold(file, |mut file| async move {
        let mut chunk = BytesMut::with_capacity(READ_BYTES);
        let read = file.read_buf(&mut chunk).await?;
        Ok::<Option<(Bytes, _)>, io::Error>((read > 0).then(|| (chunk.freeze(), file)))
    });
    saved(Body::from_stream(chunks), bytes, name)
}

fn saved(body: Body, bytes: u64, name: &str) -> Result<Response, Error> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes));
    let saved = HeaderValue::from_str(&format!("attachment; filename=\"{name}\""));
    headers.insert(header::CONTENT_DISPOSITION, saved.map_err(|error| Error::Bug(error.to_string()))?);
    Ok(response)
}
