//! The record of a line at the desk, which comes first, and of what became of it. Both are the vendor's own.
//! Not here: doing it (`doing`), for which [`Recorded`] is the proof that it is written down.

use super::NAME;
use super::answers::Answer;
use super::doing::Sitter;
use super::lexer::without_codes;
use crate::audit::record::{Bind, Kind, Record};
use crate::log::{Claim, Error, Receipt};
use crate::proxy::Gate;
use crate::wire::response::Report;

/// Proof that a line is recorded: without it nothing is done, and nothing is answered but errors of the protocol.
pub(super) struct Recorded(Receipt);

/// What a record says of a line.
#[derive(Default)]
pub(super) struct Said<'a> {
    /// The frontend message.
    pub(super) verb: &'static str,
    /// The line as typed.
    pub(super) text: &'a [u8],
    /// The prepared statement's name.
    pub(super) statement: &'a [u8],
    /// The portal's name.
    pub(super) portal: Option<&'a [u8]>,
    /// The values, where they are known.
    pub(super) binds: Option<Vec<Bind>>,
    /// Execute's row limit.
    pub(super) row_limit: Option<i32>,
}

impl Recorded {
    /// Records a line, without the codes it may hold, and waits until that is durable. `number` counts from 1.
    pub(super) async fn line(gate: &Gate, who: &Sitter, number: u64, said: Said<'_>) -> Result<Recorded, Error> {
        let mut record = blank(gate, who, Kind::Desk);
        record.skeleton.verb = Some(said.verb.to_owned());
        record.skeleton.sequence = Some(gate.follower.state().sequence().0);
        record.skeleton.row_limit = said.row_limit.map(i64::from);
        let text = without_codes(&String::from_utf8_lossy(said.text));
        record.values.text = Some(text.into_bytes());
        record.values.encoding = Some("UTF8".to_owned());
        record.values.binds = said.binds.filter(|binds| !binds.is_empty());
        record.values.statement = Some(said.statement.to_vec()).filter(|name| !name.is_empty());
        record.values.portal = said.portal.map(<[u8]>::to_vec).filter(|name| !name.is_empty());
        record.values.staff = Some(who.name.clone());
        record.values.customer = Some(NAME.to_owned());
        record.values.application = Some(who.application.clone());
        record.values.address = Some(who.address.to_string());
        gate.log.append(record, Claim::of(who.session, number))?.durable().await.map(Recorded)
    }

    /// Records what became of the line; nobody waits for it.
    pub(super) fn conclude(&self, gate: &Gate, who: &Sitter, outcome: &Result<Answer, Report>) -> Result<(), Error> {
        let mut record = blank(gate, who, Kind::Outcome);
        record.skeleton.frame = Some(self.0.frame());
        match outcome {
            Ok(answer) => {
                record.skeleton.result = Some("done".to_owned());
                record.skeleton.tag = Some(answer.tag.clone()).filter(|tag| !tag.is_empty());
                record.skeleton.rows = u64::try_from(answer.rows.len()).ok();
            }
            Err(report) => {
                record.skeleton.result = Some("error".to_owned());
                record.skeleton.sqlstate = Some(report.sqlstate.to_owned());
                record.values.message = Some(without_codes(&report.message));
            }
        }
        gate.log.note(record)
    }
}

/// A record of that session which says nothing yet.
pub(super) fn blank(gate: &Gate, who: &Sitter, kind: Kind) -> Record {
    let mut record = Record::new(gate.clock.now(), kind, None);
    record.skeleton.session = Some(who.session);
    record.skeleton.staff = Some(who.staff.0);
    record
}
