//! Everything a session can be doing when it is ended, all at once under one grant.
//! Not here: who ends it (`main.rs`), and what is promised about it (`measured.rs`).

use std::pin::pin;
use std::time::{Duration, Instant};

use futures_util::{Stream, StreamExt};
use portreeve::cli::demo::stage::Stage;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Error, NoTls};

use crate::client::{Session, words};
use crate::ground::sign_in_soon;

/// Whatever should happen soon happens within this.
pub(crate) const SOON: Duration = Duration::from_secs(15);

/// As the design has it.
const SEND_BUFFER_BYTES: u64 = 256 * 1024;

const ROWS: &str = "select a.full_name, b.email, c.company from contacts a, contacts b, contacts c";

/// What a session is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doing {
    /// An UPDATE that runs for a minute.
    Update,
    /// Receives rows without end.
    Select,
    /// Asked for rows without end and has stopped taking them.
    Stuck,
    /// Receives COPY data without end.
    Copy,
    /// Has changed a row in a transaction and waits.
    Open,
    /// Holds a cursor open beyond its transaction.
    Hold,
    /// Listens.
    Listen,
    /// Nothing.
    Idle,
}

impl Doing {
    pub(crate) const ALL: [Doing; 8] =
        [Doing::Update, Doing::Select, Doing::Stuck, Doing::Copy, Doing::Open, Doing::Hold, Doing::Listen, Doing::Idle];

    /// What its session calls itself.
    pub(crate) fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    /// Whether bytes are on their way all the time, so that the end may come inside a message.
    pub(crate) fn is_receiving(self) -> bool {
        matches!(self, Doing::Select | Doing::Stuck | Doing::Copy)
    }

    /// Whether nothing is asked for, so that it ends when it is left alone.
    pub(crate) fn is_quiet(self) -> bool {
        matches!(self, Doing::Open | Doing::Hold | Doing::Listen | Doing::Idle)
    }

    /// What becomes of its transaction: what has changed rows is known to be rolled back, what has no transaction is
    /// known to have none; of the others the server tells nothing, and a grant to write might have been used.
    pub(crate) fn fate(self) -> &'static str {
        match self {
            Doing::Update | Doing::Open => "aborted",
            Doing::Hold | Doing::Listen | Doing::Idle => "none",
            Doing::Select | Doing::Stuck | Doing::Copy => "in doubt",
        }
    }
}

/// How a session ended, as its client saw it.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) doing: Doing,
    pub(crate) pid: i32,
    /// When the last row came.
    pub(crate) last_row: Option<Instant>,
    /// The server's words, or how the connection broke.
    pub(crate) told: String,
    /// When it was told.
    pub(crate) at: Instant,
}

/// One session under way.
pub(crate) struct Member {
    pub(crate) doing: Doing,
    pub(crate) pid: i32,
    /// The client's port, and the gate's.
    ports: (u16, u16),
    /// Lets a stuck client take its rows.
    go_on: Option<oneshot::Sender<()>>,
    seen: JoinHandle<Seen>,
}

impl Member {
    pub(crate) fn is_there(&self) -> bool {
        !self.seen.is_finished()
    }

    /// How it ended; waits until it has. A client that was stuck goes on once the gate has given it up, and takes what
    /// there still is.
    pub(crate) async fn seen(self) -> Seen {
        let (port, gate) = self.ports;
        let until = Instant::now() + SOON;
        while self.doing == Doing::Stuck && send_queue(gate, port).is_some_and(|waiting| waiting > 0) {
            assert!(Instant::now() < until, "a client that takes nothing is waited for");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        drop(self.go_on);
        let seen = tokio::time::timeout(SOON, self.seen).await;
        seen.unwrap_or_else(|_| unreachable!("{:?} was not ended", self.doing)).expect("a client does not panic")
    }
}

/// Opens these sessions and waits until each is in the midst of what it does.
pub(crate) async fn cast(stage: &Stage, staff: &str, doing: &[Doing]) -> Vec<Member> {
    let mut members = Vec::new();
    for doing in doing {
        members.push(member(stage, staff, *doing).await);
    }
    let superuser = superuser(stage).await;
    let busy = "select count(*) from pg_stat_activity where pid = any($1) and backend_xid is not null";
    let writers: Vec<i32> = members.iter().filter(|member| member.doing.fate() == "aborted").map(|m| m.pid).collect();
    let until = Instant::now() + SOON;
    loop {
        let found: i64 = superuser.query_one(busy, &[&writers]).await.expect("activity").get(0);
        if usize::try_from(found) == Ok(writers.len()) {
            return members;
        }
        assert!(Instant::now() < until, "the UPDATEs do not begin");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn member(stage: &Stage, staff: &str, doing: Doing) -> Member {
    let Session { client, port, pid, connection } = sign_in_soon(stage, staff, "acme", &doing.name()).await;
    prepare(&client, doing).await.unwrap_or_else(|error| unreachable!("{doing:?}: {}", words(&error)));
    let (rows, mut count) = watch::channel(0);
    let (go_on, may_go_on) = oneshot::channel();
    let seen = tokio::spawn(async move {
        let (mut last_row, error) = work(&client, doing, rows, may_go_on).await;
        let (ended, broken) = connection.await.expect("a connection does not panic");
        let (at, told) = match error {
            Some((at, error)) => (at, words(&error)),
            None => (ended, broken.as_ref().map(words).unwrap_or_default()),
        };
        if doing == Doing::Stuck {
            last_row = None;
        }
        Seen { doing, pid, last_row, told, at }
    });
    if doing.is_receiving() {
        tokio::time::timeout(SOON, count.wait_for(|count| *count >= 100)).await.expect("soon").expect("rows");
    }
    if doing == Doing::Stuck {
        wait_until_stuck(stage, pid, port).await;
    }
    Member { doing, pid, ports: (port, stage.gate_port()), go_on: Some(go_on), seen }
}

/// Until the server cannot send more, for neither the gate nor the client takes it; then little may wait in the gate's
/// send buffer, for it could not be called back.
async fn wait_until_stuck(stage: &Stage, pid: i32, port: u16) {
    let superuser = superuser(stage).await;
    let until = Instant::now() + SOON;
    let sql = "select count(*) from pg_stat_activity where pid = $1 and wait_event = 'ClientWrite'";
    let mut times = 0;
    while times < 5 {
        let blocked: i64 = superuser.query_one(sql, &[&pid]).await.expect("activity").get(0);
        times = if blocked == 1 { times + 1 } else { 0 };
        assert!(Instant::now() < until, "a client that takes nothing is not felt at the server");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let waiting = send_queue(stage.gate_port(), port).expect("the gate's end of the connection");
    assert!((1..=SEND_BUFFER_BYTES).contains(&waiting), "{waiting} bytes wait in the gate's send buffer");
}

/// How many bytes wait in the kernel, sent by `from` and not yet taken by `to` (proc(5), `/proc/net/tcp`). None if
/// there is no such connection, or no longer.
fn send_queue(from: u16, to: u16) -> Option<u64> {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("/proc");
    let (from, to) = (format!(":{from:04X}"), format!(":{to:04X}"));
    let line = table.lines().find(|line| {
        let mut words = line.split_whitespace().skip(1);
        words.next().is_some_and(|local| local.ends_with(&from)) && words.next().is_some_and(|peer| peer.ends_with(&to))
    });
    let (sending, _) = line?.split_whitespace().nth(4)?.split_once(':')?;
    u64::from_str_radix(sending, 16).ok()
}

async fn prepare(client: &Client, doing: Doing) -> Result<(), Error> {
    let sql = match doing {
        Doing::Open => "begin; update tickets set subject = 'changed' where id <= 10",
        Doing::Hold => "begin; declare kept cursor with hold for select * from contacts; commit; fetch 3 from kept",
        Doing::Listen => "listen something",
        Doing::Update | Doing::Select | Doing::Stuck | Doing::Copy | Doing::Idle => return Ok(()),
    };
    client.batch_execute(sql).await
}

/// Until there is no more: when the last row came, and the error that its own statement was answered with.
async fn work(
    client: &Client,
    doing: Doing,
    rows: watch::Sender<u64>,
    may_go_on: oneshot::Receiver<()>,
) -> (Option<Instant>, Option<(Instant, Error)>) {
    let error = match doing {
        Doing::Update => {
            let update = "update contacts set full_name = 'changed' || pg_sleep(0.03)::text";
            client.batch_execute(update).await.err()
        }
        Doing::Select | Doing::Stuck => match client.simple_query_raw(ROWS).await {
            Ok(stream) => return receive(stream, &rows, (doing == Doing::Stuck).then_some(may_go_on)).await,
            Err(error) => Some(error),
        },
        Doing::Copy => match client.copy_out(&format!("copy ({ROWS}) to stdout")).await {
            Ok(stream) => return receive(stream, &rows, None).await,
            Err(error) => Some(error),
        },
        // Nothing was asked for: the connection itself is told.
        Doing::Open | Doing::Hold | Doing::Listen | Doing::Idle => return (None, None),
    };
    (None, error.map(|error| (Instant::now(), error)))
}

async fn receive<T>(
    stream: impl Stream<Item = Result<T, Error>>,
    rows: &watch::Sender<u64>,
    stuck: Option<oneshot::Receiver<()>>,
) -> (Option<Instant>, Option<(Instant, Error)>) {
    let mut stream = pin!(stream);
    let (mut count, mut last) = (0_u64, None);
    let mut stuck = stuck;
    loop {
        if count >= 100
            && let Some(may_go_on) = stuck.take()
        {
            // The sender is dropped, or sends: both mean go on.
            let _: Result<(), _> = may_go_on.await;
        }
        match stream.next().await {
            Some(Ok(_)) => {
                count += 1;
                last = Some(Instant::now());
                rows.send_replace(count);
            }
            Some(Err(error)) => return (last, Some((Instant::now(), error))),
            None => return (last, None),
        }
    }
}

/// A superuser's connection that stays.
pub(crate) async fn superuser(stage: &Stage) -> Client {
    let dsn = stage.cluster.superuser_dsn("postgres");
    let (client, connection) = tokio_postgres::connect(&dsn, NoTls).await.expect("a superuser");
    // Ends with the client.
    tokio::spawn(connection);
    client
}

/// Watches the backends with these process ids; ends when all are gone, with the moment each was.
pub(crate) async fn watch_backends(stage: &Stage, pids: Vec<i32>) -> JoinHandle<Vec<(i32, Instant)>> {
    let superuser = superuser(stage).await;
    tokio::spawn(async move {
        let (mut left, mut gone) = (pids, Vec::new());
        let until = Instant::now() + 2 * SOON;
        while !left.is_empty() && Instant::now() < until {
            let sql = "select pid from pg_stat_activity
                where pid = any($1) and (usename like 'pr\\_g\\_%' or usename = 'support_read')";
            let rows = superuser.query(sql, &[&left]).await.expect("activity");
            let now = Instant::now();
            let there: Vec<i32> = rows.iter().map(|row| row.get(0)).collect();
            gone.extend(left.iter().filter(|pid| !there.contains(pid)).map(|pid| (*pid, now)));
            left = there;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        assert_eq!(left, Vec::<i32>::new(), "these backends were not ended");
        gone
    })
}
