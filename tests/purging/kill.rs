//! kill -9 at every step of a purge: the next run goes on, and the counts are exact.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use portreeve::purge::{Event, Road};
use portreeve::secret::Secret;

use super::ground::{Ground, MAP, all_rows, counts, maintenance_dsn, map};

const DSN: &str = "PORTREEVE_TEST_DSN";
const DIGEST: &str = "PORTREEVE_TEST_DIGEST";

/// Not a test of its own: the process that `a_purge_killed_anywhere_goes_on_exactly` kills.
#[tokio::test]
#[ignore = "started by a_purge_killed_anywhere_goes_on_exactly"]
async fn a_purge_to_be_killed() {
    use portreeve::purge::{Control, Purge};
    let dsn = std::env::var(DSN).expect("a road");
    let digest = std::env::var(DIGEST).expect("a digest");
    let road = Road::new(&Secret::new(dsn), None).expect("a road");
    let map = map(MAP);
    let (_keep, stop) = tokio::sync::watch::channel(false);
    let mut tell = |event: &Event| println!("\nevent {event:?}");
    let mut control = Control { may_run: &|| true, stop, tell: &mut tell };
    let pace = super::ground::pace();
    let purge = Purge {
        road: &road,
        database: "shared",
        id: "p1",
        before: &[],
        map: &map,
        customer: "2",
        digest: &digest,
        pace,
    };
    purge.run(&mut control).await.expect("purged");
    println!("\nevent done");
}

/// Where a purge is killed.
#[derive(Clone, Copy)]
enum At {
    /// A moment after it began.
    Begin(Duration),
    /// When its first batch of this run is committed.
    Batch,
}

/// Runs it, kills it there, and says whether it got to its end before.
fn killed(ground: &Ground, digest: &str, at: At) -> bool {
    let mut child = Command::new(std::env::current_exe().expect("this binary"))
        .args(["--ignored", "--exact", "--nocapture", "kill::a_purge_to_be_killed"])
        .env(DSN, maintenance_dsn(&ground.cluster))
        .env(DIGEST, digest)
        .stdout(Stdio::piped())
        .spawn()
        .expect("this binary runs");
    let output = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut lines = output.lines().map_while(Result::ok).filter(|line| line.starts_with("event "));
    let last = lines.find(|line| {
        let wanted = match at {
            At::Begin(_) => "event Pass",
            At::Batch => "event Batch",
        };
        line.starts_with(wanted) || line == "event done"
    });
    if let At::Begin(moment) = at {
        std::thread::sleep(moment);
    }
    child.kill().expect("still ours");
    child.wait().expect("it ended");
    last.as_deref() == Some("event done")
}

#[tokio::test]
async fn a_purge_killed_anywhere_goes_on_exactly() {
    let ground = Ground::new().await;
    let others = ground.others().await;
    let digest = ground.plan().await.digest();
    let sum = "select (select coalesce(sum(rows), 0) from portreeve.purge_steps s where step > 0)::bigint
        + (select count(*) from contacts where tenant_id = 2) + (select count(*) from orders where tenant_id = 2)
        + (select count(*) from lines l join orders o on o.id = l.order_id where tenant_id = 2)
        + (select count(*) from events where tenant_id = 2) + (select count(*) from history where tenant_id = 2)";
    let whole: u64 = all_rows().iter().map(|(_, rows)| rows).sum();
    let mut kills: u64 = 0;
    loop {
        let moment = Duration::from_micros(137 * kills % 4000);
        let at = if kills.is_multiple_of(2) { At::Begin(moment) } else { At::Batch };
        if killed(&ground, &digest, at) {
            break;
        }
        kills += 1;
        // what was deleted and what is left are always the whole; step 0 makes keys null and deletes nothing
        assert_eq!(ground.column(sum).await, [whole.to_string()], "after kill {kills}");
        assert!(kills < 200, "it does not come to an end");
    }
    println!("{kills} kills");
    assert!(kills >= 20, "{kills} kills are not every step");
    let outcome = ground.purge("p1").await.expect("finished");
    assert_eq!(counts(&outcome), all_rows());
    assert_eq!(ground.others().await, others);
}
