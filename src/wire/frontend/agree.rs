//! The second opinion: pgwire's decoder reads an isolated copy of the frame, must consume all of it, and must have read
//! what we read. It is not trusted with the stream: 0.42 is not bounded to the frame and panics on short bodies, so
//! it sees only frames that passed our own validation.

use std::borrow::Cow;

use bytes::BytesMut;
use pgwire::error::PgWireResult;
use pgwire::messages::copy::CopyFail;
use pgwire::messages::extendedquery as extended;
use pgwire::messages::simplequery::Query;
use pgwire::messages::{DecodeContext, Message};

use crate::wire::Fault;
use crate::wire::frame::Frame;
use crate::wire::frontend::{Frontend, Target};

/// Holds our reading of the frame against pgwire's.
///
/// FunctionCall, which pgwire does not know, and messages without a structure (CopyData, and those without a body)
/// have no second reading.
pub(super) fn check(frame: &Frame, ours: &Frontend) -> Result<(), Fault> {
    let agrees = match ours {
        Frontend::Query { text } => second::<Query>(frame)?.is_some_and(|q| same(text, &q.query)),
        Frontend::Parse { name, text, types } => second::<extended::Parse>(frame)?
            .is_some_and(|p| same_name(name, p.name.as_deref()) && same(text, &p.query) && *types == p.type_oids),
        Frontend::Bind { .. } => second::<extended::Bind>(frame)?.is_some_and(|bind| same_bind(ours, &bind)),
        Frontend::Execute { portal, max_rows } => second::<extended::Execute>(frame)?
            .is_some_and(|e| same_name(portal, e.name.as_deref()) && *max_rows == e.max_rows),
        Frontend::Describe { target, name } => second::<extended::Describe>(frame)?
            .is_some_and(|d| same_name(name, d.name.as_deref()) && letter(*target) == d.target_type),
        Frontend::Close { target, name } => second::<extended::Close>(frame)?
            .is_some_and(|c| same_name(name, c.name.as_deref()) && letter(*target) == c.target_type),
        Frontend::CopyFail { message } => second::<CopyFail>(frame)?.is_some_and(|f| same(message, &f.message)),
        Frontend::FunctionCall { .. }
        | Frontend::CopyData { .. }
        | Frontend::CopyDone
        | Frontend::Sync
        | Frontend::Flush
        | Frontend::Terminate => true,
    };
    if agrees {
        return Ok(());
    }
    let tag = frame.tag().escape_ascii();
    Err(Fault::bug(format!("two readings of frontend message \"{tag}\" differ")))
}

/// pgwire's reading; none, when it left bytes over or wanted more.
fn second<M: Message>(frame: &Frame) -> Result<Option<M>, Fault> {
    let mut copy = BytesMut::from(frame.bytes().as_ref());
    let read: PgWireResult<Option<M>> = M::decode(&mut copy, &DecodeContext::default());
    let tag = frame.tag().escape_ascii();
    let message = read.map_err(|error| Fault::bug(format!("pgwire refuses frontend message \"{tag}\": {error}")))?;
    Ok(message.filter(|_| copy.is_empty()))
}

fn same_bind(ours: &Frontend, theirs: &extended::Bind) -> bool {
    let Frontend::Bind { portal, statement, formats, values, result_formats } = ours else {
        return false;
    };
    same_name(portal, theirs.portal_name.as_deref())
        && same_name(statement, theirs.statement_name.as_deref())
        && same_formats(formats, &theirs.parameter_format_codes)
        && *values == theirs.parameters
        && same_formats(result_formats, &theirs.result_column_format_codes)
}

fn same_formats(ours: &[u16], theirs: &[i16]) -> bool {
    ours.iter().copied().eq(theirs.iter().map(|format| format.cast_unsigned()))
}

fn same_name(ours: &[u8], theirs: Option<&str>) -> bool {
    same(ours, theirs.unwrap_or_default())
}

/// pgwire replaces what is not UTF-8; where it had nothing to replace, the bytes must be equal.
fn same(ours: &[u8], theirs: &str) -> bool {
    ours == theirs.as_bytes()
        || match String::from_utf8_lossy(ours) {
            Cow::Borrowed(_) => false,
            Cow::Owned(replaced) => replaced == theirs,
        }
}

fn letter(target: Target) -> u8 {
    match target {
        Target::Statement => extended::TARGET_TYPE_BYTE_STATEMENT,
        Target::Portal => extended::TARGET_TYPE_BYTE_PORTAL,
    }
}
