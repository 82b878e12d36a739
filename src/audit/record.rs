//! What is written down about one act: its *skeleton* (who, when, what kind, how many) and its *values* (texts, bind
//! values, names, addresses). The two parts are sealed under different keys, so that a person's data can go
//! while accountability stays.
//! Not here: how a part is sealed, or where a record stands in the log.
//! Content is CBOR (RFC 8949), maps keyed by the numbers given here; a number is never used again for another meaning.

mod kind;
mod plain;

pub use kind::Kind;
use minicbor::{Decode, Encode};
pub use plain::read;

use crate::clock::Timestamp;
use crate::ids::{CustomerId, SessionId};

/// One record, as its writer hands it to the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// When the act happened, by the writer's clock.
    pub at: Timestamp,
    /// What kind of act.
    pub kind: Kind,
    /// Whose data it concerns; none: sealed to the vendor's own key.
    pub customer: Option<CustomerId>,
    /// The part that stays a year.
    pub skeleton: Skeleton,
    /// The part that goes with the customer's data.
    pub values: Values,
}

impl Record {
    /// An empty record of that kind, for its writer to fill.
    pub fn new(at: Timestamp, kind: Kind, customer: Option<CustomerId>) -> Self {
        Record { at, kind, customer, skeleton: Skeleton::default(), values: Values::default() }
    }

    /// Skeleton and values as CBOR, behind the preamble of its session; none if something is too large for it. Nothing
    /// of the preamble may stand in the record itself.
    pub fn encode(&self, preamble: Option<&Preamble>) -> Option<(Vec<u8>, Vec<u8>)> {
        let room = |pairs: Option<&Pairs>| 256 + pairs.map_or(0, |pairs| pairs.bytes.len());
        let (shared_skeleton, shared_values) = preamble.map(|preamble| (&preamble.skeleton, &preamble.values)).unzip();
        let mut skeleton = Vec::with_capacity(room(shared_skeleton));
        let text = self.values.text.as_ref().map_or(0, Vec::len);
        let mut values = Vec::with_capacity(room(shared_values) + text);
        minicbor::encode(&self.skeleton, &mut skeleton).ok()?;
        minicbor::encode(&self.values, &mut values).ok()?;
        match preamble {
            None => Some((skeleton, values)),
            Some(preamble) => Some((preamble.skeleton.behind(skeleton)?, preamble.values.behind(values)?)),
        }
    }

    /// Adds what a further frame or outcome has of its own. What all share (session, staff, grant, who and why) is left
    /// out of it, and a text that is the one before.
    pub fn add(&mut self, skeleton: Skeleton, mut values: Values) {
        let before = self.values.further.as_ref().and_then(|further| further.last()).unwrap_or(&self.values);
        let text = match before.text_before {
            Some(true) => self.text_at(self.values.further.as_ref().map_or(0, Vec::len)),
            Some(false) | None => before.text.as_ref(),
        };
        if values.text.is_some() && values.text.as_ref() == text {
            (values.text, values.text_before) = (None, Some(true));
        }
        if values.encoding == self.values.encoding {
            values.encoding = None;
        }
        self.skeleton.further.get_or_insert_default().push(skeleton);
        self.values.further.get_or_insert_default().push(values);
    }

    /// The text of the frame at that place, 0 being the first: its own or the nearest before.
    fn text_at(&self, place: usize) -> Option<&Vec<u8>> {
        let further = self.values.further.as_deref().unwrap_or_default();
        let of = |place: usize| place.checked_sub(1).map_or(Some(&self.values), |place| further.get(place));
        let own = (0..=place).rev().filter_map(of).find(|values| values.text_before != Some(true))?;
        own.text.as_ref()
    }

    /// One record for each frame or outcome that this one tells of, each whole. A part that stayed sealed is empty.
    pub fn unfold(mut self) -> Vec<Record> {
        let skeletons = self.skeleton.further.take().unwrap_or_default();
        let values = self.values.further.take().unwrap_or_default();
        let count = skeletons.len().max(values.len());
        let mut records = Vec::with_capacity(count + 1);
        let (mut skeletons, mut values) = (skeletons.into_iter(), values.into_iter());
        let shared = Record { skeleton: self.skeleton.shared(), values: self.values.shared(), ..self };
        records.push(self);
        for _ in 0..count {
            let own = skeletons.next().unwrap_or_default();
            let skeleton = own.over(&shared.skeleton);
            let own = values.next().unwrap_or_default();
            let text = records.last().and_then(|before: &Record| before.values.text.clone());
            records.push(Record { skeleton, values: own.over(&shared.values, text), ..shared });
        }
        records
    }

    /// Whether an outcome belongs to it: it is a frame that was to be forwarded, neither a notification of others nor a
    /// frame that was not let through, which carry the number of the last frame before them; or a line at the desk.
    pub fn awaits_outcome(&self) -> bool {
        let is = |field: &Option<String>, word: &str| field.as_deref() == Some(word);
        matches!(self.kind, Kind::Statement | Kind::Desk)
            && !is(&self.skeleton.verb, "notification")
            && !is(&self.skeleton.result, "refused")
    }
}

/// What all records of one session share, in CBOR once and for all: it is spliced into each.
#[derive(Clone, Debug)]
pub struct Preamble {
    /// As it was given, for who asks what is in it.
    shared: Skeleton,
    skeleton: Pairs,
    values: Pairs,
}

/// Pairs of a CBOR map, without its head.
#[derive(Clone, Debug)]
struct Pairs {
    count: u64,
    bytes: Vec<u8>,
}

impl Preamble {
    /// What stands in this record.
    pub fn of(record: &Record) -> Preamble {
        let (skeleton, values) = record.encode(None).expect("writing to memory does not fail");
        let pairs = |map: &[u8]| Pairs::of(map).expect("a record's parts are maps of a length that is told");
        Preamble { shared: record.skeleton.clone(), skeleton: pairs(&skeleton), values: pairs(&values) }
    }

    /// What of every skeleton it is.
    pub fn skeleton(&self) -> &Skeleton {
        &self.shared
    }
}

impl Pairs {
    fn of(map: &[u8]) -> Option<Pairs> {
        let mut decoder = minicbor::Decoder::new(map);
        let count = decoder.map().ok()??;
        Some(Pairs { count, bytes: map.get(decoder.position()..)?.to_vec() })
    }

    /// The map with these pairs behind its own.
    fn behind(&self, mut own: Vec<u8>) -> Option<Vec<u8>> {
        let mut decoder = minicbor::Decoder::new(&own);
        let count = decoder.map().ok()?? + self.count;
        let head = decoder.position();
        let mut longer = [0; 9];
        let mut rest = longer.as_mut_slice();
        minicbor::Encoder::new(&mut rest).map(count).ok()?;
        let longer_len = 9 - rest.len();
        // Most often the head stays one byte.
        own.splice(..head, longer.into_iter().take(longer_len));
        own.extend_from_slice(&self.bytes);
        Some(own)
    }
}

/// Who, when, what kind, how many. No text a person wrote.
#[derive(Clone, Debug, Default, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct Skeleton {
    /// The session.
    #[n(0)]
    pub session: Option<SessionId>,
    /// The staff member's number.
    #[n(1)]
    pub staff: Option<u64>,
    /// The grant's number.
    #[n(2)]
    pub grant: Option<u64>,
    /// Which gated frame of the session this is, from 1; in an outcome: whose outcome.
    #[n(3)]
    pub frame: Option<u64>,
    /// The frontend message (`query`, `parse`, `bind`, …), the reason code of a refusal or end, the verb of a change.
    #[n(4)]
    pub verb: Option<String>,
    /// The CommandComplete tag, such as `SELECT 3`.
    #[n(5)]
    pub tag: Option<String>,
    /// The SQLSTATE of an error, a refusal or an end.
    #[n(6)]
    pub sqlstate: Option<String>,
    /// DataRow (or CopyData) messages the server sent for this frame.
    #[n(7)]
    pub rows: Option<u64>,
    /// Bytes of those messages, headers included.
    #[n(8)]
    pub bytes: Option<u64>,
    /// From forwarding the frame until its outcome, in microseconds.
    #[n(9)]
    pub duration_us: Option<u64>,
    /// Relations the statement names, as far as a lexer can tell: a label, never a fence.
    #[n(10)]
    pub relations: Option<Vec<String>>,
    /// `done`, `error`, `skipped`, `suspended`, `unknown`, `written`, `superseded`, `allowed`, `refused`, ….
    #[n(11)]
    pub result: Option<String>,
    /// The register event's id (32 hexadecimal digits), for intent and decided.
    #[n(12)]
    pub event: Option<String>,
    /// The register's sequence: expected by an intent, reached by its outcome, in force at a decision.
    #[n(13)]
    pub sequence: Option<u64>,
    /// What became of an open transaction: `none`, `aborted`, `committed`, `in doubt`.
    #[n(14)]
    pub fate: Option<String>,
    /// The login role in the upstream database.
    #[n(15)]
    pub role: Option<String>,
    /// The server's process id.
    #[n(16)]
    pub backend: Option<i32>,
    /// Why the grant was asked for: `fault`, `question`, `operation`.
    #[n(17)]
    pub purpose: Option<String>,
    /// The grant's scope: `metadata`, `read`, `write`.
    #[n(18)]
    pub scope: Option<String>,
    /// How many (keys, records, bytes dropped), as the kind says.
    #[n(19)]
    pub count: Option<u64>,
    /// Execute's row limit; 0 is none.
    #[n(20)]
    pub row_limit: Option<i64>,
    /// Whether the frame was forwarded before its record was durable (`overlap`) or after it (`strict`).
    #[n(21)]
    pub gate: Option<String>,
    /// The owner's number, where an owner acted.
    #[n(22)]
    pub owner: Option<u64>,
    /// The user id of the peer process, where a local process acted.
    #[n(23)]
    pub uid: Option<u32>,
    /// Bytes of COPY data the client sent, without the messages' headers: in the record of CopyDone, and in the outcome
    /// of a COPY that failed before one.
    #[n(24)]
    pub copied_bytes: Option<u64>,
    /// Line feeds in that data, if its format is known to be text or CSV. The rows stand in the outcome's tag.
    #[n(25)]
    pub copied_lines: Option<u64>,
    /// The frame that began the COPY this frame ends; none if none was under way.
    #[n(26)]
    pub begun_by: Option<u64>,
    /// The OID of the function that a FunctionCall calls.
    #[n(27)]
    pub function: Option<u32>,
    /// Further frames that came together with this one and share its record, or further outcomes: each with what is its
    /// own; see [`Record::unfold`].
    #[n(28)]
    pub further: Option<Vec<Skeleton>>,
}

/// Texts, bind values, names, addresses: what concerns a person.
#[derive(Clone, Debug, Default, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct Values {
    /// The statement's bytes as the client sent them, in `encoding`.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub text: Option<Vec<u8>>,
    /// The client's encoding when the statement arrived, as PostgreSQL names it, such as `UTF8`.
    #[n(1)]
    pub encoding: Option<String>,
    /// Bind values, in order.
    #[n(2)]
    pub binds: Option<Vec<Bind>>,
    /// The name of the prepared statement, as bytes.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub statement: Option<Vec<u8>>,
    /// The name of the portal, as bytes.
    #[cbor(n(4), with = "minicbor::bytes")]
    pub portal: Option<Vec<u8>>,
    /// The staff member's sign-in name, as given.
    #[n(5)]
    pub staff: Option<String>,
    /// The grant's reason.
    #[n(6)]
    pub reason: Option<String>,
    /// The grant's ticket.
    #[n(7)]
    pub ticket: Option<String>,
    /// The client's address.
    #[n(8)]
    pub address: Option<String>,
    /// What the client calls itself; claimed, not checked.
    #[n(9)]
    pub application: Option<String>,
    /// The customer's name as asked for (`dbname`).
    #[n(10)]
    pub customer: Option<String>,
    /// The upstream database.
    #[n(11)]
    pub database: Option<String>,
    /// An error's primary message, a refusal's detail, a reader's reason.
    #[n(12)]
    pub message: Option<String>,
    /// The address of whoever else acted (a cancel's sender, an owner's browser).
    #[n(13)]
    pub from: Option<String>,
    /// The owner's sign-in name.
    #[n(14)]
    pub owner: Option<String>,
    /// SHA-256 of the COPY data that `copied_bytes` counts.
    #[cbor(n(15), with = "minicbor::bytes")]
    pub digest: Option<Vec<u8>>,
    /// The values of the further frames or outcomes, as many as the skeleton has.
    #[n(16)]
    pub further: Option<Vec<Values>>,
    /// The text is that of the frame before, in the same record.
    #[n(17)]
    pub text_before: Option<bool>,
}

/// One bind value as the client sent it, and the type it is of.
#[derive(Clone, Debug, Default, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct Bind {
    /// The type's OID: declared in Parse, or learnt from ParameterDescription; 0 is not known.
    #[n(0)]
    pub type_oid: u32,
    /// 0 is text, 1 is binary.
    #[n(1)]
    pub format: u16,
    /// The raw bytes; none is NULL.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub value: Option<Vec<u8>>,
}

impl Skeleton {
    /// What every frame or outcome of one record shares.
    fn shared(&self) -> Skeleton {
        Skeleton {
            session: self.session,
            staff: self.staff,
            grant: self.grant,
            purpose: self.purpose.clone(),
            scope: self.scope.clone(),
            gate: self.gate.clone(),
            ..Skeleton::default()
        }
    }

    /// One's own, over what is shared.
    fn over(self, shared: &Skeleton) -> Skeleton {
        Skeleton {
            session: self.session.or(shared.session),
            staff: self.staff.or(shared.staff),
            grant: self.grant.or(shared.grant),
            purpose: self.purpose.or_else(|| shared.purpose.clone()),
            scope: self.scope.or_else(|| shared.scope.clone()),
            gate: self.gate.or_else(|| shared.gate.clone()),
            ..self
        }
    }
}

impl Values {
    /// What every frame or outcome of one record shares.
    fn shared(&self) -> Values {
        Values {
            encoding: self.encoding.clone(),
            staff: self.staff.clone(),
            reason: self.reason.clone(),
            ticket: self.ticket.clone(),
            address: self.address.clone(),
            application: self.application.clone(),
            customer: self.customer.clone(),
            database: self.database.clone(),
            ..Values::default()
        }
    }

    /// One's own, over what is shared; `before` is the text of the frame before.
    fn over(self, shared: &Values, before: Option<Vec<u8>>) -> Values {
        Values {
            text: if self.text_before == Some(true) { before } else { self.text },
            text_before: None,
            encoding: self.encoding.or_else(|| shared.encoding.clone()),
            staff: self.staff.or_else(|| shared.staff.clone()),
            reason: self.reason.or_else(|| shared.reason.clone()),
            ticket: self.ticket.or_else(|| shared.ticket.clone()),
            address: self.address.or_else(|| shared.address.clone()),
            application: self.application.or_else(|| shared.application.clone()),
            customer: self.customer.or_else(|| shared.customer.clone()),
            database: self.database.or_else(|| shared.database.clone()),
            ..self
        }
    }
}

impl<C> Encode<C> for SessionId {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(&self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for SessionId {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        let bytes = d.bytes()?;
        bytes.try_into().map(SessionId).map_err(|_| minicbor::decode::Error::message("a session id has 8 bytes"))
    }
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
