//! A proof for one customer: which records of these logs are sealed to it in a period, all of them and nobody else's.
//! Here is the file; what must hold of it is in `proof/check.rs`. Not here: making one from logs (`log/prove.rs`).
//! FORMAT.md, "A proof".

mod check;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize, Serializer};

pub use check::{BrokenOff, Checked, CheckedLog, Cosigned, End, Fault, Key, Shown, check, check_witnessed};

/// What the file says it is.
pub const FORMAT: &str = "portreeve-proof/1";

/// The file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// [`FORMAT`].
    pub format: String,
    /// Whom it is about, in the vendor's words: a number and a name prove nothing.
    pub customer: Customer,
    /// Which period.
    pub period: Period,
    /// The customer's tag key.
    pub tag_key: Base64,
    /// What each log has of it.
    pub logs: Vec<LogProof>,
}

/// A customer, as the vendor calls it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Customer {
    /// Its number.
    pub number: u64,
    /// Its name.
    pub name: String,
}

/// From `since` to before `until`, microseconds since 1970; null: open on that side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Period {
    /// Not before.
    #[serde(deserialize_with = "there")]
    pub since: Option<i64>,
    /// Before.
    #[serde(deserialize_with = "there")]
    pub until: Option<i64>,
}

/// What one log has of the customer in the period.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogProof {
    /// The signed note that everything is proved against.
    pub checkpoint: String,
    /// An older one, and that the log still begins with it.
    #[serde(deserialize_with = "there")]
    pub earlier: Option<Earlier>,
    /// The newest one that a witness cosigned, and that the log begins with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witnessed: Option<Earlier>,
    /// The first position of the period.
    pub from: u64,
    /// The position behind its last.
    pub to: u64,
    /// Leaves in the order of their positions, each once.
    pub leaves: Vec<Listed>,
    /// The roots of all largest subtrees without a listed leaf, from left to right.
    pub hashes: Vec<Base64>,
    /// Opened data keys.
    pub keys: Vec<OpenedKey>,
}

/// A log as it was once signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Earlier {
    /// Its signed note.
    pub checkpoint: String,
    /// The proof of consistency with it.
    pub consistency: Vec<Base64>,
}

/// A leaf; and if it is a record of the period, its sealed parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed {
    /// Its bytes.
    pub leaf: Base64,
    /// The sealed values part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<Base64>,
    /// The sealed skeleton part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skeleton: Option<Base64>,
}

/// A data key, opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenedKey {
    /// The position of its leaf.
    pub position: u64,
    /// Its 32 bytes.
    pub key: Base64,
}

/// Null or a value, but not missing: what is left out is not the same as what is open.
fn there<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    Option::deserialize(deserializer)
}

/// Bytes that are base64 in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base64(pub Vec<u8>);

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Base64).map_err(|_| D::Error::custom("a text that is not base64"))
    }
}

impl Proof {
    /// Whether a file's text says that it is a proof, of whatever version.
    pub fn is_one(text: &str) -> bool {
        let Ok(file) = serde_json::from_str::<serde_json::Value>(text) else { return false };
        file.get("format")
            .and_then(|format| format.as_str())
            .is_some_and(|format| format.starts_with("portreeve-proof/"))
    }

    /// Reads a file's text.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn from_text(text: &str) -> Result<Proof, String> {
        let of_version = |format: &str| -> Result<(), String> {
            if format == FORMAT {
                return Ok(());
            }
            Err(format!("it is of format \"{format}\", and this portreeve reads \"{FORMAT}\""))
        };
        // Another version is told as such, whatever else is in it.
        let value: serde_json::Value =
            serde_json::from_str(text).map_err(|error| format!("it is no whole JSON: {error}"))?;
        of_version(value.get("format").and_then(|format| format.as_str()).unwrap_or_default())?;
        serde_json::from_str(text).map_err(|error| format!("it is not as a proof must be: {error}"))
    }

    /// The file's text.
    pub fn to_text(&self) -> String {
        let mut text = serde_json::to_string(self).expect("a proof is plain JSON");
        text.push('\n');
        text
    }
}
