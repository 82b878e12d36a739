//! The short road for what narrows: over each proxy's Unix socket, before the register has said so.
//! Not here: deciding what narrows (`grant/`). One JSON line asks, one answers; a proxy that cannot be told is a
//! warning, since it follows the register too and fails closed when it cannot.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::task::{JoinHandle, JoinSet};

use super::at::Place;
use super::error::Error;
use crate::clock::Timestamp;
use crate::grant::{AccountStep, Grant, Lock, Mode, StaffStep, State, What};
use crate::ids::{CustomerId, Sequence, SessionId};

/// How long a proxy may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// The longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: u64 = 16 << 20;

/// What the proxies answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Told {
    /// Sessions that were ended.
    pub ended: u64,
    /// The sockets of the proxies that did all that was asked, each once.
    pub by: Vec<PathBuf>,
    /// The proxies that could not be told, and why, each as a sentence without a full stop.
    pub warnings: Vec<String>,
}

/// What must be locked at once for a change to hold before the register has said so; nothing for what narrows nobody.
pub fn locks_for(state: &State, what: &What, at: Timestamp) -> Vec<Lock> {
    match *what {
        What::StaffRemoved { staff } => vec![Lock::Staff(staff)],
        What::GrantEnded { grant } => vec![Lock::Grant(grant)],
        What::ConsentSet { customer, mode: Mode::Off, .. } | What::ConsentAgreed { customer, mode: Mode::Off, .. } => {
            vec![Lock::Customer(customer)]
        }
        What::ConsentSet { customer, mode: mode @ (Mode::PerRequest | Mode::Standing), scope, .. } => {
            let break_glass = state.customer(customer).is_some_and(|customer| customer.consent.terms.break_glass);
            ended(state, customer, at, |grant| !mode.lets(scope, break_glass, grant))
        }
        What::ConsentAgreed { customer, mode: mode @ (Mode::PerRequest | Mode::Standing), scope, terms, .. } => {
            ended(state, customer, at, |grant| !mode.lets(scope, terms.break_glass, grant))
        }
        What::OwnerRemoved { owner } => {
            let customer = state.owner(owner).map(|owner| owner.customer);
            let others = |customer| state.owners_of(customer).any(|other| other.active && other.id != owner);
            customer.filter(|customer| !others(*customer)).map(Lock::Customer).into_iter().collect()
        }
        What::Team(step) => state.left_out_by(step).into_iter().map(Lock::Grant).collect(),
        What::Staff { staff, step: StaffStep::Suspended } => vec![Lock::Staff(staff)],
        What::Account { customer, step: AccountStep::Closed } => vec![Lock::Customer(customer)],
        What::CustomerCreated { .. }
        | What::StaffCreated
        | What::OwnerCreated { .. }
        | What::OwnerInvited { .. }
        | What::OwnerAccepted { .. }
        | What::OwnerUninvited { .. }
        | What::CustomerRenamed { .. }
        | What::GrantIssued { .. }
        | What::RequestOpened { .. }
        | What::Request { .. }
        | What::CodeCreated { .. }
        | What::CodeRedeemed { .. }
        | What::CodeMissed { .. }
        // Nothing new is opened; the register says so to the proxies.
        | What::InstructionQuestioned { .. }
        | What::InstructionConfirmed { .. }
        | What::Account { .. }
        | What::Glass(_)
        | What::Staff { .. }
        | What::HoldPlaced { .. }
        | What::HoldReleased { .. }
        | What::Snapshot { .. } => Vec::new(),
    }
}

fn ended(state: &State, customer: CustomerId, at: Timestamp, which: impl Fn(&Grant) -> bool) -> Vec<Lock> {
    state.live_grants_of(customer, at).filter(|grant| which(grant)).map(|grant| Lock::Grant(grant.id)).collect()
}

/// Has every proxy end what these locks cover, and keep them until the register confirms them: beyond `since`, where
/// the register stood when the change was made ready. Without it, where it stands for each proxy.
pub async fn lock(sockets: &[PathBuf], locks: &[Lock], since: Option<Sequence>) -> Told {
    let since = since.map(|since| since.0);
    let requests = locks.iter().map(|lock| match lock {
        Lock::Customer(id) => json!({"lock": {"customer": id.0, "since": since}}),
        Lock::Staff(id) => json!({"lock": {"staff": id.0, "since": since}}),
        Lock::Grant(id) => json!({"lock": {"grant": id.0, "since": since}}),
    });
    tell(sockets, &requests.collect::<Vec<_>>()).await
}

/// Has the proxies end that session, wherever it is. `by` says who wants it, such as `o7`.
pub async fn end_session(sockets: &[PathBuf], session: SessionId, by: &str) -> Told {
    tell(sockets, &[json!({"end": {"session": session.to_string(), "by": by}})]).await
}

/// The sessions now open in all proxies, as the proxies describe them, and what could not be learnt.
pub async fn sessions(sockets: &[PathBuf]) -> (Vec<Value>, Vec<String>) {
    let (mut sessions, mut warnings) = (Vec::new(), Vec::new());
    for (socket, answer) in ask_all(sockets, &json!({"sessions": {}})).await {
        match answer {
            Ok(answer) => match answer.get("sessions").and_then(Value::as_array) {
                Some(found) => sessions.extend(found.iter().cloned()),
                None => warnings.push(unclear(&socket, &answer)),
            },
            Err(warning) => warnings.push(warning),
        }
    }
    (sessions, warnings)
}

/// Has the proxies shut what an id names, because the register there cannot be read: the error to tell, with what they said.
pub async fn lock_unread(sockets: &[PathBuf], locked: Lock, place: &Place, cause: Error) -> Error {
    let told = lock(sockets, &[locked], None).await;
    Error::unconfirmed(&[locked], &told, place, cause)
}

/// How long others wait for the proxies, which are told first; their answers are waited for afterwards.
const PROXIES_FIRST: Duration = Duration::from_millis(100);

/// Locks on their way to the proxies. Dropped, they still go there.
pub struct Shut {
    /// Where the register stood for whoever wanted them.
    pub(super) since: Sequence,
    locks: Vec<Lock>,
    told: Result<Told, JoinHandle<Told>>,
}

impl Shut {
    /// Sends these locks to the proxies, and waits a moment for them.
    pub(super) async fn begin(sockets: &[PathBuf], locks: Vec<Lock>, since: Sequence) -> Shut {
        let (to, sent) = (sockets.to_vec(), locks.clone());
        let mut telling = tokio::spawn(async move { lock(&to, &sent, Some(since)).await });
        let told = match tokio::time::timeout(PROXIES_FIRST, &mut telling).await {
            Ok(told) => Ok(told.unwrap_or_else(|_| lost())),
            Err(_elapsed) => Err(telling),
        };
        Shut { since, locks, told }
    }

    /// Waits for the answers that are still due.
    pub(super) async fn end(self) -> (Vec<Lock>, Told) {
        let told = match self.told {
            Ok(told) => told,
            Err(telling) => telling.await.unwrap_or_else(|_| lost()),
        };
        (self.locks, told)
    }
}

fn lost() -> Told {
    Told { warnings: vec!["bug: the task that tells the proxies panicked".to_owned()], ..Told::default() }
}

async fn tell(sockets: &[PathBuf], requests: &[Value]) -> Told {
    let mut told = Told { by: sockets.to_vec(), ..Told::default() };
    if requests.is_empty() {
        told.by.clear();
    }
    let warn = |told: &mut Told, socket: &Path, warning| {
        told.by.retain(|by| by != socket);
        told.warnings.push(warning);
    };
    for request in requests {
        for (socket, answer) in ask_all(sockets, request).await {
            match answer {
                Ok(answer) => match answer.get("ended").and_then(Value::as_u64) {
                    Some(ended) => told.ended += ended,
                    None => warn(&mut told, &socket, unclear(&socket, &answer)),
                },
                Err(warning) => warn(&mut told, &socket, warning),
            }
        }
    }
    told
}

/// Asks every proxy the same at the same time.
async fn ask_all(sockets: &[PathBuf], request: &Value) -> Vec<(PathBuf, Result<Value, String>)> {
    let mut asked = JoinSet::new();
    for socket in sockets {
        let (socket, line) = (socket.clone(), format!("{request}\n"));
        asked.spawn(async move {
            let answer = match tokio::time::timeout(ANSWER_WITHIN, ask(&socket, &line)).await {
                Ok(Ok(answer)) => Ok(answer),
                Ok(Err(fault)) => Err(unreachable(&socket, &fault.to_string())),
                Err(_elapsed) => Err(unreachable(&socket, "it did not answer within 1 s")),
            };
            (socket, answer)
        });
    }
    asked.join_all().await
}

async fn ask(socket: &Path, line: &str) -> std::io::Result<Value> {
    let mut stream = UnixStream::connect(socket).await?;
    stream.write_all(line.as_bytes()).await?;
    let mut answer = String::new();
    BufReader::new(stream).take(ANSWER_BYTES_MAX).read_line(&mut answer).await?;
    Ok(serde_json::from_str(&answer)?)
}

fn unreachable(socket: &Path, why: &str) -> String {
    format!(
        "the proxy at {} was not told directly ({why}); if it runs, it learns of it from the register",
        socket.display()
    )
}

fn unclear(socket: &Path, answer: &Value) -> String {
    let answer: String = answer.to_string().chars().take(200).collect();
    format!("the proxy at {} gave an unexpected answer: {answer}", socket.display())
}

#[cfg(test)]
#[path = "narrow_tests.rs"]
mod tests;
