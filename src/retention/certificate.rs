//! The certificate of erasure: four parts, each signed when what it says was observed. Counts, times and names of
//! objects only; nothing about a person.
//! Not here: collecting the findings. A part cannot be signed that claims what was not confirmed.
//! The form, field by field: CERTIFICATE.md.

mod body;
mod canonical;
mod page;
mod verify;

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use body::{
    ApplicationLogs, Archive, Archives, At, Backups, Body, Exception, ExceptionKind, Findings, Ledger, Live, Log, Logs,
    Method, Needles, Next, People, Replica, Residue, Scope, Snapshot, Table, Times, Traces, Trigger, TriggerKind,
};
pub use page::page;
pub use verify::{Finding, PartShown, Verdict, verify};

/// What the file says it is.
pub const FORMAT: &str = "portreeve-certificate/1";

/// What precedes a signed body, so that the signature is good for nothing else.
const SIGNED: &[u8] = b"portreeve certificate part/1\n";

/// One of the four.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// No live row is left.
    Live,
    /// No snapshot that held one is left.
    Backups,
    /// The customer's own archive is gone, and the values in the audit log.
    Archive,
    /// The skeleton of the audit log and the application's logs are gone.
    Logs,
}

impl Part {
    /// All of them, in their order.
    pub const ALL: [Part; 4] = [Part::Live, Part::Backups, Part::Archive, Part::Logs];

    /// 1 to 4.
    pub fn number(self) -> u8 {
        match self {
            Part::Live => 1,
            Part::Backups => 2,
            Part::Archive => 3,
            Part::Logs => 4,
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Part::Live => "live",
            Part::Backups => "backups",
            Part::Archive => "archive",
            Part::Logs => "logs",
        })
    }
}

/// Why a part is not signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsignable {
    /// The findings are not those of the part that is next.
    #[error("part {expected} is next, the findings are of part {found}")]
    WrongPart {
        /// Which is next.
        expected: Part,
        /// Which it was.
        found: Part,
    },
    /// All four are signed.
    #[error("all four parts are signed")]
    Complete,
    /// It would claim what was not observed.
    #[error("part {part} would claim what was not confirmed: {what}")]
    Unconfirmed {
        /// Which part.
        part: Part,
        /// What.
        what: String,
    },
    /// It is about another certificate or customer than the parts before.
    #[error("it is about {found}, the parts before about {expected}")]
    OfAnother {
        /// What it is about.
        found: String,
        /// What the parts before are.
        expected: String,
    },
    /// A number that the canonical form cannot hold.
    #[error("a number above 2^53 cannot be written")]
    Number,
}

/// The parts signed so far, in the form they are handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    parts: Vec<Signed>,
    id: String,
}

/// One signed part.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Signed {
    body: Value,
    key: String,
    signature: String,
}

impl Certificate {
    /// A certificate without a part; the id is 32 hexadecimal digits made at random.
    pub fn new(id: &str) -> Certificate {
        Certificate { parts: Vec::new(), id: id.to_owned() }
    }

    /// Which part is signed next.
    pub fn next(&self) -> Option<Part> {
        Part::ALL.get(self.parts.len()).copied()
    }

    /// Adds and signs the next part. Number, certificate and the digest of the part before are filled in here.
    ///
    /// # Errors
    /// [`Unsignable`].
    pub fn sign(&mut self, mut body: Body, key: &Ed25519KeyPair) -> Result<(), Unsignable> {
        let part = self.next().ok_or(Unsignable::Complete)?;
        if body.findings.part() != part {
            return Err(Unsignable::WrongPart { expected: part, found: body.findings.part() });
        }
        if let Some(what) = body.unconfirmed() {
            return Err(Unsignable::Unconfirmed { part, what });
        }
        body.certificate.clone_from(&self.id);
        (body.part, body.number, body.of) = (part, part.number(), 4);
        if let Some(before) = self.parts.last() {
            let expected = before.body.get("customer").and_then(Value::as_str).unwrap_or_default();
            if expected != body.customer {
                return Err(Unsignable::OfAnother { found: body.customer, expected: expected.to_owned() });
            }
            body.previous = Some(hash(&canonical::written(&before.body).ok_or(Unsignable::Number)?));
        }
        let body = serde_json::to_value(&body).expect("a body is plain JSON");
        let text = canonical::written(&body).ok_or(Unsignable::Number)?;
        let signature = key.sign(&signed(&text));
        let public = key.public_key().as_ref().try_into().expect("an Ed25519 public key has 32 bytes");
        self.parts.push(Signed { body, key: key_id(&public), signature: STANDARD.encode(signature) });
        Ok(())
    }

    /// The file, in its one form.
    pub fn to_text(&self) -> String {
        let parts: Vec<Value> = self.parts.iter().map(Signed::to_value).collect();
        let file = serde_json::json!({"format": FORMAT, "id": self.id, "parts": parts});
        let mut text = canonical::written(&file).expect("parts were written before they were signed");
        text.push('\n');
        text
    }

    /// The file at whose end the next part is to be added, read without checking any signature.
    pub fn from_text(text: &str) -> Option<Certificate> {
        let file = canonical::read(text)?;
        let parts = file.get("parts")?.as_array()?.iter().map(Signed::from_value).collect::<Option<Vec<_>>>()?;
        Some(Certificate { parts, id: file.get("id")?.as_str()?.to_owned() })
    }
}

impl Signed {
    fn to_value(&self) -> Value {
        serde_json::json!({"body": self.body, "key": self.key, "signature": self.signature})
    }

    fn from_value(value: &Value) -> Option<Signed> {
        let text = |key| value.get(key)?.as_str().map(str::to_owned);
        Some(Signed { body: value.get("body")?.clone(), key: text("key")?, signature: text("signature")? })
    }
}

/// What a signature is over.
fn signed(canonical: &str) -> Vec<u8> {
    [SIGNED, canonical.as_bytes()].concat()
}

/// By which a part names the key it is signed with: 16 hexadecimal digits.
pub fn key_id(public: &[u8; 32]) -> String {
    hash_of(&[b"portreeve certificate key/1\n", public.as_slice()].concat()).chars().take(16).collect()
}

fn hash(text: &str) -> String {
    hash_of(text.as_bytes())
}

fn hash_of(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[path = "certificate_tests.rs"]
mod tests;
