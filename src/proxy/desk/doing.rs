//! Doing what a line says: lists from the register, and a staff member's own acts by it, for themselves alone.
//! Not here: what may be done, which the register's rules say (`grant/`), and the records of lines (`seat`).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::signature::Ed25519KeyPair;

use super::answers::Answer;
use super::line::{Clauses, Line, Shown, Value};
use super::prepared::given;
use super::shows;
use super::words::{Verb, duration};
use crate::clock::Timestamp;
use crate::grant::wish::{self, Tried, Why, Wish, try_code};
use crate::grant::{Channel, Customer, Draft, Mode, NotAWord, Purpose, Scope, State};
use crate::ids::{CustomerId, GlassId, GrantId, RequestId, SessionId, StaffId};
use crate::proxy::Gate;
use crate::register::{Done, Error, Reach};
use crate::secret::Secret;
use crate::wire::response::{Report, Severity};
use crate::wire::sqlstate;

/// How long the register may take to be read once more before something is shown.
const REGISTER_READ_WITHIN: Duration = Duration::from_secs(1);
/// What is asked for if nothing else is said.
const USUAL: Duration = Duration::from_secs(3600);
/// The same in an emergency.
const USUAL_EMERGENCY: Duration = Duration::from_secs(30 * 60);
/// How long an answer is of use if nothing else is said.
const USUAL_WITHIN: Duration = Duration::from_secs(24 * 3600);

/// Who is at the desk.
#[derive(Clone, Debug)]
pub(super) struct Sitter {
    pub(super) staff: StaffId,
    /// Until when what they signed in with carries the session.
    pub(super) credential: Timestamp,
    pub(super) name: String,
    pub(super) address: SocketAddr,
    pub(super) application: String,
    pub(super) session: SessionId,
    pub(super) since: Timestamp,
}

/// A line being done: by whom, and with which values for its parameters.
pub(super) struct Doing<'a> {
    pub(super) gate: &'a Gate,
    pub(super) who: &'a Sitter,
    pub(super) values: &'a [Option<String>],
}

fn error(sqlstate: &'static str, message: impl Into<String>) -> Report {
    Report::new(Severity::Error, sqlstate, message)
}

impl Doing<'_> {
    pub(super) async fn run(&self, line: &Line) -> Result<Answer, Report> {
        // What was done a moment ago, in the line before or on the owner's page, is known.
        self.gate.follower.caught_up(self.gate.clock.now(), REGISTER_READ_WITHIN).await;
        match line {
            Line::Help => Ok(Answer { rows: shows::help(), ..Answer::tagged("HELP") }),
            Line::Show(shown) => Ok(self.show(*shown)),
            Line::Request(customer, clauses) => self.request(customer, clauses).await,
            Line::Open(customer, clauses) => self.open(customer, clauses).await,
            Line::Answer(request, text) => {
                let (request, text) = (self.request_named(request)?, self.needed(text, "a text")?);
                let done = self.act(None, |_| wish::answered(self.who.staff, request, text.clone())).await?;
                Ok(self.asked(&done, request, "ANSWER"))
            }
            Line::Withdraw(request) => {
                let request = self.request_named(request)?;
                let done = self.act(None, |_| wish::withdrawn(self.who.staff, request)).await?;
                Ok(self.asked(&done, request, "WITHDRAW"))
            }
            Line::Release(named) => self.release(named).await,
            Line::Question(customer, clauses) => {
                let (state, now) = (self.gate.follower.state(), self.gate.clock.now());
                let customer = self.customer(&state, customer)?.id;
                let reason = self.clause(clauses, "REASON")?.unwrap_or_default();
                let done = self.act(None, |_| wish::doubted(self.who.staff, customer, reason.clone())).await?;
                let mut rows = shows::customers(&done.state, self.who.staff, now);
                let name = done.state.customer(customer).map(|customer| customer.name.clone());
                rows.retain(|row| row.first() == Some(&name));
                let notices = vec!["nothing is opened there until its account owner has answered".to_owned()];
                Ok(Answer { rows, notices, ..Answer::tagged("QUESTION") })
            }
            Line::Break(customer, clauses) => self.break_glass(customer, clauses).await,
            Line::Confirm(glass) => self.confirm(glass).await,
            Line::Setting(tag) => Ok(Answer::tagged(tag)),
            Line::Begin => Ok(Answer::tagged("BEGIN")),
            Line::End(tag) => Ok(Answer::tagged(tag)),
        }
    }

    fn show(&self, shown: Shown) -> Answer {
        let (gate, staff) = (self.gate, self.who.staff);
        let (state, now) = (gate.follower.state(), gate.clock.now());
        let rows = match shown {
            Shown::Grants => shows::grants(&state, staff, now),
            Shown::Requests => shows::requests(&state, staff, now),
            Shown::Customers => shows::customers(&state, staff, now),
            Shown::Emergencies => shows::emergencies(&state, staff, now),
            Shown::Session => vec![vec![
                Some(self.who.name.clone()),
                Some(self.who.address.to_string()),
                Some(self.who.application.clone()),
                Some(self.who.session.to_string()),
                Some(self.who.since.to_string()),
                Some(shows::span(gate.settings.idle_after)),
            ]],
        };
        Answer { rows, ..Answer::tagged("SHOW") }
    }

    async fn request(&self, customer: &Value, clauses: &Clauses) -> Result<Answer, Report> {
        let state = self.gate.follower.state();
        let customer = self.customer(&state, customer)?.id;
        let why = self.why(clauses)?;
        if let Some(code) = clauses.get("CODE") {
            let digits = Secret::new(self.needed(code, "a code")?);
            return self.redeem(customer, digits, why).await;
        }
        let wish = Wish {
            scope: self.word(clauses, "SCOPE", Scope::Metadata)?,
            lasting: self.span(clauses, "FOR", USUAL)?,
            start_within: self.span(clauses, "WITHIN", USUAL_WITHIN)?,
            channel: self.word(clauses, "CHANNEL", Channel::Portal)?,
            why,
            necessity: self.clause(clauses, "NECESSITY")?.unwrap_or_default(),
        };
        let who = (self.who.staff, customer);
        let done = self.act(Some(customer), |_| wish.asked(who, self.gate.clock.now())).await?;
        let mut answer = self.asked(&done, RequestId(done.sequence.0), "REQUEST");
        answer.notices.push("its account owner is asked now; SHOW REQUESTS; tells what they say".to_owned());
        Ok(answer)
    }

    /// Guesses come one after the other: each takes much memory, and is counted before the next is looked at.
    async fn redeem(&self, customer: CustomerId, digits: Secret<String>, why: Why) -> Result<Answer, Report> {
        let _alone = self.gate.desk.trying.lock().await;
        let (register, now) = (self.gate.desk.acts.register.clone(), self.gate.clock.now());
        let who = (self.who.staff, customer);
        let tried = tokio::task::spawn_blocking(move || {
            let state = register.state()?;
            Ok(try_code(&state, who, &digits, &why, now))
        });
        let tried = tried.await.unwrap_or(Err(Error::Bug("the task that tries a code panicked")));
        match tried.map_err(|error| refused(&error))? {
            Ok(Tried::Fits(key, draft)) => {
                let done = self.act_signed(Some(&key), Some(customer), |_| draft.clone()).await?;
                Ok(self.opened(&done, GrantId(done.sequence.0), "REQUEST"))
            }
            Ok(Tried::Missed(draft, told)) => {
                self.act(Some(customer), |_| draft.clone()).await?;
                Err(error(sqlstate::INVALID_PASSWORD, told))
            }
            Err(told) => Err(error(sqlstate::INSUFFICIENT_PRIVILEGE, told)),
        }
    }

    async fn open(&self, customer: &Value, clauses: &Clauses) -> Result<Answer, Report> {
        let state = self.gate.follower.state();
        let customer = self.customer(&state, customer)?;
        if !self.gate.limits.standing {
            let message = "what was promised to customers asks for an instruction each time";
            return Err(error(sqlstate::INSUFFICIENT_PRIVILEGE, message).hint(ask_instead(customer)));
        }
        let (who, why) = ((self.who.staff, customer.id), self.why(clauses)?);
        let reach = (self.word(clauses, "SCOPE", Scope::Metadata)?, self.span(clauses, "FOR", USUAL)?);
        let done = self.act(Some(customer.id), |_| wish::opened(who, reach, &why, self.gate.clock.now())).await;
        let asks_first = customer.consent.mode_at(self.gate.clock.now()) == Mode::PerRequest;
        let done = done.map_err(|report| match &report.hint {
            None if asks_first => report.hint(ask_instead(customer)),
            Some(_) | None => report,
        })?;
        Ok(self.opened(&done, GrantId(done.sequence.0), "OPEN"))
    }

    async fn break_glass(&self, customer: &Value, clauses: &Clauses) -> Result<Answer, Report> {
        let state = self.gate.follower.state();
        let (who, why) = ((self.who.staff, self.customer(&state, customer)?.id), self.why(clauses)?);
        let reach = (self.word(clauses, "SCOPE", Scope::Read)?, self.span(clauses, "FOR", USUAL_EMERGENCY)?);
        let done = self.act(Some(who.1), |_| wish::in_emergency(who, reach, &why)).await?;
        let id = GlassId(done.sequence.0);
        let mut answer = self.emergency(&done, id, "BREAK");
        answer.notices.push(format!("somebody else has 15 minutes to confirm it at the desk: CONFIRM {id};"));
        Ok(answer)
    }

    async fn confirm(&self, named: &Value) -> Result<Answer, Report> {
        let (state, name) = (self.gate.follower.state(), self.needed(named, "an emergency such as b7")?);
        let id: Option<GlassId> = name.parse().ok().or_else(|| format!("b{name}").parse().ok());
        let missing = || {
            let message = format!("nobody asked for \"{name}\" in an emergency");
            error(sqlstate::UNDEFINED_OBJECT, message).hint("Type SHOW EMERGENCIES; to see what is to be confirmed.")
        };
        let glass = id.and_then(|id| state.glass(id)).ok_or_else(missing)?;
        let done = self.act(Some(glass.customer), |_| wish::confirmed(self.who.staff, glass.id)).await?;
        let mut answer = self.emergency(&done, glass.id, "CONFIRM");
        answer.notices.push("it is open now, and every owner of that customer sees it".to_owned());
        Ok(answer)
    }

    fn emergency(&self, done: &Done, glass: GlassId, tag: &str) -> Answer {
        let found = done.state.glass(glass);
        let rows = found.map(|found| shows::emergency(&done.state, found, self.gate.clock.now()));
        Answer { rows: rows.into_iter().collect(), ..Answer::tagged(tag) }
    }

    async fn release(&self, named: &Value) -> Result<Answer, Report> {
        let (state, now) = (self.gate.follower.state(), self.gate.clock.now());
        let name = self.needed(named, "a customer, or a grant such as g7")?;
        let by_id = || name.parse().ok().and_then(|id| state.grant(id));
        let grant = match state.customer_named(&name) {
            Some(customer) => {
                let live = state.newest_grant(self.who.staff, customer.id).filter(|grant| grant.is_live(now));
                live.ok_or_else(|| format!("you have no access to \"{name}\" to give back"))
            }
            None => match (by_id(), self.renamed(&state, &name)) {
                (None, Some(told)) => return Err(told),
                (found, _) => found.ok_or_else(|| format!("there is no customer and no grant \"{name}\"")),
            },
        };
        let told = |message| error(sqlstate::UNDEFINED_OBJECT, message).hint("Type SHOW GRANTS; to see yours.");
        let grant = grant.map_err(told)?.id;
        let done = self.act(None, |_| wish::released(self.who.staff, grant)).await?;
        let mut answer = self.opened(&done, grant, "RELEASE");
        if done.ended > 0 {
            answer.notices.push(format!("sessions of yours that were ended there: {}", done.ended));
        }
        Ok(answer)
    }

    async fn act(&self, concerns: Option<CustomerId>, draft: impl Fn(&State) -> Draft) -> Result<Done, Report> {
        self.act_signed(None, concerns, draft).await
    }

    /// One act by the register, as the command line makes it; nobody is let in whose records could not be sealed.
    async fn act_signed(
        &self,
        key: Option<&Ed25519KeyPair>,
        concerns: Option<CustomerId>,
        draft: impl Fn(&State) -> Draft,
    ) -> Result<Done, Report> {
        if let Some(customer) = concerns
            && let Some(sealed_for) = self.gate.follower.state().sealed_for(customer)
        {
            let keys = self.gate.ensure_keys(sealed_for).await;
            keys.map_err(|refused| refused.report().map_or_else(unready, as_error))?;
        }
        let desk = &self.gate.desk;
        let done = desk.acts.act_noted(&desk.noted, key, |state| Ok(draft(state))).await;
        let done = done.map_err(|error| refused(&error))?;
        done.warnings.iter().for_each(|warning| tracing::warn!(session = %self.who.session, warning));
        Ok(done)
    }

    fn asked(&self, done: &Done, request: RequestId, tag: &str) -> Answer {
        let found = done.state.request(request);
        let rows = found.map(|found| shows::request(&done.state, found, self.gate.clock.now()));
        Answer { rows: rows.into_iter().collect(), ..Answer::tagged(tag) }
    }

    fn opened(&self, done: &Done, grant: GrantId, tag: &str) -> Answer {
        let found = done.state.grant(grant);
        let rows = found.map(|found| shows::grant(&done.state, found, self.gate.clock.now()));
        Answer { rows: rows.into_iter().collect(), ..Answer::tagged(tag) }
    }

    fn needed(&self, value: &Value, what: &str) -> Result<String, Report> {
        let null = || error(sqlstate::INVALID_PARAMETER_VALUE, format!("{what} is needed, not NULL"));
        given(value, self.values)?.ok_or_else(null)
    }

    /// The text of a clause; none: it is not there, or NULL.
    fn clause(&self, clauses: &Clauses, word: &str) -> Result<Option<String>, Report> {
        clauses.get(word).map(|value| given(value, self.values)).transpose().map(Option::flatten)
    }

    fn why(&self, clauses: &Clauses) -> Result<Why, Report> {
        let text = |word| Ok::<_, Report>(self.clause(clauses, word)?.unwrap_or_default());
        let purpose = self.word(clauses, "PURPOSE", Purpose::Fault)?;
        Ok(Why { purpose, reason: text("REASON")?, ticket: text("TICKET")? })
    }

    fn word<W>(&self, clauses: &Clauses, name: &str, usual: W) -> Result<W, Report>
    where
        W: std::str::FromStr<Err = NotAWord>,
    {
        let Some(text) = self.clause(clauses, name)? else { return Ok(usual) };
        text.to_ascii_lowercase().parse().map_err(|fault: NotAWord| {
            error(sqlstate::INVALID_PARAMETER_VALUE, format!("{name} {fault}")).hint(usage())
        })
    }

    fn span(&self, clauses: &Clauses, name: &str, usual: Duration) -> Result<Duration, Report> {
        let Some(text) = self.clause(clauses, name)? else { return Ok(usual) };
        duration(&text).ok_or_else(|| {
            let message = format!("{name} \"{text}\" is not a duration");
            let hint = format!("Write one whole number and a unit: {name} '2 hours', {name} '90 min' or {name} 1h.");
            error(sqlstate::INVALID_PARAMETER_VALUE, message).hint(hint)
        })
    }

    fn customer<'s>(&self, state: &'s Arc<State>, named: &Value) -> Result<&'s Customer, Report> {
        let name = self.needed(named, "a customer")?;
        let missing = || {
            let message = format!("there is no customer \"{name}\"");
            let told = self.renamed(state, &name);
            told.unwrap_or_else(|| {
                error(sqlstate::UNDEFINED_OBJECT, message).hint("Type SHOW CUSTOMERS; to see those you look after.")
            })
        };
        let found = state.customer_named(&name).or_else(|| name.parse().ok().and_then(|id| state.customer(id)));
        found.ok_or_else(missing)
    }

    /// That a customer which they look after is called otherwise now.
    fn renamed(&self, state: &State, name: &str) -> Option<Report> {
        let customer = state.customer_formerly(name).filter(|customer| state.serves(self.who.staff, customer.id))?;
        let now = &customer.name;
        let message = format!("customer \"{name}\" is called \"{now}\" now");
        Some(error(sqlstate::UNDEFINED_OBJECT, message).hint(format!("Type the same with {now}.")))
    }

    /// `r7`, or `7`.
    fn request_named(&self, named: &Value) -> Result<RequestId, Report> {
        let name = self.needed(named, "a request such as r7")?;
        let id = name.parse().ok().or_else(|| format!("r{name}").parse().ok());
        // Of other people's requests nothing is told, not even that they are there.
        let own = |id: &RequestId| {
            self.gate.follower.state().request(*id).is_some_and(|request| request.staff == self.who.staff)
        };
        let missing = || {
            let message = format!("you have no request \"{name}\"");
            error(sqlstate::UNDEFINED_OBJECT, message).hint("Type SHOW REQUESTS; to see yours.")
        };
        id.filter(own).ok_or_else(missing)
    }
}

fn ask_instead(customer: &Customer) -> String {
    format!("Type: REQUEST {} FOR '1 hour' REASON '…' TICKET '…';", customer.name)
}

fn usage() -> String {
    format!("Type: {};", Verb::Request.usage())
}

fn unready() -> Report {
    error(sqlstate::CANNOT_CONNECT_NOW, "the gate is not ready for this customer")
}

/// What ends a sign-in is only an error of one line here.
fn as_error(report: Report) -> Report {
    Report { severity: Severity::Error, ..report }
}

/// What is told of an act that was not done; of the vendor's own machinery no particulars.
fn refused(fault: &Error) -> Report {
    match fault {
        Error::Refused(text) => error(sqlstate::INSUFFICIENT_PRIVILEGE, text.clone()),
        Error::LostRace(_) => {
            error(sqlstate::SERIALIZATION_FAILURE, "somebody else was faster, several times").hint("Type it once more.")
        }
        Error::Log(_) => error(sqlstate::IO_ERROR, "nothing was changed, because it could not be recorded")
            .hint("Tell an operator; the proxy's own log says which file failed."),
        Error::Shut { reach, .. } => {
            tracing::error!(%fault, "the desk");
            let at = match reach {
                Reach::All => "",
                Reach::Here => " at this gate",
            };
            error(sqlstate::IO_ERROR, format!("your access is shut{at}, but the register does not have it yet"))
                .hint("Tell an operator; the proxy's own log says why.")
        }
        Error::Unsure(_) => {
            tracing::error!(%fault, "the desk");
            error(sqlstate::TRANSACTION_RESOLUTION_UNKNOWN, "it is not known whether that was done")
                .hint("Look whether it was before you type it once more; the proxy's own log says why.")
        }
        Error::Broken { .. }
        | Error::RolledBack { .. }
        | Error::Different { .. }
        | Error::SeenUnreadable(_)
        | Error::Replaced(_)
        | Error::NotARegister(_)
        | Error::LogBehind { .. }
        | Error::Sqlite { .. }
        | Error::Server { .. }
        | Error::Unfit { .. }
        | Error::Configuration(_)
        | Error::Tls(_)
        | Error::File { .. }
        | Error::Thread { .. }
        | Error::Open { .. }
        | Error::NotDestroyed(_)
        | Error::Bug(_) => {
            tracing::error!(%fault, "the desk");
            error(sqlstate::IO_ERROR, "the register of decisions could not be used, and nothing was changed")
                .hint("Tell an operator; the proxy's own log says why.")
        }
    }
}

#[cfg(test)]
#[path = "doing_tests.rs"]
mod tests;
