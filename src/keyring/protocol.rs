//! What goes over the keyring's socket: one length-prefixed CBOR request, one length-prefixed CBOR answer.
//! Not here: who may ask what (`server.rs`).
//! A message is a 32-bit big-endian length and that many bytes of CBOR (RFC 8949), at most [`MESSAGE_BYTES_MAX`].

use minicbor::{Decode, Encode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use zeroize::{Zeroize, Zeroizing};

use super::Error;
use super::keys::Slot;
use crate::audit::keys::{Part, Recipient, RecipientKey, SealedDataKey};

/// No message is longer.
pub(super) const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Recipients or sealed keys per request; more are sent in several.
pub(super) const ITEMS_MAX: usize = 1024;
/// Bytes of `who` and of `why`.
pub const TEXT_BYTES_MAX: usize = 1024;

/// Something asked of the keyring.
#[derive(Debug, Encode, Decode)]
pub(super) enum Request {
    /// Public keys of these recipients for now and 30 days ahead; made where there are none.
    #[n(0)]
    Create(#[n(0)] Vec<Recipient>),
    /// Tag keys of these recipients; made where there are none.
    #[n(1)]
    Tags(#[n(0)] Vec<Recipient>),
    /// Tag keys of recipients that have one, in order, behind this one, at most [`ITEMS_MAX`]: what a reader of whole
    /// logs needs, because a leaf does not name its recipient.
    #[n(3)]
    Known(#[n(0)] Option<After>),
    /// The data keys in these; all or none.
    #[n(2)]
    Open {
        #[n(0)]
        keys: Vec<SealedDataKey>,
        #[n(1)]
        who: String,
        #[n(2)]
        why: String,
    },
    /// Destroys the keys of that recipient, parts and periods, because that event of the register wants it.
    #[n(4)]
    Destroy {
        #[cbor(n(0), with = "minicbor::bytes")]
        event: [u8; 16],
        #[n(1)]
        recipient: Recipient,
        #[n(2)]
        parts: Vec<Part>,
        #[n(3)]
        periods: Vec<u32>,
    },
    /// What was destroyed, from that entry on, at most [`ITEMS_MAX`].
    #[n(5)]
    Destroyed(#[n(0)] u64),
    /// For what there are keys, in order, behind that one, at most [`ITEMS_MAX`]; no key itself.
    #[n(6)]
    Held(#[n(0)] Option<Slot>),
    /// The file's copies written again.
    #[n(7)]
    Backup,
    /// The file written under a new generation secret, and its copies.
    #[n(8)]
    Rotate,
}

impl Request {
    /// The verb's name, as in records and messages.
    pub(super) fn verb(&self) -> &'static str {
        match self {
            Request::Create(_) => "create",
            Request::Known(_) => "known",
            Request::Tags(_) => "tags",
            Request::Open { .. } => "open",
            Request::Destroy { .. } => "destroy",
            Request::Destroyed(_) => "destroyed",
            Request::Held(_) => "held",
            Request::Backup => "backup",
            Request::Rotate => "rotate",
        }
    }

    /// How many recipients or keys it names.
    pub(super) fn items(&self) -> usize {
        match self {
            Request::Create(recipients) | Request::Tags(recipients) => recipients.len(),
            Request::Known(_) | Request::Destroyed(_) | Request::Held(_) | Request::Backup | Request::Rotate => 0,
            Request::Open { keys, .. } => keys.len(),
            Request::Destroy { parts, periods, .. } => parts.len().max(periods.len()),
        }
    }
}

/// The last recipient of the page before; in a struct of its own, for the vendor's own CBOR is null.
#[derive(Clone, Copy, Debug, Encode, Decode)]
pub(super) struct After(#[n(0)] pub(super) Recipient);

/// What the keyring answers.
#[derive(Debug, Encode, Decode)]
pub(super) enum Answer {
    #[n(0)]
    Keys(#[n(0)] Vec<RecipientKey>),
    #[n(1)]
    Tags(#[n(0)] Vec<Tag>),
    /// In the order asked.
    #[n(2)]
    Opened(#[n(0)] Vec<DataKey>),
    #[n(3)]
    Refused {
        #[n(0)]
        uid: u32,
        #[n(1)]
        verb: String,
    },
    #[n(4)]
    NotOpened {
        #[n(0)]
        origin: String,
        #[n(1)]
        position: u64,
        #[n(2)]
        reason: String,
    },
    #[n(5)]
    Failed(#[n(0)] String),
    /// So many keys are gone; copies that could not be rewritten.
    #[n(6)]
    Doomed {
        #[n(0)]
        keys: u64,
        #[n(1)]
        pending: Vec<String>,
    },
    /// What was destroyed.
    #[n(7)]
    Destroyed(#[n(0)] Vec<Erased>),
    /// None are made any more for that recipient.
    #[n(8)]
    Gone(#[n(0)] String),
    /// The generation, and for what there are keys.
    #[n(9)]
    Held {
        #[n(0)]
        generation: u64,
        #[n(1)]
        keys: Vec<Slot>,
    },
    /// It is of this generation now; copies that could not be written, and those that were.
    #[n(10)]
    Written {
        #[n(0)]
        generation: u64,
        #[n(1)]
        behind: Vec<String>,
        #[n(2)]
        copies: Vec<String>,
    },
}

/// Keys that were destroyed: whose, of which part, in which period or in all.
#[derive(Clone, Copy, Debug, Encode, Decode)]
pub(super) struct Erased {
    #[n(0)]
    pub(super) recipient: Recipient,
    #[n(1)]
    pub(super) part: Part,
    #[n(2)]
    pub(super) period: Option<u32>,
}

/// A tag key on its way; wiped when dropped.
#[derive(Encode, Decode)]
pub(super) struct Tag {
    #[n(0)]
    pub(super) recipient: Recipient,
    #[cbor(n(1), with = "minicbor::bytes")]
    pub(super) key: [u8; 32],
}

/// A data key on its way; wiped when dropped.
#[derive(Encode, Decode)]
#[cbor(transparent)]
pub(super) struct DataKey(#[cbor(n(0), with = "minicbor::bytes")] pub(super) [u8; 32]);

impl Drop for Tag {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

impl Drop for DataKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl std::fmt::Debug for Tag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl std::fmt::Debug for DataKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// A message that could not be read.
#[derive(Debug)]
pub(super) enum Unread {
    /// The peer closed between messages.
    Closed,
    /// The peer sent what is no message.
    Message(Error),
    /// The socket failed, or closed within a message.
    Io(std::io::Error),
}

/// Reads one message. Not cancel-safe: a message read in part is lost.
pub(super) async fn read<T: for<'b> Decode<'b, ()>>(stream: &mut (impl AsyncRead + Unpin)) -> Result<T, Unread> {
    let mut length = [0; 4];
    match stream.read(&mut length).await.map_err(Unread::Io)? {
        0 => return Err(Unread::Closed),
        read => {
            let (_, rest) = length.split_at_mut(read);
            stream.read_exact(rest).await.map_err(Unread::Io)?;
        }
    }
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > MESSAGE_BYTES_MAX {
        let long = format!("{length} bytes announced, at most {MESSAGE_BYTES_MAX} are read");
        return Err(Unread::Message(Error::Message(long)));
    }
    let mut body = Zeroizing::new(Vec::new());
    // Grows with what really arrives, not with what was announced.
    let arrived =
        (&mut *stream).take(u64::try_from(length).unwrap_or(0)).read_to_end(&mut body).await.map_err(Unread::Io)?;
    if arrived != length {
        return Err(Unread::Io(std::io::ErrorKind::UnexpectedEof.into()));
    }
    decode(&body).map_err(Unread::Message)
}

/// Reads a message's body.
fn decode<T: for<'b> Decode<'b, ()>>(body: &[u8]) -> Result<T, Error> {
    let mut decoder = minicbor::Decoder::new(body);
    let message = decoder.decode().map_err(|error| Error::Message(error.to_string()))?;
    if decoder.position() != body.len() {
        return Err(Error::Message("bytes are left over behind it".to_owned()));
    }
    Ok(message)
}

/// How a message's body, if it is one, is written again: read as a request, and read as an answer.
pub fn written_again(body: &[u8]) -> [Option<Zeroizing<Vec<u8>>>; 2] {
    fn again<T: for<'b> Decode<'b, ()> + Encode<()>>(body: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let written = encode(&decode::<T>(body).ok()?).ok()?;
        Some(Zeroizing::new(written.get(4..)?.to_vec()))
    }
    [again::<Request>(body), again::<Answer>(body)]
}

/// The bytes of one message, length included.
pub(super) fn encode(message: &impl Encode<()>) -> Result<Zeroizing<Vec<u8>>, Error> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(64 * 1024));
    bytes.extend([0; 4]);
    minicbor::encode(message, &mut *bytes).map_err(|error| Error::Message(error.to_string()))?;
    let length = bytes.len().saturating_sub(4);
    match (u32::try_from(length), bytes.first_chunk_mut()) {
        (Ok(announced), Some(prefix)) if length <= MESSAGE_BYTES_MAX => *prefix = announced.to_be_bytes(),
        _ => return Err(Error::Message(format!("{length} bytes, at most {MESSAGE_BYTES_MAX} are sent"))),
    }
    Ok(bytes)
}

/// Writes one message. Not cancel-safe.
pub(super) async fn write(stream: &mut (impl AsyncWrite + Unpin), message: &[u8]) -> Result<(), std::io::Error> {
    stream.write_all(message).await?;
    stream.flush().await
}

#[cfg(test)]
#[path = "protocol_tests.rs"]
mod tests;
