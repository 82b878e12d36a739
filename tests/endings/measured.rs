//! What is promised of every ending, checked and measured.
//! Not here: how it came about (`main.rs`).

use std::time::{Duration, Instant};

use portreeve::audit::record::Kind;
use tokio::task::JoinHandle;

use crate::cast::{Doing, Member, SOON, watch_backends};
use crate::ground::{Act, Ground};

/// The last row of customer data comes this much after whoever ended it was answered, at the latest.
pub(crate) const LAST_ROW_WITHIN: Duration = Duration::from_millis(250);
/// And the backend is gone.
pub(crate) const GONE_WITHIN: Duration = Duration::from_secs(1);
/// And the client is told.
const TOLD_WITHIN: Duration = Duration::from_secs(2);

/// What is expected of the ending of some sessions.
pub(crate) struct Expected<'a> {
    /// The way they end, for the report.
    pub(crate) way: &'static str,
    /// The word in the record.
    pub(crate) reason: &'a str,
    pub(crate) sqlstate: &'a str,
    /// In what the client is told.
    pub(crate) says: &'a str,
}

/// Sessions that are about to be ended.
pub(crate) struct Watched {
    members: Vec<Member>,
    gone: JoinHandle<Vec<(i32, Instant)>>,
}

/// Delays of everything that was measured.
#[derive(Default)]
pub(crate) struct Measured {
    rows: Vec<(&'static str, Duration, Duration, Option<Duration>)>,
}

impl Watched {
    pub(crate) async fn new(ground: &Ground, members: Vec<Member>) -> Watched {
        let pids = members.iter().map(|member| member.pid).collect();
        Watched { gone: watch_backends(&ground.stage, pids).await, members }
    }

    /// Whether all are still there.
    pub(crate) fn are_there(&self) -> bool {
        self.members.iter().all(Member::is_there)
    }

    /// Waits until all have ended, by that act and not before it, and checks all that is promised.
    pub(crate) async fn ended(self, ground: &mut Ground, act: Act, expected: &Expected<'_>, to: &mut Measured) {
        let way = expected.way;
        let gone = tokio::time::timeout(3 * SOON, self.gone).await.expect("bounded").expect("no panic");
        let mut seen = Vec::new();
        for member in self.members {
            seen.push(member.seen().await);
        }
        wait_for_records(ground, &seen.iter().map(|seen| seen.pid).collect::<Vec<_>>()).await;
        for seen in &seen {
            let (doing, told) = (seen.doing, &seen.told);
            let (_, gone) = gone.iter().find(|(pid, _)| *pid == seen.pid).expect("it was watched");
            let gone = act.until(*gone, &format!("{way}: the backend of {doing:?} was gone"));
            let told_after = act.until(seen.at, &format!("{way}: {doing:?} was told"));
            // Rows may have stopped a moment before, on a machine that has other things to do.
            let last_row = seen.last_row.map(|at| at.saturating_duration_since(act.done));
            to.rows.push((way, gone, told_after, last_row));
            assert!(gone <= GONE_WITHIN, "{way}: the backend of {doing:?} was there for {gone:?}");
            assert!(last_row <= Some(LAST_ROW_WITHIN), "{way}: {doing:?} was given rows for {last_row:?}");
            let is_reset = told.contains("ConnectionReset") || told.contains("kind: Closed") || told.contains("Eof");
            let is_told = told.starts_with(expected.sqlstate) && told.contains(expected.says);
            assert!(is_told || (doing.is_receiving() && is_reset), "{way}: {doing:?} was told: {told}");
            if doing == Doing::Stuck {
                assert!(is_reset, "{way}: a client that takes nothing was waited for: {told}");
            } else {
                assert!(told_after <= TOLD_WITHIN, "{way}: {doing:?} was told after {told_after:?}");
            }
            let record = ground.ends.iter().find(|end| end.backend == Some(seen.pid)).expect("it was waited for");
            let verb = record.verb.as_deref().unwrap_or_default();
            assert!(verb.contains(expected.reason), "{way}: {doing:?} is recorded as {verb}");
            assert_eq!(record.fate.as_deref(), Some(doing.fate()), "{way}: the fate of {doing:?}");
            assert_eq!(record.result.as_deref(), Some("gone"), "{way}: {doing:?}");
        }
        let told = seen.iter().filter(|seen| seen.told.starts_with(expected.sqlstate)).count();
        println!("{way}: {} sessions, {told} told, {} reset inside a message", seen.len(), seen.len() - told);
    }
}

/// Waits until the ends of those backends' sessions are recorded.
pub(crate) async fn wait_for_records(ground: &mut Ground, pids: &[i32]) {
    let until = Instant::now() + SOON;
    loop {
        let news = ground.auditor.news(&[Kind::SessionEnded]).await;
        ground.ends.extend(news.into_iter().map(|found| found.record.skeleton));
        let is_recorded = |pid: &&i32| ground.ends.iter().any(|end| end.backend == Some(**pid));
        if pids.iter().filter(is_recorded).count() == pids.len() {
            return;
        }
        assert!(Instant::now() < until, "not all ends are recorded: {pids:?}, {:?}", ground.ends);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

impl Measured {
    /// Prints medians and maxima, each way on a line.
    pub(crate) fn print(&self) {
        let mut ways: Vec<&str> = self.rows.iter().map(|(way, ..)| *way).collect();
        ways.dedup();
        ways.push("all");
        for way in ways {
            let of = |found: &&str| way == "all" || **found == *way;
            let rows: Vec<_> = self.rows.iter().filter(|(found, ..)| of(found)).collect();
            let gone = spread(rows.iter().map(|(_, gone, ..)| *gone).collect());
            let told = spread(rows.iter().map(|(_, _, told, _)| *told).collect());
            let last = spread(rows.iter().filter_map(|(.., last)| *last).collect());
            println!("{way} ({}): backend gone {gone}; client told {told}; last row {last}", rows.len());
        }
    }
}

/// `median 3 ms, max 12 ms`.
pub(crate) fn spread(mut of: Vec<Duration>) -> String {
    of.sort_unstable();
    match (of.get(of.len() / 2), of.last()) {
        (Some(median), Some(most)) => format!("median {:.1?}, max {most:.1?}", median),
        (None, _) | (_, None) => "-".to_owned(),
    }
}

/// Waits until the grant roles are these.
pub(crate) async fn wait_for_roles(ground: &Ground, count: usize) {
    let until = Instant::now() + SOON;
    loop {
        let roles = ground.roles().await;
        if roles.len() == count {
            return;
        }
        assert!(Instant::now() < until, "roles that should be dropped, or are missing: {roles:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
