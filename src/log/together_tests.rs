use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::fixture::*;
use super::super::reader::Reader;
use super::super::search::{Query, search};
use super::super::verify::examine;
use super::super::{Error, Log};
use super::*;
use crate::audit::descriptor::Descriptor;
use crate::audit::keys::Recipient;
use crate::audit::public::Lost as Told;
use crate::audit::record::Kind;
use crate::disk::RealDisk;
use crate::entropy::OsEntropy;
use crate::ids::EventId;

const NEXT: &str = "proxy-gate-1.2";
const DAY: Duration = Duration::from_secs(86_400);

fn block<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}

fn record(log: &Log, text: &str) {
    block(log.record(statement(Some(SEVEN), text))).expect("durable");
}

fn second(fixture: &Fixture) -> PathBuf {
    fixture.temporary.path().join("second")
}

fn begin(fixture: &Fixture, note: Option<String>) -> Result<Log, Error> {
    let mut settings = super::super::Settings::new(NEXT, signing(2));
    (settings.segment_bytes, settings.reserve_bytes, settings.continues) = (64 << 10, 1 << 20, note);
    let clock = Arc::clone(&fixture.clock) as Arc<dyn crate::clock::Clock>;
    Log::open(Arc::new(RealDisk), &second(fixture), settings, fixture.recipients.clone(), clock, Arc::new(OsEntropy))
}

fn note(fixture: &Fixture) -> String {
    Reader::open(&fixture.dir()).expect("readable").note().to_owned()
}

/// A log that ended, and the one as which it goes on.
fn rotated() -> Fixture {
    let fixture = Fixture::new();
    let log = fixture.open();
    record(&log, "before");
    log.close_to_continue(NEXT, &signing(2).public()).expect("closed");
    let log = begin(&fixture, Some(note(&fixture))).expect("begun");
    record(&log, "behind");
    log.close().expect("closed");
    fixture
}

fn judged(dirs: &[(&Path, u8)]) -> Vec<(String, Verdict)> {
    let logs: Vec<Examined> = dirs
        .iter()
        .map(|(dir, key)| {
            let examined = examine(dir, &signing(*key).public(), None, u64::MAX).expect("readable");
            assert!(!examined.findings.iter().any(|finding| finding.verdict.is_alarm()), "{:?}", examined.findings);
            examined
        })
        .collect();
    judge(&logs, &BTreeSet::new(), NOON).into_iter().map(|(origin, finding)| (origin, finding.verdict)).collect()
}

#[test]
fn a_log_goes_on_as_another_and_both_are_read_as_one() {
    let fixture = rotated();
    let (first, second) = (fixture.dir(), second(&fixture));
    assert_eq!(judged(&[(&first, 1), (&second, 2)]), []);
    assert_eq!(judged(&[(&second, 2), (&first, 1)]), [], "in any order");
    let opener = |sealed: Vec<crate::audit::keys::SealedDataKey>| {
        std::future::ready(Ok::<_, Error>(sealed.iter().map(|key| fixture.open_key(key)).collect()))
    };
    let query = Query { customer: Some(SEVEN), ..Query::default() };
    let found = block(search(&[first, second], &query, &fixture.recipients, opener)).expect("found");
    let texts: Vec<_> = found.iter().filter_map(|found| found.record.values.text.as_deref()).collect();
    assert_eq!(texts, [b"before", b"behind"]);
    assert_eq!(
        leaves(&fixture).first().map(|leaf| leaf.place.kind),
        Some(Kind::Continues),
        "it begins with the old end"
    );
}

/// Of the second log.
fn leaves(fixture: &Fixture) -> Vec<Descriptor> {
    let reader = Reader::open(&second(fixture)).expect("readable");
    reader.leaves().map(|leaf| leaf.expect("readable")).collect()
}

#[test]
fn a_log_that_ended_is_not_written_any_more_and_its_end_is_signed() {
    let fixture = Fixture::new();
    fixture.open().close().expect("closed");
    let signed = fs::read(fixture.file("checkpoint")).expect("read");
    fixture.open().close_to_continue(NEXT, &signing(2).public()).expect("closed");
    // As if the power had failed before the last checkpoint.
    fs::write(fixture.file("checkpoint"), signed).expect("written");
    for _ in 0..2 {
        let refused = fixture.try_open().expect_err("it ended");
        let Error::Continued { next, .. } = &refused else { panic!("{refused}") };
        assert_eq!(*next, verifier_key("portreeve/proxy-gate-1.2", &signing(2).public()));
    }
    assert_eq!(fixture.verdicts(), [Verdict::Ok], "all of it is signed");
}

#[test]
fn cut_off_between_the_two_logs_the_new_one_is_begun_once() {
    let fixture = rotated();
    let before = Reader::open(&second(&fixture)).expect("readable").claimed();
    begin(&fixture, Some(note(&fixture))).expect("opened").close().expect("closed");
    let leaves = leaves(&fixture);
    assert!(leaves.len() as u64 > before);
    assert_eq!(leaves.iter().filter(|leaf| leaf.place.kind == Kind::Continues).count(), 1);
    assert_eq!(judged(&[(&fixture.dir(), 1), (&second(&fixture), 2)]), []);
}

/// What can be done to two logs, each whole by itself.
#[test]
fn logs_that_do_not_say_the_same_are_found() {
    let fixture = Fixture::new();
    let copy = |name: &str| {
        let to = fixture.temporary.path().join(name);
        fs::create_dir(&to).expect("made");
        for entry in fs::read_dir(fixture.dir()).expect("listed").map(|entry| entry.expect("an entry")) {
            fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
        }
        to
    };
    let log = fixture.open();
    record(&log, "before");
    log.close().expect("closed");
    let early = copy("early");
    fixture.open().close_to_continue(NEXT, &signing(2).public()).expect("closed");
    let ended = copy("ended");
    begin(&fixture, Some(note(&fixture))).expect("begun").close().expect("closed");
    let second = second(&fixture);
    let (old, new) = ("portreeve/proxy-gate-1".to_owned(), "portreeve/proxy-gate-1.2".to_owned());
    assert_eq!(judged(&[(&ended, 1), (&second, 2)]), []);
    assert_eq!(judged(&[(&ended, 1)]), [(old.clone(), Verdict::Missing)], "the next log is gone");
    assert_eq!(judged(&[(&second, 2)]), [(new.clone(), Verdict::Missing)], "the log before is gone");
    assert_eq!(judged(&[(&early, 1), (&second, 2)]), [(new.clone(), Verdict::RolledBack)], "an older copy of it");

    // Somebody who has the old key writes on in an older copy.
    fs::remove_dir_all(fixture.dir()).expect("removed");
    fs::rename(&early, fixture.dir()).expect("put back");
    let log = fixture.open();
    (0..4).for_each(|_| record(&log, "forged"));
    log.close().expect("closed");
    assert_eq!(judged(&[(&fixture.dir(), 1), (&second, 2)]), [(new.clone(), Verdict::Forked)]);

    // A log of that name and key that does not go on from it.
    fs::remove_dir_all(&second).expect("removed");
    begin(&fixture, None).expect("begun").close().expect("closed");
    assert_eq!(judged(&[(&ended, 1), (&second, 2)]), [(old, Verdict::Forked)]);
}

/// A log of ten records with these notices, each told at that moment.
fn log_with(notices: Vec<(Timestamp, Notice)>, lost: Option<Lost>) -> Examined {
    let open = (3..).zip(notices).map(|(position, (at, notice))| (position, at, Public::Notice(notice)));
    Examined {
        origin: "portreeve/a".to_owned(),
        public: [1; 32],
        size: 20,
        root: [0; 32],
        is_whole: true,
        records: 10,
        lost,
        open: open.collect(),
        findings: vec![],
    }
}

fn notice(event: u8, part: Part, records: u64) -> (Timestamp, Notice) {
    let logs = vec![Told { log: "portreeve/a".to_owned(), records }];
    (NOON, Notice::new(EventId([event; 16]), part, NOON, logs))
}

fn values(count: u64) -> Option<Lost> {
    Some(Lost { values: count, ..Lost::default() })
}

#[test]
fn what_is_erased_is_told_from_what_is_missing_and_from_what_was_brought_back() {
    use Verdict::{Erased, Missing, RolledBack};
    let (of_values, of_all) = (notice(1, Part::Values, 4), notice(2, Part::Skeleton, 4));
    let unclaimed = Some(Lost { unclaimed: 4, ..Lost::default() });
    let (at_once, later) = (NOON, NOON.plus(2 * DAY));
    let cases = [
        ("nothing", vec![], values(0), later, vec![]),
        ("nobody's keys, nothing told", vec![], None, later, vec![]),
        ("lost without a notice", vec![], values(4), later, vec![Missing]),
        ("as told", vec![of_values.clone()], values(4), later, vec![Erased]),
        ("as told, without any key", vec![of_values.clone()], None, later, vec![Erased]),
        ("told twice", vec![of_values.clone(), of_values.clone()], values(4), later, vec![Erased]),
        ("one more", vec![of_values.clone()], values(5), later, vec![Missing]),
        ("about to be", vec![of_values.clone()], values(0), at_once, vec![Erased]),
        ("a living key again", vec![of_values.clone()], values(0), later, vec![RolledBack]),
        ("both parts", vec![of_values.clone(), of_all], unclaimed, later, vec![Erased, Erased]),
        ("one part too few", vec![of_values], unclaimed, later, vec![Erased, Missing]),
        ("more than there are", vec![notice(1, Part::Values, 11)], values(10), later, vec![Missing]),
    ];
    for (what, notices, lost, now, expected) in cases {
        let found = judge(&[log_with(notices, lost)], &BTreeSet::new(), now);
        let found: Vec<_> = found.into_iter().map(|(_, finding)| finding.verdict).collect();
        assert_eq!(found, expected, "{what}");
    }
}

/// The keyring was away for two days, or a hold came between: what the register knows to be under way is no alarm.
#[test]
fn an_erasure_that_waits_is_no_keyring_that_was_brought_back() {
    let verdicts = |under_way: &[u8]| {
        let logs = [log_with(vec![notice(1, Part::Values, 4), notice(2, Part::Values, 3)], values(3))];
        let under_way = under_way.iter().map(|event| Notice::id_of(EventId([*event; 16]))).collect();
        let found = judge(&logs, &under_way, NOON.plus(2 * DAY));
        found.into_iter().map(|(_, finding)| (finding.verdict, finding.detail)).collect::<Vec<_>>()
    };
    let waits = "the values of 3 records are erased; notices say 7, and that is under way".to_owned();
    assert_eq!(verdicts(&[1]), [(Verdict::Erased, waits)]);
    for others in [&[][..], &[2], &[9]] {
        assert_eq!(verdicts(others)[0].0, Verdict::RolledBack, "{others:?}: of those that are through, keys are there");
    }
    // As many records as the second notice tells of have lost their keys: those of the first have them again.
    let logs = [log_with(vec![notice(1, Part::Values, 3), notice(2, Part::Values, 3)], values(3))];
    let found = judge(&logs, &BTreeSet::new(), NOON.plus(2 * DAY));
    assert_eq!(found[0].1.verdict, Verdict::RolledBack, "the second is carried out, so that it is not under way");
}

#[test]
fn an_erasure_before_its_time_is_seen_without_any_key() {
    let (at, notice) = notice(1, Part::Values, 4);
    let before = Timestamp(at.0 - 1);
    let found = judge(&[log_with(vec![(before, notice)], None)], &BTreeSet::new(), NOON.plus(DAY));
    assert_eq!(found[0].1.verdict, Verdict::ErasedEarly, "{found:?}");
    assert_eq!(found[0].1.place, "portreeve/a, position 3");
}

#[test]
fn a_log_that_a_notice_names_and_that_is_not_there_is_missing() {
    let (at, mut told) = notice(1, Part::Values, 4);
    told.logs.push(Told { log: "portreeve/b".to_owned(), records: 1 });
    let found = judge(&[log_with(vec![(at, told)], values(4))], &BTreeSet::new(), NOON);
    let found: Vec<_> = found.iter().map(|(origin, finding)| (origin.as_str(), finding.verdict)).collect();
    assert_eq!(found, [("portreeve/a", Verdict::Erased), ("portreeve/b", Verdict::Missing)]);
}

/// A real log: the notice is durable before the keys go, and nobody's tag stands in it.
#[test]
fn a_notice_in_a_log_is_nobodys_and_counts() {
    let fixture = Fixture::new();
    let log = fixture.open();
    record(&log, "SELECT 1");
    let logs = vec![Told { log: "portreeve/proxy-gate-1".to_owned(), records: 1 }];
    block(log.notice(Notice::new(EventId([7; 16]), Part::Values, NOON, logs))).expect("durable");
    log.close().expect("closed");
    fixture.recipients.set_erased(Recipient::Customer(SEVEN), Part::Values, None);
    let keys = super::super::open::DataKeys::new();
    let opening = super::super::verify::Opening { recipients: &fixture.recipients, keys: &keys };
    let dir = fixture.dir();
    let examined = examine(&dir, &signing(1).public(), Some(&opening), u64::MAX).expect("readable");
    assert_eq!(examined.lost, values(1));
    let found: Vec<_> =
        judge(&[examined], &BTreeSet::new(), NOON).into_iter().map(|(_, finding)| finding.to_string()).collect();
    assert_eq!(found, ["erased: portreeve/proxy-gate-1: the values of 1 records are erased, as notices say"]);
    let reader = Reader::open(&dir).expect("readable");
    let mut places = reader.leaves().map(|leaf| leaf.expect("readable").place);
    let place = places.find(|place| place.kind == Kind::Notice).expect("a notice");
    assert_eq!((place.tag, place.link), ([0; 16], [0; 32]));
    // What nobody may write as a record of somebody.
    let log = fixture.open();
    let refused = block(log.record(super::super::Record::new(NOON, Kind::Notice, None)));
    assert!(matches!(refused, Err(Error::Misused(_))), "{refused:?}");
}
