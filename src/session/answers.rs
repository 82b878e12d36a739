//! The server's half of a session: each message belongs to the frame that is first in the queue, or to none. An error
//! in Parse, Bind, Describe, Execute or Close skips what comes until Sync; an error in Query or Sync does not.
//! Not here: the messages' layout (`wire::backend`).

use crate::clock::Timestamp;
use crate::session::names::Name;
use crate::session::state::{Act, Awaited, Skip, Skipped, State};
use crate::session::{Ending, Event, Outcome};
use crate::wire::backend::{Backend, Fields, TransactionStatus, Types};
use crate::wire::frontend::Target;
use crate::wire::{Fault, sqlstate};

/// What the server answers to CopyFail.
const COPY_FAILED: &str = sqlstate::QUERY_CANCELED;

/// Tags of one Query are joined up to so many bytes; the rest is counted.
const TAGS_BYTES_MAX: usize = 256;

/// Tags of commands after which a portal may be gone. ROLLBACK TO has the tag of ROLLBACK.
const PORTALS_END: [&[u8]; 6] =
    [b"COMMIT", b"ROLLBACK", b"PREPARE TRANSACTION", b"CLOSE CURSOR", b"CLOSE CURSOR ALL", b"DISCARD ALL"];

impl State {
    pub(super) fn server(&mut self, message: Backend<'_>, now: Timestamp, out: &mut Vec<Event>) -> Result<(), Fault> {
        out.append(&mut self.late);
        self.answered(message, now, out)?;
        self.sweep(now, out);
        Ok(())
    }

    fn answered(&mut self, message: Backend<'_>, now: Timestamp, out: &mut Vec<Event>) -> Result<(), Fault> {
        match message {
            Backend::DataRow { bytes } | Backend::CopyData { bytes } => self.row(bytes),
            Backend::CommandComplete { tag } => self.command_complete(tag, now, out),
            Backend::ReadyForQuery(status) => self.ready(status, now, out),
            Backend::ErrorResponse(fields) => {
                self.error(fields, now, out);
                Ok(())
            }
            Backend::ParseComplete => self.parse_complete(now, out),
            Backend::BindComplete => self.bind_complete(now, out),
            Backend::CloseComplete => self.close_complete(now, out),
            Backend::ParameterDescription(types) => self.parameter_description(types),
            Backend::RowDescription { .. } => self.row_description(now, out),
            Backend::NoData => self.no_data(now, out),
            Backend::EmptyQuery => self.empty_query(now, out),
            Backend::PortalSuspended => self.suspended(now, out),
            Backend::CopyOut { .. } | Backend::CopyDone => self.runs("COPY"),
            Backend::CopyIn { is_text, .. } => self.copy_in(is_text, out),
            Backend::CopyBoth { .. } => {
                out.push(Event::CopyBothStarted);
                self.runs("CopyBothResponse")
            }
            Backend::NotificationResponse { channel, .. } => {
                out.push(Event::Notification { channel: channel.to_vec() });
                Ok(())
            }
            Backend::ParameterStatus { name, value } => {
                let [name, value] = [name, value].map(|text| String::from_utf8_lossy(text).into_owned());
                self.learn(&name, &value);
                out.push(Event::ParameterStatus { name, value });
                Ok(())
            }
            Backend::Authentication { .. } | Backend::BackendKeyData { .. } if self.opening => Ok(()),
            Backend::Authentication { .. } => Err(self.unasked("Authentication")),
            Backend::BackendKeyData { .. } => Err(self.unasked("BackendKeyData")),
            Backend::FunctionCallResponse { bytes } => self.function_answered(bytes),
            Backend::NoticeResponse(_) | Backend::Other { .. } => Ok(()),
        }
    }

    fn unasked(&self, message: &str) -> Fault {
        let asked = match self.queue.front() {
            None => "nothing".to_owned(),
            Some(Awaited { act: Act::Sync { .. }, .. }) => "Sync".to_owned(),
            Some(awaited) => format!("frame {}", awaited.frame),
        };
        Fault::upstream(format!("{message} came as the answer to {asked}"))
    }

    /// Only Query and Execute run something; while a COPY waits for its data, nothing else comes of it.
    pub(super) fn runs(&mut self, message: &str) -> Result<(), Fault> {
        if self.copying.is_some() || !self.queue.front().is_some_and(|awaited| awaited.act.runs()) {
            return Err(self.unasked(message));
        }
        self.heard = true;
        self.surplus = 0;
        Ok(())
    }

    fn function_answered(&mut self, bytes: u64) -> Result<(), Fault> {
        if !matches!(self.queue.front(), Some(Awaited { act: Act::FunctionCall { .. }, .. })) {
            return Err(self.unasked("FunctionCallResponse"));
        }
        self.bytes += bytes;
        self.heard = true;
        self.surplus = 0;
        Ok(())
    }

    fn row(&mut self, bytes: u64) -> Result<(), Fault> {
        self.rows += 1;
        self.bytes += bytes;
        self.runs("a row")
    }

    /// Takes the first awaited frame if it is of the kind that `message` answers.
    fn take(&mut self, message: &str, fits: impl FnOnce(&Act) -> bool) -> Result<Awaited, Fault> {
        let is_copying = self.copying.is_some();
        match self.queue.pop_front_if(|awaited| !is_copying && fits(&awaited.act)) {
            Some(awaited) => {
                if !matches!(awaited.act, Act::Query { .. } | Act::FunctionCall { .. } | Act::Sync { .. }) {
                    self.surplus = 0;
                }
                Ok(awaited)
            }
            None => Err(self.unasked(message)),
        }
    }

    /// Tells a frame's outcome, with the rows and tags that were counted for it.
    fn told(&mut self, frame: u64, since: Timestamp, now: Timestamp, result: Ending, out: &mut Vec<Event>) {
        let outcome = self.outcome(frame, since, now, result);
        out.push(Event::Outcome(outcome));
    }

    fn outcome(&mut self, frame: u64, since: Timestamp, now: Timestamp, result: Ending) -> Outcome {
        let mut tag = self.tags.take();
        if let (Some(tag), 1..) = (&mut tag, self.further_tags) {
            tag.push_str(&format!("; and {} more", self.further_tags));
        }
        self.further_tags = 0;
        self.heard = false;
        Outcome {
            tag,
            rows: std::mem::take(&mut self.rows),
            bytes: std::mem::take(&mut self.bytes),
            ..Outcome::plain(frame, since, now, result)
        }
    }

    fn parse_complete(&mut self, now: Timestamp, out: &mut Vec<Event>) -> Result<(), Fault> {
        let Awaited { frame, since, act } = self.take("ParseComplete", |act| matches!(act, Act::Parse { .. }))?;
        if let Act::Parse { name, prepared } = act {
            self.queued_bytes -= prepared.as_deref().map_or(0, |prepared| prepared.text.len());
            self.statements.settle(name, frame, prepared);
        }
        self.told(frame, since, now, Ending::Done, out);
        Ok(())
    }

    fn bind_complete(&mut self, now: Timestamp, out: &mut Vec<Event>) -> Result<(), Fault> {
        let Awaited { frame, since, act } = self.take("BindComplete", |act| matches!(act, Act::Bind { .. }))?;
        if let Act::Bind { portal, prepared } = act {
            self.portals.settle(portal, frame, prepared);
        }
        self.told(frame, since, now, Ending::Done, out);
        Ok(())
    }

    fn close_complete(&mut self, now: Timestamp, out: &mut Vec<Event>) -> Result<(), Fault> {
        let Awaited { frame, since, act } = self.take("CloseComplete", |act| matches!(act, Act::Close { .. }))?;
        if let Act::Close { target, name } = act {
            match target {
                Target::Statement => self.statements.settle(name, frame, None),
                Target::Portal => self.portals.settle(name, frame, None),
            }
        }
        self.told(frame, since, now, Ending::Done, out);
        Ok(())
    }

    fn parameter_description(&mut self, types: Types<'_>) -> Result<(), Fault> {
        match self.queue.front().map(|awaited| &awaited.act) {
            Some(Act::Describe { statement: Some(name) }) => {
                self.statements.learn_types(name, types.iter());
                Ok(())
            }
            Some(
                Act::Describe { statement: None }
                | Act::Query { .. }
                | Act::Parse { .. }
                | Act::Bind { .. }
                | Act::Execute { .. }
                | Act::FunctionCall { .. }
                | Act::CopyDone
                | Act::CopyFail { .. }
                | Act::Close { .. }
                | Act::Sync { .. },
            )
            | None => Err(self.unasked("ParameterDescription")),
        }
    }

    /// The last message for a Describe, the first of a Query's result.
    fn row_description(&mut self, now: Timestamp, out: &mut Vec<Event>) -> Result<(), Fault> {
        match self.runs("RowDescription") {
            Ok(()) => Ok(()),
            Err(_) => self.described("RowDescription", now, out),
        }
    }

    fn no_data(&mut self, now: Timestamp, out: &mut Vec<Event>) -> Result<(), Fault> {
        self.described("NoData", now, out)
    }

    fn described(&mut self, message: &str, now: Timestamp, out: &mut Vec<Event>) -> Result<(), Fault> {
        let Awaited { frame, since, .. } = self.take(message, |act| matches!(act, Act::Describe { .. }))?;
        self.told(frame, since, now, Ending::Done, out);
        Ok(())
    }

    fn command_complete(&mut self, tag: &[u8], now: Timestamp, out: &mut Vec<Event>) -> Result<(), Fault> {
        self.copy_complete(tag, now, out)?;
        self.runs("CommandComplete")?;
        self.add_tag(tag);
        let deallocates = match self.queue.front().map(|awaited| &awaited.act) {
            Some(Act::Query { deallocates, .. }) => deallocates.clone(),
            Some(Act::Execute { prepared }) => prepared.as_deref().and_then(|prepared| prepared.deallocates.clone()),
            Some(
                Act::Parse { .. }
                | Act::Bind { .. }
                | Act::Describe { .. }
                | Act::FunctionCall { .. }
                | Act::CopyDone
                | Act::CopyFail { .. }
                | Act::Close { .. }
                | Act::Sync { .. },
            )
            | None => None,
        };
        self.names_after(tag, deallocates);
        self.executed_to_end(Ending::Done, now, out);
        Ok(())
    }

    /// What a command did to names. Too many may go, as then a text is missing; too few would show a wrong one.
    fn names_after(&mut self, tag: &[u8], deallocates: Option<Name>) {
        if tag == b"DEALLOCATE" {
            match deallocates {
                Some(name) => self.statements.remove(&name),
                None => self.statements.clear(),
            }
        }
        if tag == b"DEALLOCATE ALL" || tag == b"DISCARD ALL" {
            self.statements.clear();
        }
        if PORTALS_END.contains(&tag) {
            self.portals.clear();
        }
    }

    fn add_tag(&mut self, tag: &[u8]) {
        let tag = String::from_utf8_lossy(tag);
        match &mut self.tags {
            None => self.tags = Some(tag.into_owned()),
            Some(tags) if tags.len() + tag.len() <= TAGS_BYTES_MAX => {
                tags.push_str("; ");
                tags.push_str(&tag);
            }
            Some(_) => self.further_tags += 1,
        }
    }

    /// If an Execute is first, that was all of it; a Query goes on until ReadyForQuery.
    fn executed_to_end(&mut self, result: Ending, now: Timestamp, out: &mut Vec<Event>) {
        let executed = self.queue.pop_front_if(|awaited| matches!(awaited.act, Act::Execute { .. }));
        if let Some(Awaited { frame, since, .. }) = executed {
            self.told(frame, since, now, result, out);
        }
    }

    fn empty_query(&mut self, now: Timestamp, out: &mut Vec<Event>) -> Result<(), Fault> {
        self.runs("EmptyQueryResponse")?;
        self.executed_to_end(Ending::Done, now, out);
        Ok(())
    }

    fn suspended(&mut self, now: Timestamp, out: &mut Vec<Event>) -> Result<(), Fault> {
        let Awaited { frame, since, .. } = self.take("PortalSuspended", |act| matches!(act, Act::Execute { .. }))?;
        self.told(frame, since, now, Ending::Suspended, out);
        Ok(())
    }

    fn error(&mut self, fields: Fields<'_>, now: Timestamp, out: &mut Vec<Event>) {
        let (code, message) = (fields.sqlstate(), fields.message());
        let fatal = fields.is_fatal();
        let broken = self.copy_broke();
        let is_query =
            matches!(self.queue.front(), Some(Awaited { act: Act::Query { .. } | Act::FunctionCall { .. }, .. }));
        let failed = match self.queue.front_mut() {
            Some(Awaited { act: Act::Query { answered, .. } | Act::FunctionCall { answered }, frame, since }) => {
                *answered = true;
                Some((*frame, *since))
            }
            // The transaction failed as it was to be committed. A FATAL here says nothing about that.
            Some(Awaited { act: Act::Sync { executed }, since, .. }) => {
                (*executed != 0 && !fatal && self.skip == Skip::No).then_some((*executed, *since))
            }
            Some(Awaited {
                act:
                    Act::Parse { .. } | Act::Bind { .. } | Act::Describe { .. } | Act::Execute { .. } | Act::Close { .. },
                ..
            }) => self.fail_extended(now),
            Some(Awaited { act: Act::CopyDone | Act::CopyFail { .. }, .. }) | None => None,
        };
        let words = || (Some(code.clone()), Some(message.clone()));
        if let Some((frame, since)) = failed {
            let is_given_up = broken.given_up && code == COPY_FAILED;
            let outcome = self.outcome(frame, since, now, if is_given_up { Ending::GivenUp } else { Ending::Error });
            let (sqlstate, message) = words();
            out.push(Event::Outcome(Outcome { sqlstate, message, copied: broken.copied, ..outcome }));
        }
        if let Some(Awaited { frame, since, .. }) = broken.done {
            let (sqlstate, message) = words();
            out.push(Event::Outcome(Outcome { sqlstate, message, ..Outcome::plain(frame, since, now, Ending::Error) }));
        }
        self.heard |= is_query;
        self.skip_to_sync(now, out);
        if fatal {
            out.push(Event::Fatal { sqlstate: code, message });
        }
    }

    /// The first awaited frame failed, and the server will skip what follows.
    fn fail_extended(&mut self, now: Timestamp) -> Option<(u64, Timestamp)> {
        let failed = self.queue.pop_front()?;
        self.give_up(&failed);
        if let Act::Parse { name, .. } = &failed.act {
            // The server dropped the old unnamed statement before it looked at the new one.
            if name.is_unnamed() {
                self.statements.remove(name);
            }
        }
        self.skip = Skip::SyncMissing(Skipped { first: 0, count: 0, since: now });
        Some((failed.frame, failed.since))
    }

    /// Tells of the frames that are skipped, as far as they came, if the server skips.
    fn skip_to_sync(&mut self, now: Timestamp, out: &mut Vec<Event>) {
        let Skip::SyncMissing(skipped) = self.skip else { return };
        while let Some(awaited) = self.queue.pop_front_if(|awaited| !matches!(awaited.act, Act::Sync { .. })) {
            self.give_up(&awaited);
            if awaited.frame != 0 {
                self.told(awaited.frame, awaited.since, now, Ending::Skipped, out);
            }
        }
        if !self.queue.is_empty() {
            self.skip = Skip::ToSync(skipped);
        }
    }

    /// The server does not do what this frame asked.
    fn give_up(&mut self, awaited: &Awaited) {
        let frame = awaited.frame;
        match &awaited.act {
            Act::Query { .. } => {
                let unnamed = Name::new(b"");
                self.statements.give_up(&unnamed, frame);
                self.portals.give_up(&unnamed, frame);
            }
            Act::Parse { name, prepared } => {
                self.queued_bytes -= prepared.as_deref().map_or(0, |prepared| prepared.text.len());
                self.statements.give_up(name, frame);
            }
            Act::Bind { portal, .. } => self.portals.give_up(portal, frame),
            Act::Close { target: Target::Statement, name } => self.statements.give_up(name, frame),
            Act::Close { target: Target::Portal, name } => self.portals.give_up(name, frame),
            Act::Describe { .. }
            | Act::Execute { .. }
            | Act::FunctionCall { .. }
            | Act::CopyDone
            | Act::CopyFail { .. }
            | Act::Sync { .. } => {}
        }
    }

    fn ready(&mut self, status: TransactionStatus, now: Timestamp, out: &mut Vec<Event>) -> Result<(), Fault> {
        if self.is_surplus() {
            self.surplus -= 1;
            self.synced(now, out);
        } else if !self.opening {
            let ends = |act: &Act| matches!(act, Act::Query { .. } | Act::FunctionCall { .. } | Act::Sync { .. });
            let ended = self.take("ReadyForQuery", ends)?;
            self.ended(ended, now, out);
            self.heard = false;
        }
        self.status = status;
        if status == TransactionStatus::Idle {
            self.portals.clear();
        }
        out.push(Event::ReadyForQuery(status));
        Ok(())
    }

    /// Whether a ReadyForQuery that comes now must be that of a Sync which a failed COPY did not ignore after all.
    fn is_surplus(&self) -> bool {
        self.surplus > 0
            && match self.queue.front().map(|awaited| &awaited.act) {
                Some(Act::Sync { .. }) => false,
                Some(Act::Query { .. } | Act::FunctionCall { .. }) => !self.heard,
                Some(
                    Act::Parse { .. }
                    | Act::Bind { .. }
                    | Act::Describe { .. }
                    | Act::Execute { .. }
                    | Act::Close { .. }
                    | Act::CopyDone
                    | Act::CopyFail { .. },
                )
                | None => true,
            }
    }

    /// A Sync ended what the server skipped.
    fn synced(&mut self, now: Timestamp, out: &mut Vec<Event>) {
        match std::mem::replace(&mut self.skip, Skip::No) {
            Skip::ToSync(Skipped { first, count, since }) | Skip::SyncMissing(Skipped { first, count, since }) => {
                (first..first + count).for_each(|frame| self.told(frame, since, now, Ending::Skipped, out));
            }
            Skip::No => {}
        }
    }

    fn ended(&mut self, ended: Awaited, now: Timestamp, out: &mut Vec<Event>) {
        match ended.act {
            Act::Query { answered, .. } => {
                let unnamed = Name::new(b"");
                self.statements.settle(unnamed.clone(), ended.frame, None);
                self.portals.settle(unnamed, ended.frame, None);
                if !answered {
                    self.told(ended.frame, ended.since, now, Ending::Done, out);
                }
            }
            Act::FunctionCall { answered } => {
                if !answered {
                    self.told(ended.frame, ended.since, now, Ending::Done, out);
                }
            }
            Act::Sync { .. } => self.synced(now, out),
            Act::Parse { .. }
            | Act::Bind { .. }
            | Act::Describe { .. }
            | Act::Execute { .. }
            | Act::Close { .. }
            | Act::CopyDone
            | Act::CopyFail { .. } => {}
        }
    }
}
