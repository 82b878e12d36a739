//! What a log asks of a witness, and how a witness decides: it cosigns only what begins with all it cosigned before.
//! Not here: HTTP, and where a witness remembers (`witness/`); who asks (`witnesses/`).
//! C2SP tlog-witness v1.0.0, `add-checkpoint` (<https://c2sp.org/tlog-witness>).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::checkpoint::{Checkpoint, Error};
use super::consistency::proves_consistency;
use super::note::{Note, VerifierKey};
use super::tree::{Frontier, Hash};

/// A proof has no more hashes.
const HASHES_MAX: usize = 63;

/// The content type of an answer that tells which size the witness remembers.
pub const SIZE_TYPE: &str = "text/x.tlog.size";

/// The body of an `add-checkpoint` request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// How many leaves the checkpoint had that the witness is taken to remember.
    pub old: u64,
    /// The proof that the log begins with those.
    pub proof: Vec<Hash>,
    /// The new checkpoint's signed note.
    pub note: String,
}

/// Why a witness does not cosign.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The request is not as it must be.
    #[error("{0}")]
    Malformed(&'static str),
    /// It watches no such log.
    #[error("this witness watches no log of that origin")]
    UnknownLog,
    /// The log's key did not sign it.
    #[error("none of the signatures is by the key of this log")]
    NotSigned,
    /// It remembers another size than the request takes it to; or the same with another root.
    #[error("the last checkpoint cosigned has {0} leaves")]
    Conflict(u64),
    /// The log does not begin with what it remembers.
    #[error("the log does not begin with what was cosigned before")]
    Inconsistent,
}

impl Refusal {
    /// The HTTP status it is answered with.
    pub fn status(&self) -> u16 {
        match self {
            Refusal::Malformed(_) => 400,
            Refusal::UnknownLog => 404,
            Refusal::NotSigned => 403,
            Refusal::Conflict(_) => 409,
            Refusal::Inconsistent => 422,
        }
    }
}

impl AddCheckpoint {
    /// The body.
    pub fn to_body(&self) -> String {
        let mut body = format!("old {}\n", self.old);
        for hash in &self.proof {
            body.push_str(&STANDARD.encode(hash));
            body.push('\n');
        }
        body.push('\n');
        body.push_str(&self.note);
        body
    }

    /// Reads a body.
    ///
    /// # Errors
    /// [`Refusal::Malformed`].
    pub fn read(body: &str) -> Result<AddCheckpoint, Refusal> {
        let malformed = Refusal::Malformed;
        let (head, note) = body.split_once("\n\n").ok_or(malformed("no empty line before the checkpoint"))?;
        let mut lines = head.split('\n');
        let old = lines.next().and_then(|line| line.strip_prefix("old "));
        let old = old.and_then(decimal).ok_or(malformed("the first line is not \"old\" and a size"))?;
        let hash = |line: &str| STANDARD.decode(line).ok()?.try_into().ok();
        let proof: Option<Vec<Hash>> = lines.map(hash).collect();
        let proof = proof.ok_or(malformed("a line of the proof is not 32 bytes in base64"))?;
        if proof.len() > HASHES_MAX {
            return Err(malformed("the proof has more than 63 lines"));
        }
        Ok(AddCheckpoint { old, proof, note: note.to_owned() })
    }

    /// What the witness may cosign and must remember first: the checkpoint, if it is signed by the key of its log (the
    /// one of `logs` with its origin) and begins with what the witness `remembers` of it.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn judge(&self, log: Option<&VerifierKey>, remembers: Option<&Checkpoint>) -> Result<Checkpoint, Refusal> {
        let note = Note::read(&self.note).map_err(|_| Refusal::Malformed("the checkpoint is no signed note"))?;
        let log = log.ok_or(Refusal::UnknownLog)?;
        if Checkpoint::parse(note.text).is_err() {
            return Err(Refusal::Malformed("the note is no checkpoint"));
        }
        let new = Checkpoint::open(&self.note, &log.name, &log.public).map_err(|error| match error {
            Error::WrongKey { .. } | Error::Changed(_) => Refusal::NotSigned,
        })?;
        if self.old > new.size {
            return Err(Refusal::Malformed("the old size is larger than that of the checkpoint"));
        }
        let (size, root) = remembers.map_or_else(|| (0, Frontier::new().root()), |last| (last.size, last.root));
        let is_another = self.old == new.size && root != new.root;
        if self.old != size || is_another {
            return Err(Refusal::Conflict(size));
        }
        if !proves_consistency(size, &root, new.size, &new.root, &self.proof) {
            return Err(Refusal::Inconsistent);
        }
        Ok(new)
    }
}

/// A size in decimal digits, without a zero before it.
pub fn decimal(text: &str) -> Option<u64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_plain)
}

#[cfg(test)]
#[path = "witnessing_tests.rs"]
mod tests;
