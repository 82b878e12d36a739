//! Whether an ID token says who somebody is: its signature by a key of the provider, for us, for this very sign-in, now,
//! and with the second factor that is asked for. Pure; fetching the token and the keys is `provider`'s.
//! OpenID Connect Core 1.0, section 3.1.3.7; RFC 7515, RFC 7517.

use std::time::Duration;

use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::{Map, Value};

use crate::clock::Timestamp;
use crate::portal::session::sha256;

/// How far the provider's clock and ours may be apart.
const LEEWAY: Duration = Duration::from_secs(60);

/// Signatures that are looked at; never a shared secret, never `none`.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
];

/// What a token must say.
#[derive(Clone, Debug)]
pub struct Expected<'a> {
    /// The provider.
    pub issuer: &'a str,
    /// For whom: ourselves.
    pub client_id: &'a str,
    /// What this sign-in was begun with.
    pub nonce: &'a str,
    /// One of these methods must have been used; empty: any may.
    pub amr: &'a [String],
    /// One of these contexts must have been reached; empty: any may.
    pub acr: &'a [String],
    /// How long ago they may have signed in; none: ever.
    pub signed_in_within: Option<Duration>,
    /// The claim that names the staff member.
    pub claim: &'a str,
    /// What it ends with after the name.
    pub claim_suffix: &'a str,
}

/// Whom a token is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The staff member's name, as they have it here if they are here.
    pub name: String,
    /// The provider's own number or word for them.
    pub subject: String,
    /// The digest of the provider and that: one person and no other, whatever they are called.
    pub digest: [u8; 32],
    /// The authentication methods it names.
    pub methods: Vec<String>,
}

/// Why a token says nothing. The texts are for whoever wanted to sign in, and for the record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// Not three parts of base64 and JSON.
    #[error("it is not an ID token")]
    Malformed,
    /// A signature of a kind that is not looked at.
    #[error("it is signed in a way that is not accepted")]
    Algorithm,
    /// No key of the provider's is that one.
    #[error("it is signed with a key that is not among the provider's")]
    UnknownKey,
    /// The signature does not fit the key.
    #[error("its signature is not the provider's")]
    Signature,
    /// Another provider's.
    #[error("it was issued by \"{0}\"")]
    Issuer(String),
    /// For somebody else.
    #[error("it was not issued for this portal")]
    Audience,
    /// Of another sign-in.
    #[error("it belongs to another sign-in")]
    Nonce,
    /// Over.
    #[error("it is over since {0}")]
    Over(Timestamp),
    /// Not begun, or from the future.
    #[error("it begins at {0}, by the provider's clock")]
    Early(Timestamp),
    /// A claim that must be there.
    #[error("it has no claim \"{0}\", or not as it should be")]
    Claim(String),
    /// Not with the second factor that is asked for.
    #[error("a second factor is needed: the provider names {had}, and one of {wanted} is asked for")]
    SecondFactor { had: String, wanted: String },
    /// Signed in too long ago.
    #[error("the sign-in at the provider, at {0}, is too long ago")]
    LongAgo(Timestamp),
    /// An address nobody has verified.
    #[error("the provider has not verified the address \"{0}\"")]
    Unverified(String),
    /// A name of somebody else's people.
    #[error("\"{name}\" does not end with \"{suffix}\"")]
    Suffix { name: String, suffix: String },
}

/// Reads the keys of a JWK set that can check a signature; others are passed over.
pub fn keys(set: &Value) -> Vec<Jwk> {
    let all = set.get("keys").and_then(Value::as_array).into_iter().flatten();
    let read = all.filter_map(|key| serde_json::from_value::<Jwk>(key.clone()).ok());
    read.filter(checks_signatures).collect()
}

fn checks_signatures(key: &Jwk) -> bool {
    let is_public = match key.algorithm {
        AlgorithmParameters::EllipticCurve(_) | AlgorithmParameters::RSA(_) | AlgorithmParameters::OctetKeyPair(_) => {
            true
        }
        // Shared secrets, and what the library learns later.
        _ => false,
    };
    is_public && !matches!(key.common.public_key_use, Some(PublicKeyUse::Encryption | PublicKeyUse::Other(_)))
}

/// Whom that token is about, if it holds now.
///
/// # Errors
/// The first reason why it does not.
pub fn verify(token: &str, keys: &[Jwk], expected: &Expected<'_>, now: Timestamp) -> Result<Identity, Rejected> {
    let claims = signed(token, keys)?;
    check_parties(&claims, expected)?;
    check_times(&claims, expected, now)?;
    let methods = check_second_factor(&claims, expected)?;
    let subject = text(&claims, "sub")?.to_owned();
    let digest = sha256(format!("{}\0{subject}", expected.issuer).as_bytes());
    Ok(Identity { name: name(&claims, expected)?, subject, digest, methods })
}

/// The claims, once the signature holds.
fn signed(token: &str, keys: &[Jwk]) -> Result<Map<String, Value>, Rejected> {
    let header = decode_header(token).map_err(|_| Rejected::Malformed)?;
    if !ALGORITHMS.contains(&header.alg) {
        return Err(Rejected::Algorithm);
    }
    let fits = |key: &&Jwk| match &header.kid {
        Some(kid) => key.common.key_id.as_ref() == Some(kid),
        None => keys.len() == 1,
    };
    let key = keys.iter().find(fits).ok_or(Rejected::UnknownKey)?;
    let word = |algorithm| serde_json::to_value(algorithm).ok();
    if key.common.key_algorithm.is_some_and(|only| serde_json::to_value(only).ok() != word(header.alg)) {
        return Err(Rejected::Algorithm);
    }
    let key = DecodingKey::from_jwk(key).map_err(|_| Rejected::UnknownKey)?;
    // Only the signature is the library's to check: time is ours, and each claim has a reason of its own.
    let mut only_signature = Validation::new(header.alg);
    only_signature.required_spec_claims.clear();
    (only_signature.validate_exp, only_signature.validate_aud) = (false, false);
    let token = decode::<Value>(token, &key, &only_signature).map_err(|_| Rejected::Signature)?;
    match token.claims {
        Value::Object(claims) => Ok(claims),
        _ => Err(Rejected::Malformed),
    }
}

/// By whom, for whom, for which sign-in.
fn check_parties(claims: &Map<String, Value>, expected: &Expected<'_>) -> Result<(), Rejected> {
    let issuer = text(claims, "iss")?;
    if issuer != expected.issuer {
        return Err(Rejected::Issuer(issuer.to_owned()));
    }
    let audience = texts(claims.get("aud"));
    let party = claims.get("azp").map(|party| party.as_str() == Some(expected.client_id));
    let is_ours = audience.iter().any(|one| one == expected.client_id);
    if !is_ours || party == Some(false) || (audience.len() > 1 && party.is_none()) {
        return Err(Rejected::Audience);
    }
    if text(claims, "nonce").ok() != Some(expected.nonce) { Err(Rejected::Nonce) } else { Ok(()) }
}

/// Not over, not from the future, signed in lately if that is asked for.
fn check_times(claims: &Map<String, Value>, expected: &Expected<'_>, now: Timestamp) -> Result<(), Rejected> {
    let over = moment(claims, "exp")?;
    if over.plus(LEEWAY) <= now {
        return Err(Rejected::Over(over));
    }
    for claim in ["iat", "nbf"] {
        // `iat` must be there, `nbf` may.
        let from = if claim == "nbf" && !claims.contains_key(claim) { continue } else { moment(claims, claim)? };
        if from > now.plus(LEEWAY) {
            return Err(Rejected::Early(from));
        }
    }
    let Some(within) = expected.signed_in_within else { return Ok(()) };
    let at = moment(claims, "auth_time")?;
    if at.plus(within).plus(LEEWAY) <= now { Err(Rejected::LongAgo(at)) } else { Ok(()) }
}

/// The methods it names, if they suffice.
fn check_second_factor(claims: &Map<String, Value>, expected: &Expected<'_>) -> Result<Vec<String>, Rejected> {
    let methods = texts(claims.get("amr"));
    let contexts = texts(claims.get("acr"));
    for (had, wanted) in [(&methods, expected.amr), (&contexts, expected.acr)] {
        if !wanted.is_empty() && !had.iter().any(|one| wanted.contains(one)) {
            let said = if had.is_empty() { "none".to_owned() } else { had.join(", ") };
            return Err(Rejected::SecondFactor { had: said, wanted: wanted.join(", ") });
        }
    }
    Ok(methods)
}

/// The staff member's name.
fn name(claims: &Map<String, Value>, expected: &Expected<'_>) -> Result<String, Rejected> {
    let full = text(claims, expected.claim)?;
    if expected.claim == "email" && claims.get("email_verified") != Some(&Value::Bool(true)) {
        return Err(Rejected::Unverified(full.to_owned()));
    }
    let suffix = expected.claim_suffix;
    let wrong = || Rejected::Suffix { name: full.to_owned(), suffix: suffix.to_owned() };
    full.strip_suffix(suffix).map(str::to_owned).ok_or_else(wrong)
}

fn text<'c>(claims: &'c Map<String, Value>, name: &str) -> Result<&'c str, Rejected> {
    let found = claims.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    found.ok_or_else(|| Rejected::Claim(name.to_owned()))
}

/// A text, or a list of them.
fn texts(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

/// Seconds since 1970, whole or not.
fn moment(claims: &Map<String, Value>, name: &str) -> Result<Timestamp, Rejected> {
    let seconds = claims.get(name).and_then(Value::as_f64).filter(|seconds| (0.0..=1e11).contains(seconds));
    let seconds = seconds.ok_or_else(|| Rejected::Claim(name.to_owned()))?;
    Ok(Timestamp(0).plus(Duration::from_secs_f64(seconds)))
}

#[cfg(test)]
#[path = "id_token_tests.rs"]
mod tests;
