//! Customers from a list, on a whole Portreeve: gone on with after a kill.
//! Not here: what is right and wrong about a list (`src/cli/import`), and the page (`src/portal/invitation_tests.rs`).

use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Instant;

use portreeve::cli::demo::stage::said;
use serde_json::Value;

use crate::ground::{Ground, SOON};

/// How many customers are on the list that a kill cuts off.
const MANY: usize = 1_000;

const HEAD: &str = "customer,display_name,cluster,database,tenant,teams,owner";

fn written(ground: &Ground, lines: &[String]) -> PathBuf {
    let path = ground.stage.path("customers.csv");
    let text = std::iter::once(HEAD.to_owned()).chain(lines.iter().cloned()).collect::<Vec<_>>().join("\n");
    std::fs::write(&path, text).expect("written");
    path
}

fn rows(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn column(rows: &[Value], name: &str) -> Vec<String> {
    rows.iter().map(|row| row[name].as_str().unwrap_or_default().to_owned()).collect()
}

/// The links of a file, by owner.
fn links(path: &std::path::Path) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(path).expect("the links");
    let cell = |line: &str, at: usize| line.split(',').nth(at).unwrap_or_default().to_owned();
    text.lines().skip(1).map(|line| (cell(line, 2), cell(line, 3))).collect()
}

/// Killed in the midst: each line stands whole or not at all, and the same command goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_that_is_killed_goes_on_where_it_was() {
    let ground = Ground::new(&[]).await;
    let line = |number: usize| format!("many-{number},,main,many,key-{number},,owner-{number}@many.example");
    let lines: Vec<String> = (0..MANY).map(line).collect();
    let list = written(&ground, &lines);
    let (first, second) = (ground.stage.path("first.csv"), ground.stage.path("second.csv"));
    let arguments = |links: &PathBuf| {
        let texts = ["--format", "json", "customer", "import", &list.to_string_lossy(), "--apply", "--invitations"];
        let texts = texts.map(str::to_owned).into_iter().chain([links.to_string_lossy().into_owned()]);
        texts.collect::<Vec<String>>()
    };
    let plain = |arguments: &[String]| arguments.iter().map(|text| text.as_str().to_owned()).collect::<Vec<_>>();
    let texts = plain(&arguments(&first));
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let mut running =
        ground.stage.command(&texts).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs");
    let until = Instant::now() + SOON * 4;
    // Three hundred links are on the disk: some hundreds of lines are made, one change is under way.
    while std::fs::read_to_string(&first).map_or(0, |text| text.lines().count()) < 300 {
        assert!(Instant::now() < until, "it does not get on");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    running.kill().expect("it is ours");
    running.wait().expect("it ends");
    let customers = || ground.must(&["--format", "json", "customer", "list"]).matches("\"many-").count();
    let made = customers();
    assert!((1..MANY).contains(&made), "cut off: {made}");
    let texts = plain(&arguments(&second));
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let since = Instant::now();
    let rest = ground.portreeve(&texts);
    println!("{} lines in {:?}", MANY - made, since.elapsed());
    assert!(rest.status.success(), "{}", said(&rest));
    let there = column(&rows(&rest), "done").iter().filter(|done| *done == "there already").count();
    assert_eq!((there, customers()), (made, MANY));
    // Every owner has one invitation that is open, and its link is in one of the files.
    let owners = ground.must(&["--format", "json", "owner", "list"]);
    assert_eq!(owners.matches("\"invited\"").count(), MANY);
    let known: std::collections::BTreeSet<String> =
        [&first, &second].into_iter().flat_map(|file| links(file)).map(|(owner, _)| owner).collect();
    assert_eq!(known.len(), MANY);
    ground.must(&["audit", "verify"]);
}
