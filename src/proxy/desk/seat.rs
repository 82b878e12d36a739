//! One session at the desk: its loop, its records, and the steps of PostgreSQL's simple and extended protocol.
//! Not here: what lines mean (`line`) and do (`doing`). There are no transactions: what is typed takes effect at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::answers::{Answer, Answers};
use super::doing::{Doing, Sitter};
use super::ending::End;
use super::line::{self, Line};
use super::prepared::{Portal, Prepared, Progress, Shelf};
use super::recorded::{Recorded, Said, blank};
use super::{Arrival, NAME, allowed};
use crate::audit::record::Kind;
use crate::clock::Timestamp;
use crate::proxy::Gate;
use crate::proxy::live::{DeskPlace, Order};
use crate::proxy::reason::{Reason, minutes};
use crate::proxy::sign_in::Client;
use crate::wire::backend::TransactionStatus;
use crate::wire::frame::{self, Frame};
use crate::wire::frontend::{self, Frontend, Target};
use crate::wire::response::{self, Report, Severity};
use crate::wire::{sqlstate, startup};

/// A line is short; more is a mistake.
const FRAME_BYTES_MAX: usize = 64 * 1024;
/// Answers that wait for Sync, at most; what one line comes to may go over it.
const ANSWERS_BYTES_MAX: usize = 256 * 1024;
/// How long the client has to take the last word.
const TOLD_WITHIN: Duration = Duration::from_millis(500);
/// How long the register's own reason is waited for, where a lock came first.
const CONFIRMED_WITHIN: Duration = Duration::from_millis(250);
/// How long before the patience with an idle session ends its user is told.
const NOTICE_BEFORE_IDLE: Duration = Duration::from_secs(60);

/// What drivers want to know of a server. There is none: these are what the desk itself keeps to.
const SETTINGS: [(&str, &str); 6] = [
    ("server_version", concat!("15.0 (Portreeve ", env!("CARGO_PKG_VERSION"), ")")),
    ("server_encoding", "UTF8"),
    ("client_encoding", "UTF8"),
    ("DateStyle", "ISO, YMD"),
    ("integer_datetimes", "on"),
    ("standard_conforming_strings", "on"),
];

/// A session at the desk.
struct Seat {
    gate: Arc<Gate>,
    client: Client,
    who: Sitter,
    place: DeskPlace,
    answers: Answers,
    shelf: Shelf,
    status: TransactionStatus,
    /// After an error in the extended protocol everything is skipped until Sync.
    is_skipping: bool,
    lines: u64,
    active_at: Timestamp,
    is_told_idle: bool,
}

type Turn<T = ()> = Result<T, End>;

/// Serves one session at the desk until it ends, and records its end.
pub async fn sit(gate: Arc<Gate>, client: Client, arrival: Arrival, version: u32) {
    let place = gate.live.enter_desk(client.session);
    let since = gate.clock.now();
    let who = Sitter {
        staff: arrival.staff.id,
        credential: arrival.credential,
        name: arrival.staff.name,
        address: client.address,
        application: arrival.application,
        session: client.session,
        since,
    };
    tracing::info!(session = %who.session, staff = %who.staff, "at the desk");
    let mut seat = Seat {
        gate,
        client,
        who,
        place,
        answers: Answers::default(),
        shelf: Shelf::default(),
        status: TransactionStatus::Idle,
        is_skipping: false,
        lines: 0,
        active_at: since,
        is_told_idle: false,
    };
    let Err(end) = seat.serve(version).await;
    seat.leave(end).await;
}

impl Seat {
    async fn serve(&mut self, version: u32) -> Turn<std::convert::Infallible> {
        self.greet(version).await?;
        if self.gate.is_stopping.load(Ordering::SeqCst) {
            return Err(Reason::Stopping.into());
        }
        loop {
            let frame = self.frame().await?;
            let message = frontend::decode(&frame).map_err(Reason::Invalid)?;
            Box::pin(self.take(message)).await?;
            // A client that never says Sync is answered all the same: what it does not take must not pile up here.
            if self.answers.len() > ANSWERS_BYTES_MAX {
                self.flush().await?;
            }
        }
    }

    async fn greet(&mut self, version: u32) -> Turn {
        let mut greeting = response::authentication_ok().to_vec();
        for (name, value) in SETTINGS {
            greeting.extend_from_slice(&response::parameter_status(name, value));
        }
        // Nothing at the desk runs for so long that a cancel could reach it; drivers expect to be told how.
        let mut secret = vec![0; if version == startup::VERSION_3_0 { 4 } else { 32 }];
        self.gate.entropy.fill(&mut secret);
        greeting.extend_from_slice(&response::backend_key_data(0, &secret));
        let welcome =
            format!("this is the desk, {}: every line is recorded; SHOW HELP; shows what can be typed", self.who.name);
        greeting.extend_from_slice(&response::notice(&response::note(welcome)));
        greeting.extend_from_slice(&response::ready_for_query(TransactionStatus::Idle));
        self.send(&greeting).await
    }

    /// The next frame, as long as they may be here and are not idle for too long.
    async fn frame(&mut self) -> Turn<Frame> {
        loop {
            let lease = self.allowed().await?;
            let cut = frame::cut(&mut self.client.buffer, FRAME_BYTES_MAX).map_err(Reason::Invalid)?;
            let now = self.gate.clock.now();
            if let Some(frame) = cut {
                (self.active_at, self.is_told_idle) = (now, false);
                return Ok(frame);
            }
            let patience = self.gate.settings.idle_after.saturating_sub(now.since(self.active_at));
            if patience.is_zero() {
                return Err(Reason::Idle(self.gate.settings.idle_after).into());
            }
            let notice = patience.saturating_sub(NOTICE_BEFORE_IDLE);
            if notice.is_zero() && !self.is_told_idle {
                self.is_told_idle = true;
                self.answers.notice(&format!("this session is idle and ends in {}", minutes(patience)));
                self.flush().await?;
            }
            let due = if notice.is_zero() { patience } else { notice };
            let due = due.min(lease.since(now)).max(Duration::from_millis(1));
            tokio::select! {
                order = self.place.orders.recv() => ordered(order)?,
                read = self.client.stream.read_buf(&mut self.client.buffer) => match read {
                    Ok(0) | Err(_) => return Err(Reason::ClientGone.into()),
                    Ok(_) => {}
                },
                () = tokio::time::sleep(due) => {}
            }
        }
    }

    /// Whether they may still be here; until when that is known.
    async fn allowed(&mut self) -> Turn<Timestamp> {
        while let Ok(order) = self.place.orders.try_recv() {
            ordered(Some(order))?;
        }
        let ask = |gate: &Gate| {
            allowed(gate, &gate.follower.state(), (self.who.staff, self.who.credential), self.who.address)
        };
        let refusal = match ask(&self.gate) {
            Ok(lease) => return Ok(lease),
            Err(refusal) => refusal,
        };
        // A lock comes before the register says whose it is.
        let mut changed = self.gate.follower.changed();
        changed.mark_unchanged();
        let _either_way = timeout(CONFIRMED_WITHIN, changed.changed()).await;
        Err(End::Closed(ask(&self.gate).err().unwrap_or(refusal)))
    }

    async fn take(&mut self, message: Frontend) -> Turn {
        if self.is_skipping && !matches!(message, Frontend::Sync | Frontend::Terminate) {
            return Ok(());
        }
        match message {
            Frontend::Query { text } => self.query(&text).await,
            Frontend::Parse { name, text, types } => self.parse(name, &text, &types).await,
            Frontend::Bind { portal, statement, formats, values, result_formats } => {
                self.bind((portal, statement), (formats, values), result_formats).await
            }
            Frontend::Describe { target, name } => {
                self.describe(target, &name);
                Ok(())
            }
            Frontend::Execute { portal, max_rows } => self.execute(&portal, max_rows).await,
            Frontend::Close { target, name } => {
                match target {
                    Target::Statement => self.shelf.close_statement(&name),
                    Target::Portal => self.shelf.close_portal(&name),
                }
                self.answers.closed();
                Ok(())
            }
            Frontend::Sync => {
                self.is_skipping = false;
                self.ready().await
            }
            Frontend::Flush => self.flush().await,
            Frontend::Terminate => Err(Reason::ClientLeft.into()),
            Frontend::FunctionCall { .. } => {
                let report = Report::new(Severity::Error, sqlstate::FEATURE_NOT_SUPPORTED, "the desk has no functions");
                self.answers.error(&report);
                self.ready().await
            }
            // As PostgreSQL does when no COPY is under way.
            Frontend::CopyData { .. } | Frontend::CopyDone | Frontend::CopyFail { .. } => Ok(()),
        }
    }

    async fn query(&mut self, text: &Bytes) -> Turn {
        let recorded = self.record(Said { verb: "query", text, ..Said::default() }).await?;
        let outcome = self.lines(text, &recorded).await;
        self.conclude(&recorded, &outcome)?;
        if let Err(report) = outcome {
            self.answers.error(&report);
        }
        self.ready().await
    }

    /// Every line of a text, up to the first that fails.
    async fn lines(&mut self, text: &Bytes, recorded: &Recorded) -> Result<Answer, Report> {
        let lines = line::read(utf8(text)?)?;
        if lines.is_empty() {
            self.answers.empty();
        }
        let mut last = Answer::default();
        for line in lines {
            let answer = self.run(&line, &[], recorded).await?;
            if line.columns().is_some() {
                self.answers.columns(line.columns(), &[]);
            }
            answer.rows.iter().for_each(|row| self.answers.row(row));
            self.answers.complete(&answer.tag);
            last = answer;
        }
        Ok(last)
    }

    async fn parse(&mut self, name: Bytes, text: &Bytes, types: &[u32]) -> Turn {
        let recorded = self.record(Said { verb: "parse", text, statement: &name, ..Said::default() }).await?;
        let prepared = utf8(text).and_then(|text| Prepared::read(text, types));
        let outcome = prepared.and_then(|prepared| self.shelf.prepare(name, prepared));
        self.step(&recorded, outcome, Answers::parsed)
    }

    async fn bind(
        &mut self,
        (portal, statement): (Bytes, Bytes),
        (formats, values): (Vec<u16>, Vec<Option<Bytes>>),
        result_formats: Vec<u16>,
    ) -> Turn {
        // Who binds has parsed: the text is known, and its values stand in the record of Execute.
        let text = self.shelf.statement(&statement).map(|prepared| prepared.text.clone()).unwrap_or_default();
        let said = Said { verb: "bind", text: text.as_bytes(), statement: &statement, ..Said::default() };
        let recorded = self.record(Said { portal: Some(&portal), ..said }).await?;
        let outcome = self.shelf.bind((portal, &statement), (&formats, &values), result_formats);
        self.step(&recorded, outcome, Answers::bound)
    }

    /// A step that has nothing to show but that it was done.
    fn step(&mut self, recorded: &Recorded, outcome: Result<(), Report>, done: impl Fn(&mut Answers)) -> Turn {
        let outcome = outcome.map(|()| Answer::default());
        self.conclude(recorded, &outcome)?;
        match outcome {
            Ok(_) => done(&mut self.answers),
            Err(report) => self.fail(&report),
        }
        Ok(())
    }

    /// The shape of what was recorded when it was parsed.
    fn describe(&mut self, target: Target, name: &Bytes) {
        let described = match target {
            Target::Statement => self.shelf.statement(name).map(|prepared| {
                self.answers.parameters(&prepared.types);
                (prepared.line.as_ref().and_then(Line::columns), Vec::new())
            }),
            Target::Portal => self
                .shelf
                .portal(name)
                .map(|portal| (portal.prepared.line.as_ref().and_then(Line::columns), portal.formats.clone())),
        };
        match described {
            Ok((columns, formats)) => self.answers.columns(columns, &formats),
            Err(report) => self.fail(&report),
        }
    }

    async fn execute(&mut self, name: &Bytes, max_rows: i32) -> Turn {
        let known = self.shelf.portal(name).map(|portal| (portal.prepared.text.clone(), portal.binds.clone())).ok();
        let (text, binds) = known.unwrap_or_default();
        let said = Said { verb: "execute", text: text.as_bytes(), portal: Some(name), ..Said::default() };
        let recorded = self.record(Said { binds: Some(binds), row_limit: Some(max_rows), ..said }).await?;
        let outcome = self.portal(name, max_rows, &recorded).await;
        self.conclude(&recorded, &outcome)?;
        if let Err(report) = outcome {
            self.fail(&report);
        }
        Ok(())
    }

    /// Does what a portal says, once, and sends the rows that were asked for.
    async fn portal(&mut self, name: &Bytes, max_rows: i32, recorded: &Recorded) -> Result<Answer, Report> {
        let Portal { prepared, values, progress, .. } = self.shelf.portal(name)?;
        let (prepared, values) = (Arc::clone(prepared), values.clone());
        let Some(line) = &prepared.line else {
            self.answers.empty();
            return Ok(Answer::default());
        };
        let (answer, sent) = match std::mem::replace(progress, Progress::Over) {
            Progress::Bound => (self.run(line, &values, recorded).await?, 0),
            Progress::Done(answer, sent) => (answer, sent),
            Progress::Over => {
                let message = format!("portal \"{}\" cannot be run again", String::from_utf8_lossy(name));
                return Err(Report::new(Severity::Error, sqlstate::OBJECT_NOT_IN_PREREQUISITE_STATE, message));
            }
        };
        let left = answer.rows.len() - sent;
        let count = usize::try_from(max_rows).ok().filter(|most| *most > 0).map_or(left, |most| most.min(left));
        answer.rows.iter().skip(sent).take(count).for_each(|row| self.answers.row(row));
        if sent + count < answer.rows.len() {
            self.answers.suspended();
            self.shelf.portal(name)?.progress = Progress::Done(answer.clone(), sent + count);
            return Ok(answer);
        }
        self.answers.complete(&answer.tag);
        Ok(answer)
    }

    /// Does what a recorded line says.
    async fn run(&mut self, line: &Line, values: &[Option<String>], _recorded: &Recorded) -> Result<Answer, Report> {
        let answer = Doing { gate: &self.gate, who: &self.who, values }.run(line).await?;
        answer.notices.iter().for_each(|text| self.answers.notice(text));
        match line {
            Line::Begin => {
                self.status = TransactionStatus::Block;
                self.answers.notice("the desk has no transactions: what is typed takes effect at once");
            }
            Line::End(_) => self.status = TransactionStatus::Idle,
            Line::Setting("DEALLOCATE" | "DISCARD ALL") => self.shelf.forget(),
            Line::Setting(_)
            | Line::Help
            | Line::Show(_)
            | Line::Request(..)
            | Line::Open(..)
            | Line::Answer(..)
            | Line::Withdraw(_)
            | Line::Release(_)
            | Line::Question(..)
            | Line::Break(..)
            | Line::Confirm(_) => {}
        }
        Ok(answer)
    }

    fn fail(&mut self, report: &Report) {
        self.answers.error(report);
        self.is_skipping = true;
    }

    /// Records a line, durably, and looks whether they may still be here.
    async fn record(&mut self, said: Said<'_>) -> Turn<Recorded> {
        self.lines += 1;
        let recorded = Recorded::line(&self.gate, &self.who, self.lines, said).await.map_err(unrecorded)?;
        self.allowed().await?;
        Ok(recorded)
    }

    fn conclude(&self, recorded: &Recorded, outcome: &Result<Answer, Report>) -> Turn {
        recorded.conclude(&self.gate, &self.who, outcome).map_err(unrecorded)
    }

    async fn ready(&mut self) -> Turn {
        if self.status == TransactionStatus::Idle {
            self.shelf.close_portals();
        }
        self.answers.ready(self.status);
        self.flush().await
    }

    async fn flush(&mut self) -> Turn {
        self.allowed().await?;
        let bytes = self.answers.take();
        self.send(&bytes).await
    }

    async fn send(&mut self, bytes: &[u8]) -> Turn {
        let sending = async {
            self.client.stream.write_all(bytes).await?;
            self.client.stream.flush().await
        };
        match timeout(self.gate.settings.stuck_after, sending).await {
            Ok(sent) => sent.map_err(|_: io::Error| Reason::ClientGone.into()),
            Err(_elapsed) => Err(Reason::Stuck(self.gate.settings.stuck_after).into()),
        }
    }

    /// Tells why it ends, and records it.
    async fn leave(mut self, end: End) {
        let state = self.gate.follower.state();
        tracing::info!(session = %self.who.session, staff = %self.who.staff, reason = end.code(), "leaves the desk");
        if let Some(report) = end.report(&state) {
            let told = async {
                self.client.stream.write_all(&response::error_response(&report)).await?;
                self.client.stream.shutdown().await
            };
            if !matches!(timeout(TOLD_WITHIN, told).await, Ok(Ok(()))) {
                tracing::debug!(session = %self.who.session, "a client did not take the last word");
            }
        }
        let mut record = blank(&self.gate, &self.who, Kind::SessionEnded);
        record.skeleton.verb = Some(end.code());
        record.skeleton.sqlstate = end.report(&state).map(|report| report.sqlstate.to_owned());
        record.skeleton.fate = Some("none".to_owned());
        record.skeleton.count = Some(self.lines);
        record.values.staff = Some(self.who.name.clone());
        record.values.customer = Some(NAME.to_owned());
        record.values.message = end.for_the_record(&state);
        if let Err(error) = self.gate.log.record(record).await {
            tracing::error!(session = %self.who.session, %error, "the end of a session could not be recorded");
        }
        drop(self.place);
    }
}

/// What a session is told from outside.
fn ordered(order: Option<Order>) -> Turn {
    match order {
        // It is asked anew whether they may be here. The rest is for sessions on a customer's data.
        Some(Order::Recheck | Order::Cancel(_) | Order::EndByOwner(_)) => Ok(()),
        Some(Order::Stop) | None => Err(Reason::Stopping.into()),
        Some(Order::LogFailed) => Err(Reason::LogFailed.into()),
    }
}

fn unrecorded(error: crate::log::Error) -> End {
    tracing::error!(%error, "a line at the desk could not be recorded");
    End::Reason(Reason::LogFailed)
}

fn utf8(text: &[u8]) -> Result<&str, Report> {
    std::str::from_utf8(text).map_err(|_| {
        Report::new(Severity::Error, sqlstate::CHARACTER_NOT_IN_REPERTOIRE, "the line is not UTF-8")
            .hint("Set the client's encoding to UTF8.")
    })
}
