//! Prepared lines and their portals: what Parse and Bind leave behind for Execute.
//! Not here: recording and doing (`seat`).

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::answers::{Answer, TEXT};
use super::line::{self, Line, Value};
use crate::audit::record::Bind;
use crate::statement::value;
use crate::wire::response::{Report, Severity};
use crate::wire::sqlstate;

/// How many statements, and how many portals, one session may keep.
const KEPT_MAX: usize = 64;
/// How many parameters a line may have: more than it has places for values.
const PARAMETERS_MAX: usize = 32;
/// `unknown`, which drivers send for texts.
const UNKNOWN: u32 = 705;
/// Types whose binary format is read: texts and whole numbers.
const READ: [u32; 8] = [TEXT, 1043, 1042, 19, 18, 20, 21, 23];

/// A prepared line.
#[derive(Debug)]
pub(super) struct Prepared {
    /// As typed.
    pub(super) text: String,
    /// What it says; none: it is blank.
    pub(super) line: Option<Line>,
    /// The type of each parameter.
    pub(super) types: Vec<u32>,
}

/// How far a portal has come.
#[derive(Debug)]
pub(super) enum Progress {
    /// Nothing was done.
    Bound,
    /// It was done; of the answer so many rows were sent.
    Done(Answer, usize),
    /// Everything was sent, or it failed.
    Over,
}

/// A line with its values.
#[derive(Debug)]
pub(super) struct Portal {
    pub(super) prepared: Arc<Prepared>,
    pub(super) values: Vec<Option<String>>,
    /// The values as they came, for the record; a code is not among them.
    pub(super) binds: Vec<Bind>,
    pub(super) formats: Vec<u16>,
    pub(super) progress: Progress,
}

/// What one session has prepared and bound.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    statements: HashMap<Bytes, Arc<Prepared>>,
    portals: HashMap<Bytes, Portal>,
}

fn error(sqlstate: &'static str, message: impl Into<String>) -> Report {
    Report::new(Severity::Error, sqlstate, message)
}

fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

impl Prepared {
    /// Reads a line for later.
    pub(super) fn read(text: &str, declared: &[u32]) -> Result<Prepared, Report> {
        let mut lines = line::read(text)?;
        if lines.len() > 1 {
            let message = "cannot insert multiple commands into a prepared statement";
            return Err(error(sqlstate::SYNTAX_ERROR, message).hint("Prepare one line at a time."));
        }
        let line = lines.pop();
        let used = line.as_ref().map_or(0, Line::parameters);
        if used > PARAMETERS_MAX || declared.len() > PARAMETERS_MAX {
            return Err(error(sqlstate::UNDEFINED_PARAMETER, "there are too many parameters"));
        }
        let known = |index: usize| declared.get(index).copied().filter(|oid| *oid != 0 && *oid != UNKNOWN);
        let types = (0..used.max(declared.len())).map(|index| known(index).unwrap_or(TEXT)).collect();
        Ok(Prepared { text: text.to_owned(), line, types })
    }

    /// The values in words, and as they are recorded.
    fn bind(&self, formats: &[u16], raw: &[Option<Bytes>]) -> Result<(Vec<Option<String>>, Vec<Bind>), Report> {
        if raw.len() != self.types.len() {
            let (given, needed) = (raw.len(), self.types.len());
            let message = format!("bind message supplies {given} parameters, but the line requires {needed}");
            return Err(error(sqlstate::PROTOCOL_VIOLATION, message));
        }
        let code = self.line.as_ref().and_then(Line::code_parameter);
        let (mut values, mut binds) = (Vec::new(), Vec::new());
        for (index, (value, type_oid)) in raw.iter().zip(self.types.iter().copied()).enumerate() {
            let format = if formats.len() == 1 { formats.first() } else { formats.get(index) };
            let format = format.copied().unwrap_or(0);
            values.push(value.as_ref().map(|raw| read(index, type_oid, format, raw)).transpose()?);
            // The code opens access to whoever reads it.
            let value = value.as_ref().filter(|_| code != Some(index)).map(|raw| raw.to_vec());
            binds.push(Bind { type_oid, format, value });
        }
        Ok((values, binds))
    }
}

/// A value in words.
fn read(index: usize, type_oid: u32, format: u16, raw: &Bytes) -> Result<String, Report> {
    let number = index + 1;
    match format {
        0 => {}
        1 if READ.contains(&type_oid) => {}
        _ => {
            let message = format!("parameter ${number} is in a format that the desk does not read");
            return Err(error(sqlstate::FEATURE_NOT_SUPPORTED, message).hint("Send it as a text."));
        }
    }
    let is_text = format == 0 || !matches!(type_oid, 20 | 21 | 23);
    if is_text && std::str::from_utf8(raw).is_err() {
        return Err(error(sqlstate::CHARACTER_NOT_IN_REPERTOIRE, format!("parameter ${number} is not UTF-8")));
    }
    Ok(value::display(type_oid, format, raw))
}

impl Shelf {
    pub(super) fn prepare(&mut self, name: Bytes, prepared: Prepared) -> Result<(), Report> {
        if !name.is_empty() && self.statements.contains_key(&name) {
            let message = format!("prepared statement \"{}\" already exists", shown(&name));
            return Err(error(sqlstate::DUPLICATE_PREPARED_STATEMENT, message));
        }
        room(self.statements.len())?;
        self.statements.insert(name, Arc::new(prepared));
        Ok(())
    }

    pub(super) fn statement(&self, name: &Bytes) -> Result<&Arc<Prepared>, Report> {
        let missing = || {
            let message = format!("prepared statement \"{}\" does not exist", shown(name));
            error(sqlstate::INVALID_SQL_STATEMENT_NAME, message)
        };
        self.statements.get(name).ok_or_else(missing)
    }

    pub(super) fn bind(
        &mut self,
        (portal, statement): (Bytes, &Bytes),
        (formats, raw): (&[u16], &[Option<Bytes>]),
        result_formats: Vec<u16>,
    ) -> Result<(), Report> {
        let prepared = Arc::clone(self.statement(statement)?);
        let columns = prepared.line.as_ref().and_then(Line::columns).map_or(0, <[_]>::len);
        if result_formats.len() > 1 && result_formats.len() != columns {
            let message =
                format!("bind message has {} result formats but the line has {columns} columns", result_formats.len());
            return Err(error(sqlstate::PROTOCOL_VIOLATION, message));
        }
        let (values, binds) = prepared.bind(formats, raw)?;
        room(self.portals.len())?;
        let bound = Portal { prepared, values, binds, formats: result_formats, progress: Progress::Bound };
        self.portals.insert(portal, bound);
        Ok(())
    }

    pub(super) fn portal(&mut self, name: &Bytes) -> Result<&mut Portal, Report> {
        let missing = || error(sqlstate::INVALID_CURSOR_NAME, format!("portal \"{}\" does not exist", shown(name)));
        self.portals.get_mut(name).ok_or_else(missing)
    }

    pub(super) fn close_statement(&mut self, name: &Bytes) {
        self.statements.remove(name);
    }

    pub(super) fn close_portal(&mut self, name: &Bytes) {
        self.portals.remove(name);
    }

    /// Outside of a transaction no portal outlives a Sync.
    pub(super) fn close_portals(&mut self) {
        self.portals.clear();
    }

    /// As DEALLOCATE and DISCARD say, and as whoever hands the session on expects.
    pub(super) fn forget(&mut self) {
        self.statements.clear();
    }
}

fn room(kept: usize) -> Result<(), Report> {
    if kept < KEPT_MAX {
        return Ok(());
    }
    let message = format!("at most {KEPT_MAX} statements and as many portals are kept in one session of the desk");
    Err(error(sqlstate::PROGRAM_LIMIT_EXCEEDED, message).hint("Close those that are no longer needed."))
}

/// The value, as typed or bound; none: the parameter is NULL.
pub(super) fn given(value: &Value, values: &[Option<String>]) -> Result<Option<String>, Report> {
    match value {
        Value::Given(text) => Ok(Some(text.clone())),
        Value::Parameter(index) => {
            let missing = || {
                let message = format!("there is no parameter ${}", index.saturating_add(1));
                error(sqlstate::UNDEFINED_PARAMETER, message)
            };
            values.get(*index).cloned().ok_or_else(missing)
        }
    }
}

#[cfg(test)]
#[path = "prepared_tests.rs"]
mod tests;
