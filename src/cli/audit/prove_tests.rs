use super::super::tests::{started, write};
use super::*;
use crate::cli::Format;
use crate::cli::verify_proof;

fn wanted(output: PathBuf) -> Wanted {
    let (customer, since, until) = ("c7".to_owned(), None, None);
    Wanted { customer, since, until, output, earlier: Vec::new(), log: Vec::new(), reason: Some("a test".to_owned()) }
}

const ABSENT: &str = "its key was given, and the proof says nothing about this log";

/// Whether the verifier key in that file is of that log.
fn is_of(key: &Path, log: &str) -> bool {
    key.file_stem().is_some_and(|writer| log == format!("portreeve/{}", writer.to_string_lossy()))
}

fn rows(table: &Table) -> Vec<serde_json::Value> {
    let mut out = Vec::new();
    table.write(Format::Json, &mut out).expect("written");
    String::from_utf8(out).expect("text").lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_is_made_checked_offline_and_refused_for_another_customer() {
    let dir = tempfile::tempdir().expect("a folder");
    let (context, served) = started(dir.path()).await;
    write(&context).await;
    let path = dir.path().join("proof.json");
    let (table, exit) = prove(&context, &wanted(path.clone())).await.map_err(|f| f.message().to_owned()).expect("made");
    assert_eq!(exit, Exit::Done);
    let made = rows(&table);
    let of_gate = made.iter().find(|row| row["log"] == "portreeve/proxy-gate-1").expect("the gate's log");
    assert_eq!((&of_gate["records"], &of_gate["still_sealed"]), (&5.into(), &0.into()));
    let fingerprint = of_gate["fingerprint"].as_str().expect("a fingerprint").to_owned();

    let keys = fs::read_dir(dir.path().join("log-keys")).expect("listed").flatten().map(|entry| entry.path());
    let of_log = |key: &PathBuf| made.iter().any(|row| row["log"].as_str().is_some_and(|log| is_of(key, log)));
    let (key, of_none): (Vec<PathBuf>, Vec<PathBuf>) = keys.partition(of_log);
    assert_eq!(key.len(), made.len());
    let text = fs::read_to_string(&path).expect("read");
    let (table, exit) = verify_proof::of_records(&text, &key, Some(&fingerprint), &[]).expect("keys are read");
    assert_eq!(exit, Exit::Done);
    let said = rows(&table);
    let shown: Vec<_> = said.iter().filter(|row| row["state"] == "shown").collect();
    assert_eq!(shown.len(), 5, "{said:?}");
    assert!(shown[0]["says"].as_str().expect("text").contains("select * from contacts where id = $1"));
    assert!(
        said.iter().any(|row| row["says"].as_str().is_some_and(|says| says.starts_with("these are all 5 records")))
    );

    let whole = said.iter().find(|row| row["log"] == of_gate["log"]).expect("a verdict");
    let says = whole["says"].as_str().expect("text");
    assert_eq!(whole["state"], "complete");
    assert!(says.contains(" up to the end of the checkpoint given, whose last leaf is of 20"), "{says}");
    assert!(says.ends_with("; what was written after that is not in it"), "{says}");
    // The same as if it were of a period that goes on long after the checkpoint.
    let longer = text.replacen("\"until\":null", "\"until\":9000000000000000", 1);
    let (table, exit) = verify_proof::of_records(&longer, &key, None, &[]).expect("keys are read");
    assert_eq!(exit, Exit::Done);
    let said = rows(&table);
    let verdict = said.iter().find(|row| row["log"] == of_gate["log"]).expect("a verdict");
    assert_eq!((&verdict["state"], verdict["says"].as_str()), (&"to-checkpoint".into(), Some(says)));

    let (table, exit) =
        verify_proof::of_records(&text, &key, Some("00000000000000000000000000000000"), &[]).expect("read");
    assert_eq!((exit, rows(&table)[0]["state"].as_str()), (Exit::Findings, Some("finding")));
    // A log that is left out altogether is missed by whoever has its key.
    let mut cut = Proof::from_text(&text).expect("a proof");
    cut.logs.retain(|log| !log.checkpoint.starts_with("portreeve/proxy-gate-1\n"));
    for (text, keys) in [(&cut.to_text(), &key), (&text, &[key.clone(), of_none].concat())] {
        let (table, exit) = verify_proof::of_records(text, keys, None, &[]).expect("read");
        let said = rows(&table);
        let absent = said.iter().find(|row| row["state"] == "absent").expect("it is missed");
        assert_eq!((exit, absent["says"].as_str()), (Exit::Findings, Some(ABSENT)));
        assert!(said.iter().all(|row| row["state"] != "complete"), "{said:?}");
    }
    let (_, exit) = verify_proof::of_records(&text, &key[..0], None, &[]).expect("read");
    assert_eq!(exit, Exit::Findings);

    let refused = prove(&context, &wanted(path.clone())).await.expect_err("it is there");
    assert!(refused.message().contains("nothing is overwritten"), "{}", refused.message());
    let nobody = Wanted { customer: "c99".to_owned(), ..wanted(dir.path().join("other.json")) };
    let refused = prove(&context, &nobody).await.expect_err("nobody");
    assert!(refused.message().contains("there is no tag key of c99"), "{}", refused.message());
    let future = Wanted { until: Some("2999-01-01".to_owned()), ..wanted(dir.path().join("other.json")) };
    let refused = prove(&context, &future).await.expect_err("in the future");
    assert_eq!(refused.exit(), Exit::Usage);
    assert!(refused.message().contains("what is yet to come cannot be shown"), "{}", refused.message());
    assert!(!dir.path().join("other.json").exists());
    let foreign = dir.path().join("foreign");
    fs::write(&foreign, text.replace("portreeve/", "portreeve/of-another-").as_bytes()).expect("written");
    let unused = Wanted { earlier: vec![foreign], ..wanted(dir.path().join("other.json")) };
    let refused = prove(&context, &unused).await.expect_err("it is of no log here");
    assert!(refused.message().contains("is of none of the logs that are read"), "{}", refused.message());
    assert!(!dir.path().join("other.json").exists());
    // A log that is named twice is read once.
    let log = vec!["proxy-gate-1".to_owned(); 2];
    let twice = Wanted { log, ..wanted(dir.path().join("twice.json")) };
    let (table, _) = prove(&context, &twice).await.map_err(|f| f.message().to_owned()).expect("made");
    assert_eq!(table.len(), 1);
    // The newer proof begins with the older one's log.
    let later = Wanted { earlier: vec![path], ..wanted(dir.path().join("later.json")) };
    let (table, _) = prove(&context, &later).await.map_err(|f| f.message().to_owned()).expect("made");
    let of_gate = rows(&table).into_iter().find(|row| row["log"] == "portreeve/proxy-gate-1").expect("the gate's log");
    assert_eq!(of_gate["begins_with"], of_gate["to"]);
    served.abort();
}
