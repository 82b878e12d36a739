//! Signed notes: a text, and lines of those who signed it, by names and keys.
//! Not here: what the text says (`checkpoint.rs`), and what a witness's line means (`cosignature.rs`).
//! C2SP signed-note (<https://c2sp.org/signed-note>).

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::checkpoint::Error;
use super::tree::sha256;

/// What a key of a note signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// The note's text, with Ed25519.
    Ed25519,
    /// A checkpoint as a witness has seen it at a time, with Ed25519.
    CosignatureV1,
}

impl Algorithm {
    /// Its number in key ids and verifier keys.
    fn number(self) -> u8 {
        match self {
            Algorithm::Ed25519 => 1,
            Algorithm::CosignatureV1 => 4,
        }
    }

    fn of(number: u8) -> Option<Algorithm> {
        match number {
            1 => Some(Algorithm::Ed25519),
            4 => Some(Algorithm::CosignatureV1),
            _ => None,
        }
    }
}

/// By what others check a signature: a name, an algorithm, a public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    /// Whose it is: the origin of a log, the name of a witness.
    pub name: String,
    /// What it signs.
    pub algorithm: Algorithm,
    /// The Ed25519 public key.
    pub public: [u8; 32],
}

impl VerifierKey {
    /// Reads `name+id+key`, a line of its own or none.
    pub fn parse(line: &str) -> Option<VerifierKey> {
        // Base64 may hold `+` itself, a name may not.
        let (name, rest) = line.trim_end().split_once('+')?;
        let (id, key) = rest.split_once('+')?;
        let key = STANDARD.decode(key).ok()?;
        let (number, public) = key.split_first()?;
        let (algorithm, public) = (Algorithm::of(*number)?, public.try_into().ok()?);
        let key = VerifierKey { name: name.to_owned(), algorithm, public };
        (is_name(name) && format!("{:08x}", u32::from_be_bytes(key.id())) == id).then_some(key)
    }

    /// `name+id+key`.
    pub fn text(&self) -> String {
        let mut key = vec![self.algorithm.number()];
        key.extend_from_slice(&self.public);
        format!("{}+{:08x}+{}", self.name, u32::from_be_bytes(self.id()), STANDARD.encode(key))
    }

    /// What tells keys of one name apart.
    pub fn id(&self) -> [u8; 4] {
        let hash = sha256(&[self.name.as_bytes(), b"\n", &[self.algorithm.number()], &self.public]);
        let mut id = [0; 4];
        id.iter_mut().zip(hash).for_each(|(byte, hash)| *byte = hash);
        id
    }

    /// The line of a signature by this key.
    pub fn line(&self, signature: &[u8]) -> String {
        let mut bytes = self.id().to_vec();
        bytes.extend_from_slice(signature);
        format!("— {} {}\n", self.name, STANDARD.encode(bytes))
    }

    /// Whether that is this key's Ed25519 signature of the message.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.public).verify(message, signature).is_ok()
    }
}

/// Whether a key may have that name: no white space, no `+`, not nothing.
pub fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c == '+' || c.is_whitespace())
}

/// One line below a note's text.
#[derive(Debug)]
pub struct Signature<'a> {
    name: &'a str,
    id: [u8; 4],
    /// What was signed with, behind the key's id.
    pub bytes: Vec<u8>,
}

impl Signature<'_> {
    /// Whether it claims to be by that key.
    pub fn is_by(&self, key: &VerifierKey) -> bool {
        self.name == key.name && self.id == key.id()
    }
}

/// A note, taken apart; nothing of it is verified.
#[derive(Debug)]
pub struct Note<'a> {
    /// What is signed, with its last line feed.
    pub text: &'a str,
    /// By whom.
    pub signatures: Vec<Signature<'a>>,
}

impl<'a> Note<'a> {
    /// Takes it apart.
    ///
    /// # Errors
    /// [`Error::Changed`] if it is not as a note must be.
    pub fn read(note: &'a str) -> Result<Note<'a>, Error> {
        if note.bytes().any(|byte| byte < b' ' && byte != b'\n') {
            return Err(Error::Changed("a control character is in it"));
        }
        let (text, _) = note.rsplit_once("\n\n").ok_or(Error::Changed("it has no signature"))?;
        let (text, signatures) = note.split_at_checked(text.len() + 1).ok_or(Error::Changed("it has no signature"))?;
        Ok(Note { text, signatures: lines(signatures.strip_prefix('\n').unwrap_or_default())? })
    }
}

/// Signature lines, each with its end.
///
/// # Errors
/// [`Error::Changed`] for the first that is none.
pub fn lines(lines: &str) -> Result<Vec<Signature<'_>>, Error> {
    let lines = lines.strip_suffix('\n').ok_or(Error::Changed("its last line has no end"))?;
    lines.split('\n').map(line).collect()
}

fn line(line: &str) -> Result<Signature<'_>, Error> {
    let (name, signature) = line
        .strip_prefix("— ")
        .and_then(|line| line.split_once(' '))
        .filter(|(name, _)| is_name(name))
        .ok_or(Error::Changed("a line after the text is no signature"))?;
    let signature = STANDARD.decode(signature).map_err(|_| Error::Changed("a signature is not base64"))?;
    let (id, bytes) = signature
        .split_first_chunk::<4>()
        .filter(|(_, bytes)| !bytes.is_empty())
        .ok_or(Error::Changed("a signature is too short"))?;
    Ok(Signature { name, id: *id, bytes: bytes.to_vec() })
}

/// Bytes of the shortest signature there is.
const SIGNATURE_BYTES: usize = 64;

/// The checkpoints in a text that holds one after the other, whatever else stands between them: what was cut off by a
/// crash is passed over. Without extension lines, as this program writes them.
pub fn checkpoints_in(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.split('\n').collect();
    let mut found = Vec::new();
    let is_signature = |at: usize| lines.get(at).is_some_and(|line| line.starts_with("— "));
    for (gap, line) in lines.iter().enumerate() {
        let Some(first) = gap.checked_sub(3).filter(|_| line.is_empty() && is_signature(gap + 1)) else { continue };
        let end = (gap + 1..).find(|at| !is_signature(*at)).unwrap_or(gap + 1);
        // The last line of all has its end, too, or was cut.
        if end < lines.len() {
            let signatures = lines.get(gap + 1..end).unwrap_or_default();
            let lines = lines.get(first..end).unwrap_or_default();
            // One that was cut within a signature had its line ended by the next: none is that short.
            let is_whole =
                |text: &&str| self::line(text).is_ok_and(|signature| signature.bytes.len() >= SIGNATURE_BYTES);
            let note = format!("{}\n", lines.join("\n"));
            if signatures.iter().all(is_whole) && Note::read(&note).is_ok() {
                found.push(note);
            }
        }
    }
    found
}

#[cfg(test)]
#[path = "note_tests.rs"]
mod tests;
