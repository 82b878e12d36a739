//! Records as rows: one per statement with what became of it, or everything about one.
//! Not here: how they were found. Cells are escaped where they are written (`render.rs`).

use serde_json::Value;

use super::object::hex;
use crate::audit::keys::Part;
use crate::audit::record::{Bind, Kind, Record};
use crate::cli::Table;
use crate::clock::Timestamp;
use crate::ids::{CustomerId, StaffId};
use crate::log::search::Found;
use crate::statement::{function, value};

/// Looks names up; none is shown by number.
pub(super) struct Names {
    pub(super) customer: Box<dyn Fn(CustomerId) -> Option<String> + Send>,
    pub(super) staff: Box<dyn Fn(StaffId) -> Option<String> + Send>,
}

impl Names {
    pub(super) fn customer(&self, record: &Record) -> Value {
        let named = |id| (self.customer)(id).unwrap_or_else(|| id.to_string());
        record.customer.map(named).or_else(|| record.values.customer.clone()).into()
    }

    pub(super) fn staff(&self, record: &Record) -> Value {
        let named = |id: u64| {
            let id = StaffId(id);
            (self.staff)(id).or_else(|| record.values.staff.clone()).unwrap_or_else(|| id.to_string())
        };
        record.skeleton.staff.map(named).or_else(|| record.values.staff.clone()).into()
    }
}

/// An empty table of records.
pub(super) fn rows() -> Table {
    Table::new(&[
        "time",
        "place",
        "kind",
        "staff",
        "customer",
        "verb",
        "text",
        "binds",
        "result",
        "rows",
        "bytes",
        "duration_ms",
    ])
}

/// One record as a row.
pub(super) fn row(table: &mut Table, found: &Found, names: &Names) {
    let record = &found.record;
    // An outcome that stands alone tells its own figures.
    let figures = found.outcome.as_ref().unwrap_or(record);
    let skeleton = &figures.skeleton;
    table.row([
        record.at.to_string().into(),
        place(found).into(),
        record.kind.word().into(),
        names.staff(record),
        names.customer(record),
        record.skeleton.verb.clone().into(),
        text(record).into(),
        record.values.binds.iter().flatten().map(bind).map(Value::from).collect::<Vec<_>>().into(),
        result(found).into(),
        skeleton.rows.into(),
        skeleton.bytes.into(),
        skeleton.duration_us.map(milliseconds).into(),
    ]);
}

/// `proxy-gate-1/17`.
pub(super) fn place(found: &Found) -> String {
    format!("{}/{}", found.log.strip_prefix("portreeve/").unwrap_or(&found.log), found.position)
}

#[expect(clippy::cast_precision_loss, reason = "shown to a thousandth; longer than 285 years is rounded")]
pub(super) fn milliseconds(micros: u64) -> f64 {
    micros as f64 / 1000.0
}

/// The statement's text, or what else there is to read; of a refusal that is its result.
fn text(record: &Record) -> Option<String> {
    if record.kind == Kind::Refused {
        return None;
    }
    let statement = record.values.text.as_ref().map(|text| String::from_utf8_lossy(text).into_owned());
    statement.or_else(|| record.values.message.clone()).or_else(|| called(record)).or_else(|| copied(record))
}

/// `lo_open`.
fn called(record: &Record) -> Option<String> {
    record.skeleton.function.map(function::display)
}

/// `8192 bytes, SHA-256 ba78…`.
fn copied(record: &Record) -> Option<String> {
    let digest = record.values.digest.as_deref().map(hex);
    record.skeleton.copied_bytes.map(|bytes| match digest {
        Some(digest) => format!("{bytes} bytes, SHA-256 {digest}"),
        None => format!("{bytes} bytes"),
    })
}

/// A bind value in words; NULL is `NULL`.
fn bind(bind: &Bind) -> String {
    bind.value.as_ref().map_or_else(|| "NULL".to_owned(), |raw| value::display(bind.type_oid, bind.format, raw))
}

/// `SELECT 3`; `42P01 relation "x" does not exist`; `57P01 aborted, gone` for a session's end (its transaction, its
/// backend); `28P01 wrong password` for a refusal; `unknown` for a statement whose outcome is not recorded.
pub(super) fn result(found: &Found) -> Option<String> {
    if let Some(fault) = &found.fault {
        return Some(format!("does not open: {fault}; run \"portreeve audit verify\""));
    }
    if !found.still_sealed.is_empty() {
        let (erased, sealed): (Vec<Part>, _) = found.still_sealed.iter().partition(|part| found.erased.contains(part));
        let told = |word: &str, parts: Vec<Part>| {
            let parts: Vec<String> = parts.iter().map(ToString::to_string).collect();
            (!parts.is_empty()).then(|| format!("{word}: {}", parts.join(" and ")))
        };
        let told: Vec<String> = [told("erased", erased), told("sealed", sealed)].into_iter().flatten().collect();
        return Some(told.join(", "));
    }
    let record = match &found.outcome {
        None if found.record.awaits_outcome() => return Some("unknown".to_owned()),
        outcome => outcome.as_ref().unwrap_or(&found.record),
    };
    let (skeleton, values) = (&record.skeleton, &record.values);
    let joined = |between: &str, parts: [&Option<String>; 2]| {
        let parts: Vec<&str> = parts.into_iter().flatten().map(String::as_str).collect();
        (!parts.is_empty()).then(|| parts.join(between))
    };
    match record.kind {
        Kind::SessionEnded => {
            return joined(" ", [&skeleton.sqlstate, &joined(", ", [&skeleton.fate, &skeleton.result])]);
        }
        Kind::Refused if values.message.is_some() => return joined(" ", [&skeleton.sqlstate, &values.message]),
        _ => {}
    }
    let message = values.message.as_ref().filter(|_| found.outcome.is_some());
    let error = skeleton.sqlstate.as_ref().map(|sqlstate| match message {
        Some(message) => format!("{sqlstate} {message}"),
        None => sqlstate.clone(),
    });
    error.or_else(|| skeleton.tag.clone()).or_else(|| skeleton.result.clone()).or_else(|| skeleton.fate.clone())
}

/// Everything that one record tells, a row for each thing: of one act, or of frames that came together.
pub(super) fn everything(found: &[Found], names: &Names) -> Table {
    let mut table = Table::new(&["field", "value"]);
    found.iter().for_each(|found| about(&mut table, found, names));
    table
}

fn about(table: &mut Table, found: &Found, names: &Names) {
    let mut put = |field: &str, value: Value| {
        if !value.is_null() {
            table.row([field.into(), value]);
        }
    };
    put("place", place(found).into());
    put("kind", found.record.kind.word().into());
    put("time", found.record.at.to_string().into());
    put("fault", found.fault.clone().into());
    for part in &found.still_sealed {
        let field = if found.erased.contains(part) { "erased" } else { "still sealed" };
        put(field, part.to_string().into());
    }
    put("staff", names.staff(&found.record));
    put("customer", names.customer(&found.record));
    fields(&found.record, "", &mut put);
    if let Some(outcome) = &found.outcome {
        put("outcome time", outcome.at.to_string().into());
        fields(outcome, "outcome ", &mut put);
    }
}

fn fields(record: &Record, prefix: &str, put: &mut impl FnMut(&str, Value)) {
    // Each is named, so that none can be forgotten.
    let crate::audit::record::Skeleton {
        // A search has unfolded them.
        further: _,
        session,
        staff,
        grant,
        frame,
        verb,
        tag,
        sqlstate,
        rows,
        bytes,
        duration_us,
        relations,
        result,
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
        owner,
        uid,
        copied_bytes,
        copied_lines,
        begun_by,
        function: called,
    } = &record.skeleton;
    let crate::audit::record::Values {
        further: _,
        text_before: _,
        text,
        encoding,
        binds,
        statement,
        portal,
        staff: name,
        reason,
        ticket,
        address,
        application,
        customer,
        database,
        message,
        from,
        owner: owner_name,
        digest,
    } = &record.values;
    let fields: [(&str, Value); 43] = [
        ("session", session.map(|session| session.to_string()).into()),
        ("frame", (*frame).into()),
        ("staff number", (*staff).into()),
        ("staff as given", name.clone().into()),
        ("grant", grant.map(|grant| format!("g{grant}")).into()),
        ("scope", scope.clone().into()),
        ("purpose", purpose.clone().into()),
        ("reason", reason.clone().into()),
        ("ticket", ticket.clone().into()),
        ("owner number", (*owner).into()),
        ("owner", owner_name.clone().into()),
        ("user id", (*uid).into()),
        ("address", address.clone().into()),
        ("from", from.clone().into()),
        ("application", application.clone().into()),
        ("customer as given", customer.clone().into()),
        ("database", database.clone().into()),
        ("role", role.clone().into()),
        ("backend", (*backend).into()),
        ("verb", verb.clone().into()),
        ("gate", gate.clone().into()),
        ("text", lossy(text).into()),
        ("encoding", encoding.clone().into()),
        ("relations", relations.clone().into()),
        ("prepared statement", lossy(statement).into()),
        ("portal", lossy(portal).into()),
        ("row limit", (*row_limit).into()),
        ("function", called.map(function::display).into()),
        ("copied bytes", (*copied_bytes).into()),
        ("copied lines", (*copied_lines).into()),
        ("copied digest", digest.as_deref().map(hex).into()),
        ("copy begun by frame", (*begun_by).into()),
        ("result", result.clone().into()),
        ("tag", tag.clone().into()),
        ("sqlstate", sqlstate.clone().into()),
        ("message", message.clone().into()),
        ("rows", (*rows).into()),
        ("bytes", (*bytes).into()),
        ("duration ms", duration_us.map(milliseconds).into()),
        ("fate", fate.clone().into()),
        ("register event", event.clone().into()),
        ("register sequence", (*sequence).into()),
        ("count", (*count).into()),
    ];
    for (field, value) in fields {
        put(&format!("{prefix}{field}"), value);
    }
    put_binds(binds.as_deref().unwrap_or_default(), prefix, put);
}

fn put_binds(binds: &[Bind], prefix: &str, put: &mut impl FnMut(&str, Value)) {
    for (index, given) in binds.iter().enumerate() {
        put(&format!("{prefix}bind ${} (type {})", index + 1, given.type_oid), bind(given).into());
    }
}

fn lossy(bytes: &Option<Vec<u8>>) -> Option<String> {
    bytes.as_ref().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}

/// A record of which nobody can say more than where it stands: both its parts were erased.
pub(super) fn unclaimed(place: &str, kind: Kind, at: Timestamp) -> Table {
    let mut table = Table::new(&["field", "value"]);
    table.row(["place".into(), place.into()]);
    table.row(["kind".into(), kind.word().into()]);
    table.row(["time".into(), at.to_string().into()]);
    table.row(["erased".into(), "values and skeleton: claimed by no living key".into()]);
    table
}
