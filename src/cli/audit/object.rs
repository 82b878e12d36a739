//! Records for programs: everything that is recorded about one act, as one JSON object.
//! Not here: rows for people (`shown.rs`). A name, once given, keeps its meaning; new ones may come.

use serde_json::{Map, Value};

use super::shown::{Names, milliseconds, place, result};
use crate::audit::keys::Part;
use crate::audit::record::{Bind, Record, Skeleton, Values};
use crate::log::search::Found;
use crate::statement::{function, value};

/// What the help says of the objects; every name stands in it.
pub(super) const FIELDS: &str = "\
With --format json each record is one object on one line. Every name is always there; what was not recorded is null.

  As in the table: time (RFC 3339, UTC), place (log/position), kind, staff, customer, verb, result, rows, bytes,
    duration_ms; rows, bytes and the durations are those of the outcome, where there is one
  Where it stands: log (its origin), position; fault (why it does not open), still_sealed (parts without a key),
    erased (those of them whose keys were destroyed)
  Who: staff_id, staff_given (the name as given), owner_id, owner, uid (of a local process), customer_id,
    customer_given, grant, scope, purpose, reason, ticket, address, from (whoever else acted), application (claimed)
  Where to: session, frame, database, role, backend (process id), sequence (of the register), event (its id)
  What: text (the statement), text_hex (its bytes, if they are not UTF-8), encoding, relations (a label),
    statement and portal (names; statement_hex and portal_hex if they are not UTF-8), row_limit, count,
    function and function_id (of a function call), copied_bytes, copied_lines and copied_sha256 (of COPY data),
    begun_by (the frame whose COPY this frame ends),
    binds: oid, format (0 text, 1 binary), raw (hexadecimal; null is NULL), display (as PostgreSQL prints it)
  What became of it: word (done, error, skipped, refused, written, ...), tag, sqlstate, message, duration_us,
    gate (overlap or strict), fate (of the transaction)
  outcome: null, or of a statement: time and the names from \"Who\" to \"What became of it\" of the outcome's own
    record, with rows and bytes

With --format csv (RFC 4180) the same names are columns, in an order that stays; those of the outcome begin with
outcome_. Lists are JSON. Bytes that are not UTF-8 stand in text_base64, statement_base64 and portal_base64 (not _hex).
What was not recorded is nothing at all; an empty text is \"\".";

/// One record with everything that is known of it, its outcome nested.
pub(super) fn object(found: &Found, names: &Names) -> Value {
    let (record, outcome) = (&found.record, found.outcome.as_ref());
    let mut object = fields(record);
    // A statement's own record has no figures: its outcome's stand for both.
    if let Some(Skeleton { rows, bytes, duration_us, .. }) = outcome.map(|outcome| &outcome.skeleton) {
        put(
            &mut object,
            [("rows", (*rows).into()), ("bytes", (*bytes).into()), ("duration_us", (*duration_us).into())],
        );
    }
    let took = outcome.unwrap_or(record).skeleton.duration_us;
    let words = |parts: &[Part]| -> Vec<Value> { parts.iter().map(|part| part.to_string().into()).collect() };
    put(
        &mut object,
        [
            ("place", place(found).into()),
            ("log", found.log.clone().into()),
            ("position", found.position.into()),
            ("kind", record.kind.word().into()),
            ("customer", names.customer(record)),
            ("staff", names.staff(record)),
            ("result", result(found).into()),
            ("duration_ms", took.map(milliseconds).into()),
            ("fault", found.fault.clone().into()),
            ("still_sealed", words(&found.still_sealed).into()),
            ("erased", words(&found.erased).into()),
            ("outcome", outcome.map_or(Value::Null, |outcome| fields(outcome).into())),
        ],
    );
    object.into()
}

fn put<const N: usize>(object: &mut Map<String, Value>, fields: [(&str, Value); N]) {
    object.extend(fields.into_iter().map(|(name, value)| (name.to_owned(), value)));
}

/// A record's own fields, each under one name.
#[expect(clippy::too_many_lines, reason = "one field a line, and nothing else")]
fn fields(record: &Record) -> Map<String, Value> {
    // Every field is named, so that a new one cannot be forgotten here.
    let Skeleton {
        // A search has unfolded them.
        further: _,
        session,
        staff: staff_id,
        grant,
        frame,
        verb,
        tag,
        sqlstate,
        rows,
        bytes,
        duration_us,
        relations,
        result: word,
        event,
        sequence,
        fate,
        role,
        backend,
        purpose,
        scope,
        count,
        row_limit,
        gate,
        owner: owner_id,
        uid,
        copied_bytes,
        copied_lines,
        begun_by,
        function: called,
    } = &record.skeleton;
    let Values {
        further: _,
        text_before: _,
        text,
        encoding,
        binds,
        statement,
        portal,
        staff: staff_given,
        reason,
        ticket,
        address,
        application,
        customer: customer_given,
        database,
        message,
        from,
        owner,
        digest,
    } = &record.values;
    let mut object = Map::new();
    put(
        &mut object,
        [
            ("time", record.at.to_string().into()),
            ("session", session.map(|session| session.to_string()).into()),
            ("frame", (*frame).into()),
            ("staff_id", (*staff_id).into()),
            ("staff_given", staff_given.clone().into()),
            ("owner_id", (*owner_id).into()),
            ("owner", owner.clone().into()),
            ("uid", (*uid).into()),
            ("customer_id", record.customer.map(|customer| customer.0).into()),
            ("customer_given", customer_given.clone().into()),
            ("grant", (*grant).into()),
            ("scope", scope.clone().into()),
            ("purpose", purpose.clone().into()),
            ("reason", reason.clone().into()),
            ("ticket", ticket.clone().into()),
            ("address", address.clone().into()),
            ("from", from.clone().into()),
            ("application", application.clone().into()),
            ("database", database.clone().into()),
            ("role", role.clone().into()),
            ("backend", (*backend).into()),
            ("sequence", (*sequence).into()),
            ("event", event.clone().into()),
            ("verb", verb.clone().into()),
            ("gate", gate.clone().into()),
            ("encoding", encoding.clone().into()),
            ("relations", relations.clone().into()),
            ("binds", binds.as_ref().map(|binds| binds.iter().map(bind).collect::<Vec<_>>()).into()),
            ("row_limit", (*row_limit).into()),
            ("count", (*count).into()),
            ("function", called.map(function::display).into()),
            ("function_id", (*called).into()),
            ("copied_bytes", (*copied_bytes).into()),
            ("copied_lines", (*copied_lines).into()),
            ("copied_sha256", digest.as_deref().map(hex).into()),
            ("begun_by", (*begun_by).into()),
            ("word", word.clone().into()),
            ("tag", tag.clone().into()),
            ("sqlstate", sqlstate.clone().into()),
            ("message", message.clone().into()),
            ("rows", (*rows).into()),
            ("bytes", (*bytes).into()),
            ("duration_us", (*duration_us).into()),
            ("fate", fate.clone().into()),
        ],
    );
    for (name, bytes) in [("text", text), ("statement", statement), ("portal", portal)] {
        let is_text = bytes.as_ref().is_none_or(|bytes| std::str::from_utf8(bytes).is_ok());
        let exact = bytes.as_ref().filter(|_| !is_text).map(|bytes| hex(bytes));
        put(
            &mut object,
            [
                (name, bytes.as_ref().map(|bytes| String::from_utf8_lossy(bytes)).into()),
                (&format!("{name}_hex"), exact.into()),
            ],
        );
    }
    object
}

fn bind(bind: &Bind) -> Value {
    let Bind { type_oid, format, value: raw } = bind;
    let display = raw.as_ref().map(|raw| value::display(*type_oid, *format, raw));
    let raw = raw.as_ref().map(|raw| hex(raw));
    serde_json::json!({"oid": type_oid, "format": format, "raw": raw, "display": display})
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
