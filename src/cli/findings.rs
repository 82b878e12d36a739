//! What a doctor says: a row about each place that was looked at, and whether all of it is well.
//! Not here: looking.

use super::{Exit, Table};

/// What was looked at.
#[derive(Debug)]
pub(super) struct Findings {
    table: Table,
    is_well: bool,
}

impl Findings {
    pub(super) fn new() -> Findings {
        Findings { table: Table::new(&["what", "place", "verdict", "detail"]), is_well: true }
    }

    /// A row about one place: what is right about it, or what is wrong and what to do.
    pub(super) fn say(&mut self, what: &str, place: impl ToString, found: Result<String, String>) {
        self.is_well &= found.is_ok();
        let (verdict, detail) = match found {
            Ok(detail) => ("ok", detail),
            Err(detail) => ("wrong", detail),
        };
        self.row(what, place, verdict, detail);
    }

    /// A row about something that works, and that somebody should know of.
    pub(super) fn note(&mut self, what: &str, place: impl ToString, detail: String) {
        self.row(what, place, "note", detail);
    }

    fn row(&mut self, what: &str, place: impl ToString, verdict: &str, detail: String) {
        self.table.row([what.into(), place.to_string().into(), verdict.into(), detail.into()]);
    }

    /// All rows, and exit code 4 if something is wrong.
    pub(super) fn told(self) -> (Table, Exit) {
        (self.table, if self.is_well { Exit::Done } else { Exit::Findings })
    }
}
