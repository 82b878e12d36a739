//! A tar stream (POSIX.1-1988 ustar) written front to back: names, sizes, bytes; no times, no owners, so that the same
//! rows give the same bytes. Not here: what is in it.

use tokio::io::{AsyncWrite, AsyncWriteExt};

const BLOCK: usize = 512;

/// A header field: where it starts, and its text.
type Field<'a> = (usize, &'a [u8]);

/// A file's header; `name` has at most 100 bytes.
fn header(name: &str, bytes: usize) -> [u8; BLOCK] {
    let mut header = [0; BLOCK];
    let size = format!("{bytes:011o}");
    let fields: [Field<'_>; 8] = [
        (0, name.as_bytes()),
        (100, b"0000600"),
        (108, b"0000000"),
        (116, b"0000000"),
        (124, size.as_bytes()),
        (136, b"00000000000"),
        (148, b"        "),
        (156, b"0"),
    ];
    let mut put = |(at, text): Field<'_>| {
        if let Some(place) = header.get_mut(at..at + text.len()) {
            place.copy_from_slice(text);
        }
    };
    fields.into_iter().for_each(&mut put);
    put((257, b"ustar\x0000"));
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    let sum = format!("{sum:06o}\0 ");
    if let Some(place) = header.get_mut(148..156) {
        place.copy_from_slice(sum.as_bytes());
    }
    header
}

/// Writes one file.
pub(super) async fn file<W: AsyncWrite + Unpin>(sink: &mut W, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    debug_assert!(name.len() <= 100, "names are made here and short");
    sink.write_all(&header(name, bytes.len())).await?;
    sink.write_all(bytes).await?;
    let rest = bytes.len().next_multiple_of(BLOCK) - bytes.len();
    sink.write_all([0; BLOCK].get(..rest).unwrap_or_default()).await
}

/// Writes the end.
pub(super) async fn end<W: AsyncWrite + Unpin>(sink: &mut W) -> std::io::Result<()> {
    sink.write_all(&[0; 2 * BLOCK]).await?;
    sink.flush().await
}
