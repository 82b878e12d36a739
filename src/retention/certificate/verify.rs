//! Whether a certificate is what its signer said: offline, from the file and the public key.
//! Not here: whether the signer told the truth. Every kind of fault has a message of its own.

use std::fmt;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::{At, Body, FORMAT, Part, Signed, canonical, hash, key_id, signed};
use crate::clock::Timestamp;

/// What is wrong with a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The file is not in the one form: it was changed, or is something else.
    Form(&'static str),
    /// A part names another key than the one it is checked with.
    WrongKey {
        /// Which, counted from 1.
        place: usize,
        /// The key it names.
        named: String,
        /// The key given.
        given: String,
    },
    /// A part's signature does not verify.
    Changed {
        /// Which, counted from 1.
        place: usize,
    },
    /// A part of another certificate.
    OfAnother {
        /// Which, counted from 1.
        place: usize,
        /// The certificate it belongs to.
        certificate: String,
    },
    /// A part that should be there is not.
    Missing(Part),
    /// A part is there twice, or before the one it follows.
    OutOfOrder(Part),
    /// A part does not follow from the one before: that one was exchanged.
    Unchained(Part),
    /// A part claims what its own figures do not show.
    Unconfirmed {
        /// Which.
        part: Part,
        /// What.
        what: String,
    },
    /// The next part was due and is not there.
    Overdue {
        /// Which.
        part: Part,
        /// When.
        due: Timestamp,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::Form(what) => write!(f, "not a certificate in its one form: {what}"),
            Finding::WrongKey { place, named, given } => {
                write!(f, "entry {place} is signed with key {named}, not with the key given, {given}")
            }
            Finding::Changed { place } => write!(f, "entry {place} was changed after it was signed"),
            Finding::OfAnother { place, certificate } => {
                write!(f, "entry {place} is part of another certificate, {certificate}")
            }
            Finding::Missing(part) => write!(f, "part {} ({part}) is missing", part.number()),
            Finding::OutOfOrder(part) => write!(f, "part {} ({part}) is there twice or out of order", part.number()),
            Finding::Unchained(part) => {
                write!(f, "part {} ({part}) follows another part than the one before it", part.number())
            }
            Finding::Unconfirmed { part, what } => {
                write!(f, "part {} ({part}) claims what it does not show: {what}", part.number())
            }
            Finding::Overdue { part, due } => {
                write!(f, "part {} ({part}) was due at {due} and is not here", part.number())
            }
        }
    }
}

/// One part as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartShown {
    /// What it says.
    pub body: Body,
    /// Whether nothing is wrong with it.
    pub is_sound: bool,
}

/// What was read and found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The certificate's id.
    pub id: String,
    /// The parts that could be read and are signed with the key.
    pub parts: Vec<PartShown>,
    /// What is wrong; empty if nothing is.
    pub findings: Vec<Finding>,
}

impl Verdict {
    /// The part that follows and by when, if one does.
    pub fn next(&self) -> Option<(Part, At)> {
        let last = self.parts.last()?;
        last.body.next.as_ref().map(|next| (next.part, next.due))
    }
}

/// Checks the text of a certificate with that Ed25519 public key at `now`.
pub fn verify(text: &str, public: &[u8; 32], now: Timestamp) -> Verdict {
    let mut verdict = Verdict::default();
    let Some(file) = canonical::read(text) else {
        let what = if serde_json::from_str::<Value>(text).is_ok() {
            "its keys, spaces or line breaks are not as they were written"
        } else {
            "it is no JSON"
        };
        verdict.findings.push(Finding::Form(what));
        return verdict;
    };
    let parts = file.get("parts").and_then(Value::as_array);
    let (Some(FORMAT), Some(id), Some(parts)) =
        (file.get("format").and_then(Value::as_str), file.get("id").and_then(Value::as_str), parts)
    else {
        verdict.findings.push(Finding::Form("its format, id or parts are not there"));
        return verdict;
    };
    if file.as_object().is_some_and(|members| members.len() != 3) {
        verdict.findings.push(Finding::Form("it holds something that nobody signed"));
    }
    id.clone_into(&mut verdict.id);
    let mut before: Option<(Part, String)> = None;
    for (at, entry) in parts.iter().enumerate() {
        before = verdict.entry(at + 1, entry, public, before);
    }
    verdict.gaps(now);
    verdict
}

impl Verdict {
    /// Checks one entry after the part `before`; gives what the next one must follow.
    fn entry(
        &mut self,
        place: usize,
        entry: &Value,
        public: &[u8; 32],
        before: Option<(Part, String)>,
    ) -> Option<(Part, String)> {
        let findings = self.findings.len();
        let only = entry.as_object().is_some_and(|members| members.len() == 3);
        let Some((signed, body)) = Signed::from_value(entry).filter(|_| only).and_then(|signed| {
            let body = serde_json::from_value::<Body>(signed.body.clone()).ok();
            body.map(|body| (signed, body))
        }) else {
            self.findings.push(Finding::Form("an entry is not a signed part"));
            return before;
        };
        if let Err(finding) = check_signature(place, &signed, public) {
            self.findings.push(finding);
            return before;
        }
        if body.certificate != self.id {
            self.findings.push(Finding::OfAnother { place, certificate: body.certificate });
            return before;
        }
        let part = body.part;
        if part != body.findings.part() || part.number() != body.number || body.of != 4 {
            self.findings.push(Finding::Form("a part's number and findings disagree"));
        }
        if before.as_ref().is_some_and(|(before, _)| *before >= part) {
            self.findings.push(Finding::OutOfOrder(part));
        }
        let follows = before.as_ref().is_none_or(|(earlier, _)| earlier.number() + 1 == part.number());
        let expected = before.as_ref().map(|(_, hash)| hash);
        if follows && part != Part::Live && before.is_some() && body.previous.as_ref() != expected {
            self.findings.push(Finding::Unchained(part));
        }
        if let Some(what) = body.unconfirmed() {
            self.findings.push(Finding::Unconfirmed { part, what });
        }
        self.parts.push(PartShown { body, is_sound: self.findings.len() == findings });
        Some((part, canonical::written(&signed.body).map(|text| hash(&text)).unwrap_or_default()))
    }

    /// Parts before the last one that are not there, and a next one that was due.
    fn gaps(&mut self, now: Timestamp) {
        let there: Vec<Part> = self.parts.iter().map(|part| part.body.part).collect();
        let last = there.iter().max().copied();
        let should = Part::ALL.into_iter().filter(|part| last.map_or(*part == Part::Live, |last| *part <= last));
        self.findings.extend(should.filter(|part| !there.contains(part)).map(Finding::Missing));
        if let Some((part, due)) = self.next().filter(|(part, due)| due.0 < now && !there.contains(part)) {
            self.findings.push(Finding::Overdue { part, due: due.0 });
        }
    }
}

fn check_signature(place: usize, part: &Signed, public: &[u8; 32]) -> Result<(), Finding> {
    let given = key_id(public);
    if part.key != given {
        return Err(Finding::WrongKey { place, named: part.key.clone(), given });
    }
    let changed = Finding::Changed { place };
    let (text, signature) =
        canonical::written(&part.body).zip(STANDARD.decode(&part.signature).ok()).ok_or(changed.clone())?;
    let verified = UnparsedPublicKey::new(&ED25519, public).verify(&signed(&text), &signature);
    verified.map_err(|_| changed)
}
