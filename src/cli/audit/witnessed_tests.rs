//! A log is cut, rolled back, exchanged or removed together with its checkpoint; only a folder elsewhere still knows.

use std::time::Duration;

use super::super::tests::{started, write};
use super::super::verify::verified;
use super::*;
use crate::cli::{Exit, Format, Table};
use crate::config;
use crate::witnesses::{Folder, Submitter};

const GATE: &str = "proxy-gate-1";

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("made");
    for entry in std::fs::read_dir(from).expect("listed") {
        let path = entry.expect("an entry").path();
        std::fs::copy(&path, to.join(path.file_name().expect("a name"))).expect("copied");
    }
}

fn replace(dir: &Path, by: &Path) {
    std::fs::remove_dir_all(dir).expect("removed");
    copy(by, dir);
}

/// Verdict and detail of each row about the gate's log that is not `ok`; and how it ends.
async fn found(context: &Context, memory: &[PathBuf]) -> (Vec<(String, String)>, Exit) {
    let (table, exit) = verified(context, false, None, memory).await.map_err(|f| f.message().to_owned()).expect("run");
    let rows = rows(&table).into_iter().filter(|row| row["log"] == GATE && row["verdict"] != "ok");
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    (rows.map(|row| (text(&row["verdict"]), text(&row["detail"]))).collect(), exit)
}

fn rows(table: &Table) -> Vec<serde_json::Value> {
    let mut out = Vec::new();
    table.write(Format::Json, &mut out).expect("written");
    String::from_utf8(out).expect("text").lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn verdicts(found: &[(String, String)]) -> Vec<&str> {
    found.iter().map(|(verdict, _)| verdict.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_folder_elsewhere_remembers_finds_what_the_log_itself_cannot_tell() {
    let dir = tempfile::tempdir().expect("a folder");
    let (mut context, served) = started(dir.path()).await;
    let elsewhere = dir.path().join("elsewhere");
    let at = config::WitnessAt::Folder(elsewhere.clone());
    context.config.witnesses.insert("far".to_owned(), config::Witness { at, every: Duration::from_secs(1) });
    let gate = context.config.audit.directory.join(GATE);
    write(&context).await;
    let (early, late) = (dir.path().join("early"), dir.path().join("late"));
    copy(&gate, &early);
    write(&context).await;
    copy(&gate, &late);

    // Not mounted: told once, and nothing stands still.
    let mut submitter =
        Submitter::new(witnesses(&context.config).expect("usable").remove(0), Logs::of(&context.config));
    let told = submitter.turn().await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].trouble.as_ref().map(Trouble::word), Some("unreachable"));
    assert_eq!(submitter.turn().await, [], "told once");
    let (unreached, exit) = found(&context, &[]).await;
    assert_eq!((verdicts(&unreached), exit), (vec!["unwitnessed"], Exit::Done));
    std::fs::create_dir(&elsewhere).expect("mounted");
    let (unknown, exit) = found(&context, &[]).await;
    assert_eq!((verdicts(&unknown), exit), (vec!["unwitnessed"], Exit::Done));
    let over = submitter.turn().await;
    assert_eq!((over.len(), over[0].trouble.as_ref()), (1, None), "{over:?}");
    assert_eq!(found(&context, &[]).await, (vec![], Exit::Done), "all of it is remembered");
    let file = elsewhere.join(format!("{GATE}.notes"));
    let notes = std::fs::read_to_string(&file).expect("written");
    assert_eq!(submitter.turn().await, []);
    assert_eq!(std::fs::read_to_string(&file).expect("there"), notes, "nothing new is nothing to append");

    // Rolled back, with its checkpoint: in itself it is sound.
    replace(&gate, &early);
    let (rolled_back, exit) = found(&context, &[]).await;
    assert_eq!((verdicts(&rolled_back), exit), (vec!["rolled-back"], Exit::Findings));
    assert!(rolled_back[0].1.starts_with("witness \"far\" remembers "), "{rolled_back:?}");
    let told = submitter.turn().await;
    assert_eq!(
        told.iter().map(|told| (told.writer.as_str(), told.trouble.as_ref().map(Trouble::word))).collect::<Vec<_>>(),
        [(GATE, Some("rolled-back"))]
    );
    assert_eq!(std::fs::read_to_string(&file).expect("there"), notes, "what is shorter is not handed on");
    // A copy is not held against the configuration's witnesses, but against what is given.
    let copied = verified(&context, false, Some(&context.config.audit.directory), &[]).await;
    assert_eq!(copied.map_err(|f| f.message().to_owned()).expect("run").1, Exit::Done);
    let given =
        verified(&context, false, Some(&context.config.audit.directory), std::slice::from_ref(&elsewhere)).await;
    assert_eq!(given.map_err(|f| f.message().to_owned()).expect("run").1, Exit::Findings);

    // Grown again behind the roll-back, past what is remembered: another history.
    for _ in 0..3 {
        write(&context).await;
    }
    let (forked, exit) = found(&context, &[]).await;
    assert_eq!((verdicts(&forked), exit), (vec!["forked"], Exit::Findings), "{forked:?}");
    let told = submitter.turn().await;
    assert_eq!(told.iter().map(|told| told.trouble.as_ref().map(Trouble::word)).collect::<Vec<_>>(), [Some("forked")]);
    assert_eq!(Folder(elsewhere.clone()).notes(GATE).expect("readable").len(), 1, "another log is not handed on");

    // Removed altogether.
    std::fs::remove_dir_all(&gate).expect("removed");
    let (missing, exit) = found(&context, &[]).await;
    assert_eq!((verdicts(&missing), exit), (vec!["missing"], Exit::Findings));
    // And brought back.
    copy(&late, &gate);
    assert_eq!(found(&context, &[]).await, (vec![], Exit::Done));
    assert_eq!(submitter.turn().await.iter().map(|told| told.trouble.clone()).collect::<Vec<_>>(), [None]);

    // A memory that somebody without the log's key wrote vouches for nothing.
    let forged = dir.path().join("forged");
    let other = notes.replace(&format!("portreeve/{GATE}\n"), "portreeve/portal\n");
    std::fs::write(&forged, notes.replace(&notes.lines().nth(2).expect("a size").to_owned(), "99999"))
        .expect("written");
    let (wrong, exit) = found(&context, &[forged]).await;
    assert_eq!((verdicts(&wrong), exit), (vec!["wrong-key"], Exit::Findings), "{wrong:?}");
    let (empty, of_another) = (dir.path().join("empty"), dir.path().join("of-another"));
    std::fs::write(&empty, "").expect("written");
    std::fs::write(&of_another, other).expect("written");
    let refused = verified(&context, false, None, &[empty]).await.expect_err("nothing in it");
    assert_eq!(refused.exit(), Exit::Usage);
    served.abort();
}
