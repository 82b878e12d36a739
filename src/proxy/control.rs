//! The proxy's control socket: the narrowing road, and who is in now. One JSON line asks, one JSON line answers.
//! Not here: widening; nothing that comes by this socket lets anybody in.
//! Whoever may open the socket (its group) may ask; the kernel tells who it was.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

use crate::grant::Lock;
use crate::ids::{CustomerId, GrantId, OwnerId, Sequence, SessionId, StaffId};
use crate::proxy::Gate;
use crate::proxy::live::{Entry, Order};

/// A request is one short line.
const LINE_BYTES_MAX: u64 = 4096;
/// A peer that says nothing is dropped.
const IDLE_WITHIN: Duration = Duration::from_secs(30);

/// What may be asked.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum Request {
    /// Shut out at once, until the register says so itself.
    Lock(Target),
    /// Who is in now.
    Sessions {},
    /// End one session, for an owner.
    End { session: String, by: String },
}

/// What is shut: exactly one of the three.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Target {
    customer: Option<u64>,
    staff: Option<u64>,
    grant: Option<u64>,
    since: Option<u64>,
}

impl Target {
    fn lock(&self) -> Result<Lock, String> {
        match (self.customer, self.staff, self.grant) {
            (Some(id), None, None) => Ok(Lock::Customer(CustomerId(id))),
            (None, Some(id), None) => Ok(Lock::Staff(StaffId(id))),
            (None, None, Some(id)) => Ok(Lock::Grant(GrantId(id))),
            (_, _, _) => Err("a lock names exactly one of customer, staff and grant".to_owned()),
        }
    }
}

/// One open session, as others see it.
#[derive(Debug, Serialize)]
struct Seen {
    session: String,
    staff: u64,
    customer: u64,
    grant: u64,
    scope: &'static str,
    since: i64,
    address: String,
    application: String,
    statements: u64,
    backend: i32,
    role: String,
}

impl From<&Entry> for Seen {
    fn from(entry: &Entry) -> Seen {
        Seen {
            session: entry.session.to_string(),
            staff: entry.staff.0,
            customer: entry.customer.0,
            grant: entry.grant.0,
            scope: entry.scope.word(),
            since: entry.since.0,
            address: entry.address.to_string(),
            application: entry.application.clone(),
            statements: entry.statements.load(std::sync::atomic::Ordering::Relaxed),
            backend: entry.cancel.0,
            role: entry.role.clone(),
        }
    }
}

/// Binds the socket, taking the place of one that a dead process left. The proxy's own lock on its log shows that no
/// live process has it.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    use std::os::unix::fs::PermissionsExt as _;
    match std::fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}

/// Answers for as long as the proxy lives.
pub async fn serve(gate: Arc<Gate>, listener: UnixListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let gate = Arc::clone(&gate);
                tokio::spawn(async move {
                    if let Err(error) = converse(&gate, stream).await {
                        tracing::debug!(%error, "a control connection ended");
                    }
                });
            }
            Err(error) => {
                tracing::error!(%error, "the control socket does not accept");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn converse(gate: &Gate, mut stream: UnixStream) -> io::Result<()> {
    let uid = stream.peer_cred()?.uid();
    let (read, mut write) = stream.split();
    let mut read = BufReader::new(read.take(0));
    loop {
        let mut line = String::new();
        read.get_mut().set_limit(LINE_BYTES_MAX);
        if tokio::time::timeout(IDLE_WITHIN, read.read_line(&mut line)).await?? == 0 {
            return Ok(());
        }
        let answer = match serde_json::from_str(&line) {
            Ok(request) => answer(gate, uid, request),
            Err(error) => Err(format!("not a request: {error}")),
        };
        let mut answer = answer.unwrap_or_else(|error| json!({ "error": error })).to_string();
        answer.push('\n');
        write.write_all(answer.as_bytes()).await?;
    }
}

fn answer(gate: &Gate, uid: u32, request: Request) -> Result<Value, String> {
    match request {
        Request::Lock(target) => {
            let lock = target.lock()?;
            let since = target.since.map_or_else(|| gate.follower.state().sequence(), Sequence);
            let kept = gate.locks.place(lock, since);
            let hit = |entry: &Arc<Entry>| match lock {
                Lock::Customer(id) => entry.customer == id,
                Lock::Staff(id) => entry.staff == id,
                Lock::Grant(id) => entry.grant == id,
            };
            let ended = gate.live.all().iter().filter(|entry| hit(entry)).count();
            gate.live.tell_all(|| Order::Recheck);
            tracing::info!(%lock, uid, ended, "locked until the register confirms");
            kept.map(|()| json!({ "ended": ended })).map_err(|error| error.to_string())
        }
        Request::Sessions {} => {
            let seen: Vec<Seen> = gate.live.all().iter().map(|entry| Seen::from(&**entry)).collect();
            Ok(json!({ "sessions": seen }))
        }
        Request::End { session, by } => {
            let session: SessionId = session.parse().map_err(|error| format!("session: {error}"))?;
            let owner: OwnerId = by.parse().map_err(|error| format!("by: {error}"))?;
            let told = gate.live.tell(session, Order::EndByOwner(owner));
            tracing::info!(%session, %owner, uid, told, "an owner ends a session");
            Ok(json!({ "ended": u8::from(told) }))
        }
    }
}
