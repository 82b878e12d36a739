//! Whose session it is, as each of its records says it: no join is needed to answer "who ran this".
//! Not here: whether they may (`grant/`).

use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;

use crate::audit::record::{Kind, Preamble, Record, Skeleton, Values};
use crate::clock::Timestamp;
use crate::fence::Started;
use crate::grant::{Customer, Given, Grant, Staff};
use crate::ids::{CustomerId, GrantId, SessionId, StaffId};
use crate::proxy::roles::{Need, Role};
use crate::proxy::server;
use crate::session::{Copied, Outcome, Statement};

/// A session that has begun: its sign-in is recorded, nothing is open for it yet.
#[derive(Debug)]
pub struct Begun {
    /// The session.
    pub session: SessionId,
    /// Whose it is.
    pub staff: StaffId,
    /// Whose data it reaches.
    pub customer: CustomerId,
    /// The grant it runs under.
    pub grant: GrantId,
    /// Where the client is.
    pub address: SocketAddr,
    /// Until when what they signed in with carries the session.
    pub credential: Timestamp,
    /// Which role of which database the grant needs.
    pub need: Need,
    /// The texts.
    pub names: Arc<Names>,
}

/// A session that is open on both sides.
#[derive(Debug)]
pub struct Who {
    /// Whose it is.
    pub begun: Begun,
    /// The operator wants every statement durable before it is forwarded, whatever the scope.
    pub strict: bool,
    /// The login role in the database.
    pub role: Arc<Role>,
    /// The server's process id and its own cancel secret.
    pub backend: (i32, Bytes),
    /// Which of the servers that the host's name may lead to.
    pub server: Started,
}

impl Who {
    /// Whether every statement is durable before it is forwarded, whatever the scope.
    pub fn is_strict(&self) -> bool {
        self.strict || self.role.is_strict()
    }
}

impl Deref for Who {
    type Target = Begun;

    fn deref(&self) -> &Begun {
        &self.begun
    }
}

/// The texts that go with each record of the session.
#[derive(Clone, Debug)]
pub struct Names {
    /// The staff member's name.
    pub staff: String,
    /// The customer's name.
    pub customer: String,
    /// The grant's purpose, reason and ticket.
    pub purpose: &'static str,
    /// Why the grant was asked for.
    pub reason: String,
    /// Its ticket.
    pub ticket: String,
    /// Its scope.
    pub scope: &'static str,
    /// What the client calls itself.
    pub application: String,
    /// The upstream database, and at which server: [`server::recorded`].
    pub database: String,
}

impl Names {
    /// The texts of a session under that grant.
    pub fn of(staff: &Staff, customer: &Customer, grant: &Grant, application: &str, replica: Option<&str>) -> Names {
        Names {
            staff: staff.name.clone(),
            customer: customer.name.clone(),
            purpose: match grant.given {
                _ if grant.id.is_unissued() => "observed",
                // A class of its own, wherever it is read.
                Given::BreakGlass(_) => "break-glass",
                Given::Own | Given::Request(_) | Given::Code(_) => grant.purpose.word(),
            },
            reason: grant.reason.clone(),
            ticket: grant.ticket.clone(),
            scope: grant.scope.word(),
            application: application.to_owned(),
            database: server::recorded(&customer.database, replica),
        }
    }
}

impl Begun {
    /// Fills in whose record it is.
    pub fn fill(&self, record: &mut Record) {
        let skeleton = &mut record.skeleton;
        skeleton.session = Some(self.session);
        skeleton.staff = Some(self.staff.0);
        skeleton.grant = Some(self.grant.0).filter(|_| !self.grant.is_unissued());
        skeleton.purpose = Some(self.names.purpose.to_owned());
        skeleton.scope = Some(self.names.scope.to_owned());
        let values = &mut record.values;
        values.staff = Some(self.names.staff.clone());
        values.reason = Some(self.names.reason.clone());
        values.ticket = Some(self.names.ticket.clone());
        values.address = Some(self.address.to_string());
        values.application = Some(self.names.application.clone());
        values.customer = Some(self.names.customer.clone());
        values.database = Some(self.names.database.clone());
    }

    /// An empty record of that kind in this session.
    pub fn blank(&self, kind: Kind, now: Timestamp) -> Record {
        let mut record = Record::new(now, kind, Some(self.customer));
        self.fill(&mut record);
        record
    }

    /// What each of the session's records shares, as [`Begun::record`] leaves it out.
    pub fn preamble(&self) -> Preamble {
        let mut record = self.blank(Kind::Statement, Timestamp(0));
        record.skeleton.session = None;
        Preamble::of(&record)
    }

    /// The record of frames that came together, before they are forwarded, but for the preamble; none
    /// of no frame.
    pub fn record(&self, statements: Vec<Statement>, now: Timestamp, gate: &str) -> Option<Record> {
        let mut statements = statements.into_iter();
        let Statement { frame: _, verb: _, durable_first: _, skeleton, values } = statements.next()?;
        let mut record = Record { at: now, kind: Kind::Statement, customer: Some(self.customer), skeleton, values };
        record.skeleton.gate = Some(gate.to_owned());
        for Statement { frame: _, verb: _, durable_first: _, skeleton, values } in statements {
            record.add(skeleton, values);
        }
        Some(record)
    }

    /// The record of a frame whose outcome nobody saw: `unknown`, or `not forwarded`.
    pub fn unseen(&self, frame: u64, result: &str, copied: Option<&Copied>, now: Timestamp) -> Record {
        let mut record = self.blank(Kind::Outcome, now);
        record.skeleton.frame = Some(frame);
        record.skeleton.result = Some(result.to_owned());
        if let Some(copied) = copied {
            tell(&mut record.skeleton, &mut record.values, copied);
        }
        record
    }

    /// The record of what became of frames: who and which, without the texts their statements' record holds; none of
    /// no frame.
    pub fn outcome(&self, outcomes: impl Iterator<Item = Outcome>, now: Timestamp) -> Option<Record> {
        let mut outcomes = outcomes.map(parts);
        let (skeleton, values) = outcomes.next()?;
        let mut record = Record { at: now, kind: Kind::Outcome, customer: Some(self.customer), skeleton, values };
        record.skeleton.session = Some(self.session);
        record.skeleton.staff = Some(self.staff.0);
        record.skeleton.grant = Some(self.grant.0).filter(|_| !self.grant.is_unissued());
        outcomes.for_each(|(skeleton, values)| record.add(skeleton, values));
        Some(record)
    }
}

/// What an outcome says in a record.
fn parts(outcome: Outcome) -> (Skeleton, Values) {
    let mut skeleton = Skeleton {
        frame: Some(outcome.frame),
        tag: outcome.tag,
        sqlstate: outcome.sqlstate,
        rows: Some(outcome.rows),
        bytes: Some(outcome.bytes),
        duration_us: Some(outcome.duration_us),
        result: Some(outcome.result.word().to_owned()),
        ..Skeleton::default()
    };
    let mut values = Values { message: outcome.message, ..Values::default() };
    if let Some(copied) = outcome.copied {
        tell(&mut skeleton, &mut values, &copied);
    }
    (skeleton, values)
}

/// What a client had sent for a COPY that came to nothing.
fn tell(skeleton: &mut Skeleton, values: &mut Values, copied: &Copied) {
    skeleton.copied_bytes = Some(copied.bytes);
    skeleton.copied_lines = copied.lines;
    values.digest = Some(copied.digest.to_vec());
}
