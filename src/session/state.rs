//! The client's half of a session: what each frame is, what its record says, and what the server owes for it.
//! Not here: what the server answers (`answers`).

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::audit::record::{Bind, Skeleton, Values};
use crate::clock::Timestamp;
use crate::session::copying::{Copied, Copying, Running};
use crate::session::deallocate::deallocated;
use crate::session::names::{Name, Names, Prepared, TEXT_BYTES_MAX};
use crate::session::{AWAITED_MAX, Event, Statement, Step};
use crate::statement::{function, label};
use crate::wire::backend::TransactionStatus;
use crate::wire::frame::Frame;
use crate::wire::frontend::{Frontend, Target};
use crate::wire::response::{Report, Severity};
use crate::wire::{Fault, sqlstate};

/// A frame that the server has to answer.
#[derive(Debug)]
pub(super) struct Awaited {
    /// Its number; 0 for Sync and CopyFail, which have none.
    pub(super) frame: u64,
    /// When it came.
    pub(super) since: Timestamp,
    /// What it asks.
    pub(super) act: Act,
}

/// What an awaited frame asks, as far as its answer needs it.
#[derive(Debug)]
pub(super) enum Act {
    Query {
        deallocates: Option<Name>,
        answered: bool,
    },
    Parse {
        name: Name,
        prepared: Option<Arc<Prepared>>,
    },
    Bind {
        portal: Name,
        prepared: Option<Arc<Prepared>>,
    },
    Describe {
        statement: Option<Name>,
    },
    Execute {
        prepared: Option<Arc<Prepared>>,
    },
    Close {
        target: Target,
        name: Name,
    },
    FunctionCall {
        answered: bool,
    },
    /// Ends the COPY of the Query or Execute before it; the server says nothing to it.
    CopyDone,
    /// The same, in vain.
    CopyFail {
        copied: Copied,
    },
    /// The last Execute since the Query or Sync before; 0 is none.
    Sync {
        executed: u64,
    },
}

impl Act {
    /// Only Query and Execute run something, a COPY for example.
    pub(super) fn runs(&self) -> bool {
        matches!(self, Act::Query { .. } | Act::Execute { .. })
    }
}

/// After an error in the extended protocol the server skips what comes until a Sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Skip {
    /// It does not skip.
    No,
    /// The Sync is the first that is awaited; these frames were skipped before it came.
    ToSync(Skipped),
    /// The Sync has not come yet, and nothing is awaited; these frames were skipped so far.
    SyncMissing(Skipped),
}

/// Frames one after another that are known to be skipped, and when the first came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Skipped {
    pub(super) first: u64,
    pub(super) count: u64,
    pub(super) since: Timestamp,
}

/// A session but for its walker.
#[derive(Debug)]
pub(super) struct State {
    pub(super) frame: u64,
    pub(super) executed: u64,
    /// Syncs that the client sent.
    pub(super) syncs: u64,
    pub(super) encoding: Arc<str>,
    pub(super) status: TransactionStatus,
    /// Until the client's first frame, the server may still say what belongs to sign-in.
    pub(super) opening: bool,
    pub(super) statements: Names,
    pub(super) portals: Names,
    pub(super) queue: VecDeque<Awaited>,
    /// Bytes of text that wait in `queue` to be settled.
    pub(super) queued_bytes: usize,
    pub(super) skip: Skip,
    /// What the server sent so far for the first awaited frame.
    pub(super) rows: u64,
    pub(super) bytes: u64,
    pub(super) tags: Option<String>,
    pub(super) further_tags: u64,
    /// Whether the server said anything for it yet.
    pub(super) heard: bool,
    /// The server awaits COPY data for the first awaited frame.
    pub(super) copying: Option<Copying>,
    /// COPY data the client sent since its last other frame.
    pub(super) copied: Running,
    /// So many ReadyForQuery may come for Syncs that a failed COPY may or may not have ignored.
    pub(super) surplus: u64,
    /// Outcomes that the client's frames decided by themselves.
    pub(super) late: Vec<Event>,
}

impl State {
    pub(super) fn new() -> Self {
        State {
            frame: 0,
            executed: 0,
            syncs: 0,
            encoding: "SQL_ASCII".into(),
            status: TransactionStatus::Idle,
            opening: true,
            statements: Names::default(),
            portals: Names::default(),
            queue: VecDeque::new(),
            queued_bytes: 0,
            skip: Skip::No,
            rows: 0,
            bytes: 0,
            tags: None,
            further_tags: 0,
            heard: false,
            copying: None,
            copied: Running::default(),
            surplus: 0,
            late: Vec::new(),
        }
    }

    pub(super) fn learn(&mut self, name: &str, value: &str) {
        if name == "client_encoding" && *self.encoding != *value {
            self.encoding = value.into();
        }
    }

    pub(super) fn transaction(&self) -> TransactionStatus {
        self.status
    }

    pub(super) fn encoding(&self) -> &str {
        &self.encoding
    }

    pub(super) fn frame(&self) -> u64 {
        self.frame
    }

    pub(super) fn awaited(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn unanswered(&self) -> Vec<u64> {
        let skipped = match self.skip {
            Skip::No => 0..0,
            Skip::ToSync(skipped) | Skip::SyncMissing(skipped) => skipped.first..skipped.first + skipped.count,
        };
        let awaited = self.queue.iter().filter_map(|awaited| match awaited.act {
            Act::Sync { .. }
            | Act::CopyFail { .. }
            | Act::Query { answered: true, .. }
            | Act::FunctionCall { answered: true } => None,
            Act::Query { answered: false, .. }
            | Act::FunctionCall { answered: false }
            | Act::CopyDone
            | Act::Parse { .. }
            | Act::Bind { .. }
            | Act::Describe { .. }
            | Act::Execute { .. }
            | Act::Close { .. } => Some(awaited.frame),
        });
        skipped.chain(awaited).collect()
    }

    pub(super) fn client(&mut self, frame: &Frame, message: Frontend, now: Timestamp) -> Result<Step, Fault> {
        self.opening = false;
        match message {
            Frontend::Query { text } => self.query(&text, now),
            Frontend::Parse { name, text, types } => self.parse(&name, &text, types, now),
            Frontend::Bind { portal, statement, formats, values, result_formats: _ } => {
                self.bind(&portal, &statement, &formats, values, now)
            }
            Frontend::Execute { portal, max_rows } => self.execute(&portal, max_rows, now),
            Frontend::Describe { target, name } => self.describe(target, &name, now),
            Frontend::Close { target, name } => self.close(target, &name, now),
            Frontend::FunctionCall { oid, formats, values, result_format: _ } => {
                self.function_call(oid, &formats, values, now)
            }
            // Without a COPY under way the server ignores it; with one, it takes effect at CopyDone.
            Frontend::CopyData { .. } => Ok(Step::Copy(self.copied.count(frame))),
            Frontend::CopyDone => self.copy_done(now),
            Frontend::CopyFail { .. } => self.copy_fail(now),
            Frontend::Sync => {
                let executed = std::mem::take(&mut self.executed);
                if !self.sync_while_copying(executed) {
                    self.push(0, now, Act::Sync { executed })?;
                }
                self.syncs += 1;
                Ok(Step::Pass)
            }
            Frontend::Flush => Ok(Step::Pass),
            Frontend::Terminate => Ok(Step::Terminate),
        }
    }

    fn query(&mut self, text: &Bytes, now: Timestamp) -> Result<Step, Fault> {
        let label = label(text);
        let mut statement = self.statement("query");
        statement.skeleton.relations = some(label.relations);
        statement.values.text = Some(text.to_vec());
        // A Query commits what was executed before it, and a Sync after it has nothing of its own to commit.
        self.executed = 0;
        let deallocates = if label.kind == "deallocate" { deallocated(text) } else { None };
        self.push(statement.frame, now, Act::Query { deallocates, answered: false })?;
        Ok(Step::Gate(statement))
    }

    fn parse(&mut self, name: &Bytes, text: &Bytes, types: Vec<u32>, now: Timestamp) -> Result<Step, Fault> {
        let label = label(text);
        let mut statement = self.statement("parse");
        statement.skeleton.relations = some(label.relations.clone());
        statement.values.text = Some(text.to_vec());
        statement.values.statement = Some(name.to_vec());
        let room = self.statements.bytes() + self.queued_bytes + text.len() <= TEXT_BYTES_MAX;
        let prepared = room.then(|| {
            Arc::new(Prepared {
                text: text.as_ref().into(),
                encoding: self.encoding.clone(),
                types,
                relations: label.relations,
                deallocates: if label.kind == "deallocate" { deallocated(text) } else { None },
            })
        });
        self.push(statement.frame, now, Act::Parse { name: Name::new(name), prepared })?;
        Ok(Step::Gate(statement))
    }

    fn bind(
        &mut self,
        portal: &Bytes,
        name: &Bytes,
        formats: &[u16],
        values: Vec<Option<Bytes>>,
        now: Timestamp,
    ) -> Result<Step, Fault> {
        let prepared = self.statements.get(&Name::new(name), self.syncs).cloned();
        let mut statement = self.statement("bind");
        self.resolved(&mut statement, prepared.as_deref());
        statement.values.statement = Some(name.to_vec());
        statement.values.portal = Some(portal.to_vec());
        let types = prepared.as_deref().map(|prepared| prepared.types.as_slice()).unwrap_or_default();
        statement.values.binds = Some(binds(formats, values, types));
        self.push(statement.frame, now, Act::Bind { portal: Name::new(portal), prepared })?;
        Ok(Step::Gate(statement))
    }

    fn execute(&mut self, portal: &Bytes, max_rows: i32, now: Timestamp) -> Result<Step, Fault> {
        let prepared = self.portals.get(&Name::new(portal), self.syncs).cloned();
        let mut statement = self.statement("execute");
        self.resolved(&mut statement, prepared.as_deref());
        // PostgreSQL takes 0 and less for all.
        statement.skeleton.row_limit = Some(i64::from(max_rows.max(0)));
        statement.values.portal = Some(portal.to_vec());
        self.executed = statement.frame;
        self.push(statement.frame, now, Act::Execute { prepared })?;
        Ok(Step::Gate(statement))
    }

    fn describe(&mut self, target: Target, name: &Bytes, now: Timestamp) -> Result<Step, Fault> {
        let key = Name::new(name);
        let names = match target {
            Target::Statement => &self.statements,
            Target::Portal => &self.portals,
        };
        let prepared = names.get(&key, self.syncs).cloned();
        let mut statement = self.statement("describe");
        self.resolved(&mut statement, prepared.as_deref());
        named(&mut statement, target, name);
        let key = match target {
            Target::Statement => Some(key),
            Target::Portal => None,
        };
        self.push(statement.frame, now, Act::Describe { statement: key })?;
        Ok(Step::Gate(statement))
    }

    fn close(&mut self, target: Target, name: &Bytes, now: Timestamp) -> Result<Step, Fault> {
        let mut statement = self.statement("close");
        named(&mut statement, target, name);
        self.push(statement.frame, now, Act::Close { target, name: Name::new(name) })?;
        Ok(Step::Gate(statement))
    }

    fn function_call(
        &mut self,
        oid: u32,
        formats: &[u16],
        values: Vec<Option<Bytes>>,
        now: Timestamp,
    ) -> Result<Step, Fault> {
        let mut statement = self.statement("function-call");
        let types = function::known(oid).map(|function| function.types).unwrap_or_default();
        statement.skeleton.function = Some(oid);
        statement.values.binds = Some(binds(formats, values, types));
        // It commits what was executed before it, as a Query does.
        self.executed = 0;
        self.push(statement.frame, now, Act::FunctionCall { answered: false })?;
        Ok(Step::Gate(statement))
    }

    /// The next gated frame. What COPY data came before it is part of no COPY that comes after it.
    pub(super) fn statement(&mut self, verb: &'static str) -> Statement {
        self.frame += 1;
        self.copied = Running::default();
        let skeleton = Skeleton { frame: Some(self.frame), verb: Some(verb.to_owned()), ..Skeleton::default() };
        let values = Values { encoding: Some(self.encoding.to_string()), ..Values::default() };
        Statement { frame: self.frame, verb, durable_first: false, skeleton, values }
    }

    /// Adds the text behind the name that the frame gives. A text in another encoding than the frame's own values is
    /// left out: it stands in the record of its Parse.
    fn resolved(&self, statement: &mut Statement, prepared: Option<&Prepared>) {
        let Some(prepared) = prepared else {
            statement.skeleton.result = Some("unresolved".to_owned());
            return;
        };
        statement.skeleton.relations = some(prepared.relations.clone());
        if prepared.encoding == self.encoding {
            statement.values.text = Some(prepared.text.to_vec());
        }
    }

    /// Notes what the server owes; or that it will skip the frame.
    pub(super) fn push(&mut self, frame: u64, since: Timestamp, act: Act) -> Result<(), Fault> {
        if let Skip::SyncMissing(skipped) = self.skip {
            self.skip = match act {
                Act::Sync { .. } => Skip::ToSync(skipped),
                Act::Query { .. }
                | Act::Parse { .. }
                | Act::Bind { .. }
                | Act::Describe { .. }
                | Act::Execute { .. }
                | Act::FunctionCall { .. }
                | Act::CopyDone
                | Act::CopyFail { .. }
                | Act::Close { .. } => return self.push_skipped(skipped, frame, since),
            };
        }
        match &act {
            Act::Query { .. } => self.stage_query(frame),
            Act::Parse { name, prepared } => {
                self.queued_bytes += prepared.as_deref().map_or(0, |prepared| prepared.text.len());
                self.statements.stage(name, frame, self.syncs, prepared.clone());
            }
            Act::Bind { portal, prepared } => self.portals.stage(portal, frame, self.syncs, prepared.clone()),
            Act::Close { target: Target::Statement, name } => self.statements.stage(name, frame, self.syncs, None),
            Act::Close { target: Target::Portal, name } => self.portals.stage(name, frame, self.syncs, None),
            Act::Describe { .. }
            | Act::Execute { .. }
            | Act::FunctionCall { .. }
            | Act::CopyDone
            | Act::CopyFail { .. }
            | Act::Sync { .. } => {}
        }
        self.queue.push_back(Awaited { frame, since, act });
        Ok(())
    }

    /// A Query takes the unnamed statement and the unnamed portal away.
    fn stage_query(&mut self, frame: u64) {
        let unnamed = Name::new(b"");
        self.statements.stage(&unnamed, frame, self.syncs, None);
        self.portals.stage(&unnamed, frame, self.syncs, None);
    }

    fn push_skipped(&mut self, skipped: Skipped, frame: u64, since: Timestamp) -> Result<(), Fault> {
        if skipped.count >= AWAITED_MAX as u64 {
            let message = format!("{AWAITED_MAX} messages after an error, and no Sync");
            let report = Report::new(Severity::Fatal, sqlstate::PROGRAM_LIMIT_EXCEEDED, message);
            return Err(Fault::Refused(Box::new(report)));
        }
        self.skip = Skip::SyncMissing(match skipped.count {
            0 => Skipped { first: frame, count: 1, since },
            count => Skipped { count: count + 1, ..skipped },
        });
        Ok(())
    }
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    Some(list).filter(|list| !list.is_empty())
}

fn named(statement: &mut Statement, target: Target, name: &Bytes) {
    let place = match target {
        Target::Statement => &mut statement.values.statement,
        Target::Portal => &mut statement.values.portal,
    };
    *place = Some(name.to_vec());
}

/// Each value with its format (none given: text; one: for all) and its type, as far as it is known.
fn binds(formats: &[u16], values: Vec<Option<Bytes>>, types: &[u32]) -> Vec<Bind> {
    let format = |index| match formats {
        [] => 0,
        [one] => *one,
        each => each.get(index).copied().unwrap_or(0),
    };
    let bind = |(index, value): (usize, Option<Bytes>)| Bind {
        type_oid: types.get(index).copied().unwrap_or(0),
        format: format(index),
        value: value.map(|value| value.to_vec()),
    };
    values.into_iter().enumerate().map(bind).collect()
}
