use std::path::Path;
use std::time::Duration;

use clap::Parser;

use super::search::{Looked, found};
use super::tests::{started, write};
use super::*;
use crate::audit::record::Kind;
use crate::cli::{Arguments, Command as AnyCommand, dispatch};
use crate::clock::{Clock, SystemClock};
use crate::log::name_of;

fn plain<T>(done: Result<T, Failure>) -> T {
    done.map_err(|failure| failure.message().to_owned()).expect("done")
}

/// Runs what was typed.
async fn run(context: &Context, typed: &[String]) -> Exit {
    let arguments =
        Arguments::try_parse_from(["portreeve", "audit"].into_iter().chain(typed.iter().map(String::as_str)));
    let AnyCommand::Verb(verb) = arguments.expect("arguments").command else { panic!("{typed:?} is a service") };
    plain(Box::pin(dispatch(verb, context, Path::new("portreeve.toml"))).await)
}

/// Who and why of every reading that the keyring recorded, in order.
async fn recorded(context: &Context) -> Vec<(String, String)> {
    let looked = Looked { kind: vec![Kind::KeysOpened], ..Looked::default() };
    let auditor = plain(Auditor::begin(context, "of the test", None).await);
    let reads = plain(found(&auditor, &looked).await);
    let values = reads.into_iter().map(|read| read.record.values);
    values.filter_map(|values| Some((values.from?, values.message?))).collect()
}

/// Follows a log until what it asked is recorded.
async fn tailed(context: &Context, typed: &[String], asked: &str) {
    let told = async {
        while !recorded(context).await.iter().any(|(_, why)| why == asked) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        exit = run(context, typed) => panic!("it ended: {exit:?}"),
        within = tokio::time::timeout(Duration::from_secs(60), told) => within.expect("recorded"),
    }
}

/// Whichever verb reads: the record says who, what was asked, and the reason where one was given.
#[tokio::test(flavor = "multi_thread")]
async fn every_reading_is_recorded_with_who_what_and_why() {
    let dir = tempfile::tempdir().expect("a directory");
    let (context, served) = started(dir.path()).await;
    write(&context).await;
    let looked = Looked { customer: Some("c7".to_owned()), ..Looked::default() };
    let auditor = plain(Auditor::begin(&context, "of the test", None).await);
    let shown = plain(found(&auditor, &looked).await);
    let place = shown.first().map(|found| format!("{}/{}", name_of(&found.log), found.position)).expect("a record");
    let (now, audit, proofs) = (SystemClock.now(), context.config.audit.directory.display(), dir.path().display());
    let table = [
        ("search --customer c7 --text update".to_owned(), r#"search --customer "c7" --text "update""#.to_owned()),
        ("search".to_owned(), "search".to_owned()),
        ("tail --since 1h --kind statement".to_owned(), r#"tail --since "1h" --kind "statement""#.to_owned()),
        (format!("show {place}"), format!("show {place}")),
        ("export --customer c7".to_owned(), r#"export --customer "c7""#.to_owned()),
        (
            "export --customer c7 --since 2h --to 2999-01-01".to_owned(),
            r#"export --customer "c7" --from "2h" --to "2999-01-01""#.to_owned(),
        ),
        (format!("prove --customer c7 --output {proofs}/N"), r#"prove --customer "c7""#.to_owned()),
        (
            format!("prove --customer c7 --from 2h --until {now} --log keyring --log proxy-gate-1 --output {proofs}/N"),
            format!(r#"prove --customer "c7" --since "2h" --until "{now}" --log "keyring,proxy-gate-1""#),
        ),
        ("verify --open".to_owned(), "verify --open".to_owned()),
        (format!("verify --open --directory {audit}"), format!("verify --open --directory \"{audit}\"")),
    ];
    for (number, (typed, asked)) in table.iter().enumerate() {
        for reason in [None, Some("ticket 4711: \"acme\" asks")] {
            let number = format!("/{number}{}", reason.map_or("", |_| "-with-reason"));
            let mut typed: Vec<String> = typed.split(' ').map(|word| word.replace("/N", &number)).collect();
            typed.extend(reason.into_iter().flat_map(|reason| ["--reason".to_owned(), reason.to_owned()]));
            let asked = reason.map_or(format!("audit {asked}"), |reason| format!("audit {asked}: {reason}"));
            if typed.first().is_some_and(|verb| verb == "tail") {
                tailed(&context, &typed, &asked).await;
            } else {
                assert_eq!(run(&context, &typed).await, Exit::Done, "{typed:?}");
            }
            let reads = recorded(&context).await;
            let (who, _) = reads.iter().find(|(_, why)| *why == asked).unwrap_or_else(|| panic!("{asked}: {reads:#?}"));
            let uid = rustix::process::getuid().as_raw();
            assert!(*who == auditor.who && who.contains(&format!("(uid {uid}, ")), "{asked}: {who}");
        }
    }
    served.abort();
}
