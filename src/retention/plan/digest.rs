//! The digest of a plan: who applies it presents this, and only exactly that is done.
//! Not here: who may. SHA-256 over the CBOR array of [version, instance, made, [object, action, fingerprint]...].
//! Written `sha256:<64 hexadecimal digits>@<unix seconds at which it was made>`.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use minicbor::Encoder;
use minicbor::encode::Error;

use super::{Action, Object, Plan, Row, Rules, plan};
use crate::clock::Timestamp;
use crate::retention::inventory::Inventory;

/// By which a plan is known again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// SHA-256.
    pub digest: [u8; 32],
    /// When the plan was made, in seconds since 1970.
    pub made: i64,
}

/// A text that is no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a plan's digest: give what \"portreeve retention plan\" printed, sha256:…@…")]
pub struct NotAToken(String);

/// Why a plan is not applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stale {
    /// It was made too long ago, or later than now.
    #[error("the plan was made at {made}, too long ago or later than now; look at a new one: portreeve retention plan")]
    Old {
        /// When.
        made: Timestamp,
    },
    /// What would be done now is something else.
    #[error("things have changed since the plan was made; look at a new one: portreeve retention plan")]
    Changed,
}

impl Plan {
    /// Its digest, with the moment it was made.
    pub fn token(&self) -> Token {
        self.token_of(self.made.0.div_euclid(1_000_000))
    }

    fn token_of(&self, made: i64) -> Token {
        let mut bytes = Vec::with_capacity(96 * self.rows.len());
        encode(self, made, &mut Encoder::new(&mut bytes)).expect("a vector takes any bytes");
        let hash = digest(&SHA256, &bytes);
        Token { digest: hash.as_ref().try_into().expect("SHA-256 has 32 bytes"), made }
    }
}

/// Plans anew and gives that plan if it is the one that `token` names and it is young enough.
///
/// # Errors
/// [`Stale`].
pub fn confirm(token: Token, inventory: &Inventory, rules: &Rules, now: Timestamp) -> Result<Plan, Stale> {
    let made = Timestamp(token.made.saturating_mul(1_000_000));
    if made > now || now.since(made) > rules.caps.fresh {
        return Err(Stale::Old { made });
    }
    let plan = plan(inventory, rules, now);
    if plan.token_of(token.made) == token { Ok(plan) } else { Err(Stale::Changed) }
}

type Encoded = Result<(), Error<Infallible>>;

fn encode(plan: &Plan, made: i64, e: &mut Encoder<&mut Vec<u8>>) -> Encoded {
    let rows = u64::try_from(plan.rows.len()).unwrap_or(u64::MAX);
    e.array(4)?.u8(1)?.str(&plan.instance)?.i64(made)?.array(rows)?;
    plan.rows.iter().try_for_each(|row| encode_row(row, e))
}

fn encode_row(row: &Row, e: &mut Encoder<&mut Vec<u8>>) -> Encoded {
    e.array(3)?;
    match &row.object {
        Object::Snapshot(backend, id) => e.array(3)?.u8(0)?.str(backend)?.str(id)?,
        Object::Archive(id) => e.array(2)?.u8(1)?.str(id)?,
        Object::Customer(id) => e.array(2)?.u8(2)?.u64(id.0)?,
    };
    e.u8(match row.action {
        Action::Keep => 0,
        Action::Expire => 1,
        Action::Purge => 2,
        Action::Hold => 3,
        Action::Report => 4,
    })?;
    e.array(3)?.i64(row.fingerprint.started.0)?.u64(row.fingerprint.bytes)?;
    match &row.fingerprint.manifest {
        Some(manifest) => e.bytes(manifest)?,
        None => e.null()?,
    };
    Ok(())
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.digest.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        write!(f, "@{}", self.made)
    }
}

impl FromStr for Token {
    type Err = NotAToken;

    fn from_str(text: &str) -> Result<Self, NotAToken> {
        let wrong = || NotAToken(text.to_owned());
        let (hex, made) = text.strip_prefix("sha256:").and_then(|rest| rest.split_once('@')).ok_or_else(wrong)?;
        let token = Token { digest: bytes(hex).ok_or_else(wrong)?, made: made.parse().map_err(|_| wrong())? };
        // One writing only.
        if token.to_string() == text { Ok(token) } else { Err(wrong()) }
    }
}

fn bytes(hex: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if hex.len() != 64 || !hex.is_ascii() {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(hex.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}
