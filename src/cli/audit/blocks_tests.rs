//! A search that goes by sealed blocks asks the keyring twice, and both requests are recorded as one reading.

use super::search::{Looked, found};
use super::tests::{proxys_log, started};
use super::*;
use crate::audit::record::{Kind, Record};
use crate::clock::{Clock, SystemClock};
use crate::ids::SessionId;
use crate::log::Claim;

/// Statements of two staff members, the first in the first segments only.
async fn write(context: &Context) {
    let log = proxys_log(context, 32 << 10).await;
    for frame in 1..=26 {
        let mut record = Record::new(SystemClock.now(), Kind::Statement, Some(CustomerId(7)));
        record.skeleton.staff = Some(if frame <= 3 { 3 } else { 5 });
        record.values.text = Some(format!("select {frame}").into_bytes());
        let claim = Claim::of(SessionId([1; 8]), frame);
        let _receipt = log.append(record, claim).expect("queued").await.expect("durable");
    }
    log.close().expect("closed");
    let dir = context.config.audit.directory.join("proxy-gate-1");
    let blocks =
        std::fs::read_dir(&dir).expect("listed").filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    assert!(blocks.filter(|name| name.ends_with(".blocks")).count() > 2, "there are blocks");
}

async fn searched(context: &Context, looked: &Looked) -> Vec<Found> {
    let told = |failure: Failure| failure.message().to_owned();
    let auditor = Auditor::begin(context, &looked.asked("search"), looked.reason.as_deref()).await;
    found(&auditor.map_err(told).expect("begun"), looked).await.map_err(told).expect("found")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reading_of_two_requests_is_recorded_as_one_that_goes_on() {
    let dir = tempfile::tempdir().expect("a directory");
    let (context, served) = started(dir.path()).await;
    write(&context).await;
    for (staff, reason, rows, requests) in [("s3", "first", 3, 2), ("s4", "second", 0, 1)] {
        let reason = Some(reason.to_owned());
        let looked = Looked { staff: Some(staff.to_owned()), reason: reason.clone(), ..Looked::default() };
        assert_eq!(searched(&context, &looked).await.len(), rows, "{staff}");
        let reads = Looked { kind: vec![Kind::KeysOpened], text: reason, ..Looked::default() };
        let reads = searched(&context, &reads).await;
        let whys: Vec<&str> = reads.iter().filter_map(|read| read.record.values.message.as_deref()).collect();
        let asked = looked.asked("search");
        let why = format!("audit {asked}: {}", looked.reason.unwrap_or_default());
        let goes_on = format!("{why}{GOES_ON}");
        assert_eq!(whys, [why.as_str(), &goes_on][..requests], "{staff}");
        assert!(reads.iter().all(|read| read.record.skeleton.count > Some(0)), "each says how many keys");
    }
    served.abort();
}
