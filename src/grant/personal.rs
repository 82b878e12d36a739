//! What of an event concerns a person, and the rules its texts are held to while they exist.
//! Not here: the digest that binds it to its event (`event`).

use std::fmt;

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

/// What is shown in place of a text that was erased.
pub const ERASED: &str = "erased";

/// Names nobody may have: the desk, and the word for what is gone.
const RESERVED: [&str; 2] = ["portreeve", ERASED];

/// The body of a side row.
#[derive(Clone, Default, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct Personal {
    /// The name of the customer, staff member or owner.
    #[n(0)]
    pub name: Option<String>,
    /// The cluster that holds a customer's data.
    #[n(1)]
    pub cluster: Option<String>,
    /// The database in that cluster.
    #[n(2)]
    pub database: Option<String>,
    /// A staff member's SCRAM-SHA-256 verifier.
    #[n(3)]
    pub verifier: Option<String>,
    /// An owner's Argon2id hash.
    #[n(4)]
    pub password_hash: Option<String>,
    /// SHA-256 digests of an owner's API tokens.
    #[n(5)]
    pub token_digests: Option<Vec<ByteVec>>,
    /// Why a grant was asked for, in words.
    #[n(6)]
    pub reason: Option<String>,
    /// The ticket it belongs to.
    #[n(7)]
    pub ticket: Option<String>,
    /// What stands in the tenant columns of a customer's rows, where tables are shared; the name of its schema, where
    /// it has one of its own.
    #[n(8)]
    pub tenant: Option<String>,
    /// Who demands that a hold is placed or released.
    #[n(9)]
    pub authority: Option<String>,
    /// Why metadata is not enough for what a request is for.
    #[n(31)]
    pub necessity: Option<String>,
    /// What an owner asks about a request, or a staff member answers.
    #[n(32)]
    pub message: Option<String>,
    /// The hours of an owner's terms, such as `mon-fri 09:00-17:00 Europe/Berlin`; of a staff member, with `;` between
    /// several, or `any`.
    #[n(33)]
    pub hours: Option<String>,
    /// The addresses of an owner's terms, such as `192.0.2.0/24`, or of a staff member; there `any` as well.
    #[n(34)]
    pub networks: Option<Vec<String>>,
    /// The regions of an owner's terms, such as `DE`.
    #[n(35)]
    pub regions: Option<Vec<String>>,
    /// What goes with the digits of a one-time code.
    #[n(36)]
    pub salt: Option<ByteVec>,
    /// Where a staff member works, such as `DE`.
    #[n(37)]
    pub region: Option<String>,
    /// The secret of a staff member's second factor, in clear: whoever reads the register's file can compute its codes, and
    /// still lacks the password, of which only a verifier is stored.
    #[n(66)]
    pub second_factor: Option<ByteVec>,
    /// As whom the identity provider knows a staff member: SHA-256 of its issuer and of the subject that it names.
    #[n(67)]
    pub subject: Option<ByteVec>,
    /// The SHA-256 digest of the code in an invitation's link.
    #[n(45)]
    pub invitation: Option<ByteVec>,
    /// What a customer is called besides its name, for people.
    #[n(46)]
    pub display: Option<String>,
}

impl fmt::Debug for Personal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Personal(***)")
    }
}

impl Personal {
    /// As CBOR.
    pub fn encode(&self) -> Vec<u8> {
        minicbor::to_vec(self).expect("writing to memory does not fail")
    }

    /// Reads it back; `None`: not a side row's body.
    pub fn decode(bytes: &[u8]) -> Option<Personal> {
        let personal: Personal = minicbor::decode(bytes).ok()?;
        (personal.encode() == bytes).then_some(personal)
    }

    /// As whom the identity provider knows them, if it is said and is a digest.
    pub(super) fn subject(&self) -> Result<Option<[u8; 32]>, TextFault> {
        let subject = self.subject.as_ref().map(|subject| <[u8; 32]>::try_from(subject.as_slice()));
        subject.transpose().map_err(|_| TextFault::Missing("digest of the provider's subject"))
    }

    /// The token digests that are digests.
    pub(super) fn digests(&self) -> Vec<[u8; 32]> {
        let all = self.token_digests.iter().flatten();
        all.filter_map(|digest| digest.as_slice().try_into().ok()).collect()
    }
}

/// What is wrong with a text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextFault {
    /// A customer's or staff member's name.
    #[error("\"{0}\" cannot be a name: use 1 to 63 lower-case letters, digits, - and _, such as acme")]
    Name(String),
    /// An owner's name.
    #[error("\"{0}\" cannot be an owner's name: use 1 to 254 of a-z 0-9 . _ @ + -, such as olga@acme.example")]
    OwnerName(String),
    /// A name with a meaning of its own.
    #[error("the name \"{0}\" is reserved; choose another")]
    Reserved(String),
    /// Too short to say anything.
    #[error("the reason has {0} characters; it needs 10 to 2000, because the account owner reads it")]
    Reason(usize),
    /// Too short to say why.
    #[error(
        "the sentence why metadata is not enough has {0} characters; it needs 10 to 2000, because the owner reads it"
    )]
    Necessity(usize),
    /// A question or an answer without words.
    #[error("the text has {0} characters; it needs 2 to 2000")]
    Message(usize),
    /// No ticket, or not one.
    #[error("the ticket must be 1 to 200 characters on one line, such as SUP-1")]
    Ticket,
    /// A display name that cannot be one.
    #[error("\"{0}\" cannot be a display name: use 1 to 200 characters on one line, without spaces at either end")]
    Display(String),
    /// No authority, or not one.
    #[error("the authority must be 1 to 200 characters on one line, such as \"district court, case 12-345\"")]
    Authority,
    /// A cluster or database that cannot be one.
    #[error("\"{0}\" cannot be a {1}: use 1 to 63 bytes without control characters")]
    Place(String, &'static str),
    /// A tenant key that cannot be one.
    #[error(
        "\"{0}\" cannot be a tenant: use 1 to 200 characters on one line, without spaces at either end, as the tenant \
         column holds it"
    )]
    Tenant(String),
    /// A schema that cannot be one customer's.
    #[error("\"{0}\" cannot be a customer's schema: it is the system's, Portreeve's, or open to everybody")]
    Schema(String),
    /// A tenant key for a customer with a database of its own.
    #[error("a customer with a database of its own has no tenant key")]
    TenantOfNothing,
    /// A part that the event needs is not there.
    #[error("the {0} is missing")]
    Missing(&'static str),
}

/// A customer's or staff member's name: 1 to 63 of `a-z 0-9 - _`, none of the reserved ones.
pub fn check_name(name: &str) -> Result<(), TextFault> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    if name.is_empty() || name.len() > 63 || !name.bytes().all(plain) {
        return Err(TextFault::Name(name.to_owned()));
    }
    if RESERVED.contains(&name) {
        return Err(TextFault::Reserved(name.to_owned()));
    }
    Ok(())
}

/// An owner's name: 1 to 254 of `a-z 0-9 . _ @ + -`, none of the reserved ones.
pub fn check_owner_name(name: &str) -> Result<(), TextFault> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._@+-".contains(&b);
    if name.is_empty() || name.len() > 254 || !name.bytes().all(plain) {
        return Err(TextFault::OwnerName(name.to_owned()));
    }
    if RESERVED.contains(&name) {
        return Err(TextFault::Reserved(name.to_owned()));
    }
    Ok(())
}

/// What a customer is called besides: 1 to 200 characters on one line, no spaces at either end.
pub fn check_display(name: &str) -> Result<(), TextFault> {
    let is_plain = name.trim() == name && !name.chars().any(char::is_control);
    if is_plain && (1..=200).contains(&name.chars().count()) {
        Ok(())
    } else {
        Err(TextFault::Display(name.to_owned()))
    }
}

/// A cluster's or database's name: 1 to 63 bytes, no control characters.
pub fn check_place(place: &str, what: &'static str) -> Result<(), TextFault> {
    if place.is_empty() || place.len() > 63 || place.chars().any(char::is_control) {
        return Err(TextFault::Place(place.to_owned(), what));
    }
    Ok(())
}

/// A tenant key: 1 to 200 characters on one line, no spaces at either end, not the word for what is gone.
pub fn check_tenant(tenant: &str) -> Result<(), TextFault> {
    let is_plain = tenant.trim() == tenant && !tenant.chars().any(char::is_control) && tenant != ERASED;
    let fits = (1..=200).contains(&tenant.chars().count());
    if is_plain && fits { Ok(()) } else { Err(TextFault::Tenant(tenant.to_owned())) }
}

/// The schema of one customer: a place, and neither the system's nor one that everybody uses.
pub fn check_schema(schema: &str) -> Result<(), TextFault> {
    check_place(schema, "schema")?;
    let is_taken = ["public", "information_schema", "portreeve", ERASED].contains(&schema) || schema.starts_with("pg_");
    if is_taken { Err(TextFault::Schema(schema.to_owned())) } else { Ok(()) }
}

/// A grant's reason: 10 to 2000 characters, spaces at either end not counted.
pub fn check_reason(reason: &str) -> Result<(), TextFault> {
    match reason.trim().chars().count() {
        10..=2000 => Ok(()),
        short_or_long => Err(TextFault::Reason(short_or_long)),
    }
}

/// Why metadata is not enough: 10 to 2000 characters, spaces at either end not counted.
pub fn check_necessity(text: &str) -> Result<(), TextFault> {
    match text.trim().chars().count() {
        10..=2000 => Ok(()),
        short_or_long => Err(TextFault::Necessity(short_or_long)),
    }
}

/// A question or an answer: 2 to 2000 characters, spaces at either end not counted.
pub fn check_message(text: &str) -> Result<(), TextFault> {
    match text.trim().chars().count() {
        2..=2000 => Ok(()),
        short_or_long => Err(TextFault::Message(short_or_long)),
    }
}

/// A grant's ticket: 1 to 200 characters on one line.
pub fn check_ticket(ticket: &str) -> Result<(), TextFault> {
    let on_one_line = !ticket.chars().any(char::is_control);
    if on_one_line && (1..=200).contains(&ticket.trim().chars().count()) { Ok(()) } else { Err(TextFault::Ticket) }
}

/// Who demands a hold: 1 to 200 characters on one line.
pub fn check_authority(authority: &str) -> Result<(), TextFault> {
    check_ticket(authority).map_err(|_| TextFault::Authority)
}

#[cfg(test)]
#[path = "personal_tests.rs"]
mod tests;
