//! Customers from a list, on a whole Portreeve: shown first, done once, gone on with after a kill; and an owner who
//! accepts at the portal.
//! Not here: what is right and wrong about a list (`src/cli/import`), and the page (`src/portal/invitation_tests.rs`).

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
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

fn import(ground: &Ground, lines: &[String], more: &[&str]) -> Output {
    let list = written(ground, lines);
    ground.portreeve(&[&["--format", "json", "customer", "import", &list.to_string_lossy()], more].concat())
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

fn accept(ground: &Ground, code: &str) -> (String, String) {
    let body =
        ground.stage.write_secret("accept.json", &format!(r#"{{"code":"{code}","password":"a long enough one"}}"#));
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--max-time", "20", "-X", "POST", "-w", "\n%{http_code}"]);
    curl.arg("--cacert").arg(&ground.stage.cluster.certificates().gate_ca);
    curl.arg("-d").arg(format!("@{}", body.expect("a file").display())).args(["-H", "Content-Type: application/json"]);
    curl.arg(format!("https://localhost:{}/v1/invitation", ground.stage.portal_port()));
    let text = String::from_utf8_lossy(&curl.output().expect("curl runs").stdout).into_owned();
    let (body, status) = text.rsplit_once('\n').expect("a status");
    (status.to_owned(), body.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_is_shown_then_done_then_there_and_an_owner_accepts() {
    let ground = Ground::new(&[]).await;
    ground.must(&["team", "create", "night"]);
    let mut lines = vec![
        "hooli,\"Hooli, Inc\",main,hooli,,night,hank@hooli.example".to_owned(),
        "cyberdyne,,main,cyberdyne,,,".to_owned(),
        "stark,,main,stark,,support;night,tony@stark.example".to_owned(),
    ];
    let shown = import(&ground, &lines, &[]);
    assert!(shown.status.success() && said(&shown).contains("nothing was done"), "{}", said(&shown));
    assert_eq!(column(&rows(&shown), "done"), ["create, invite owner", "create", "create, invite owner"]);
    let listed = || ground.must(&["--format", "json", "customer", "list"]);
    assert!(!listed().contains("hooli"), "nothing was done");
    let nowhere = import(&ground, &lines, &["--apply"]);
    assert!(!nowhere.status.success() && said(&nowhere).contains("--invitations"), "{}", said(&nowhere));
    assert!(!listed().contains("hooli"), "without a file for the links nothing is done");

    let file = ground.stage.path("invitations.csv");
    let to_file = ["--apply", "--invitations", &file.to_string_lossy()];
    let done = import(&ground, &lines, &to_file);
    assert!(done.status.success() && said(&done).contains("Portreeve sends no mail"), "{}", said(&done));
    assert!(column(&rows(&done), "id").iter().all(|id| id.starts_with('c')), "{}", said(&done));
    assert_eq!(std::fs::metadata(&file).expect("there").permissions().mode() & 0o7777, 0o600);
    let text = std::fs::read_to_string(&file).expect("the links");
    assert!(text.contains("hooli,\"Hooli, Inc\",hank@hooli.example,https://"), "{text}");
    let hooli = ground.shown(&["customer", "show", "hooli"]);
    assert_eq!(
        (&hooli["access"], &hooli["display"], &hooli["owners"]),
        (&"off".into(), &"Hooli, Inc".into(), &Value::Array(Vec::new()))
    );
    let night = ground.shown(&["team", "show", "night"]);
    assert_eq!(night["customers"], serde_json::json!(["hooli", "stark"]), "{night}");

    // Again: nothing. A line that differs: nothing at all, and which one it is.
    let again = import(&ground, &lines, &["--apply"]);
    assert!(again.status.success(), "{}", said(&again));
    assert_eq!(column(&rows(&again), "done"), ["there already", "there already", "there already"]);
    lines[1] = "cyberdyne,,main,elsewhere,,,".to_owned();
    lines.push("wayne,,main,wayne,,day,".to_owned());
    let refused = import(&ground, &lines, &["--apply"]);
    assert_eq!(refused.status.code(), Some(4), "{}", said(&refused));
    let faults: Vec<_> = rows(&refused).into_iter().filter(|row| row["done"] == "refused").collect();
    assert_eq!(
        faults.iter().map(|row| (row["line"].clone(), row["column"].clone())).collect::<Vec<_>>(),
        [(3.into(), "database".into()), (5.into(), "teams".into())]
    );
    assert!(!listed().contains("wayne"));

    let all = links(&file);
    let link =
        all.iter().find(|(owner, _)| owner == "tony@stark.example").map(|(_, link)| link.clone()).expect("tony's");
    let (_, code) = link.split_once("/invitation?code=").expect("a code");
    let (status, answer) = accept(&ground, code);
    assert_eq!(status, "200", "{answer}");
    assert_eq!(accept(&ground, code).0, "410", "once");
    let tony = ground.shown(&["owner", "show", "tony@stark.example"]);
    assert_eq!((&tony["status"], &tony["customer"]), (&"active".into(), &"stark".into()));
    assert_eq!(ground.shown(&["customer", "show", "stark"])["access"], "off", "he has decided nothing yet");
    let second = ground.stage.path("second.link");
    let invite = ["owner", "invite", "pepper@stark.example", "--customer", "stark", "--link-file"];
    let second_owner = ground.portreeve(&[&invite, [&*second.to_string_lossy()].as_slice()].concat());
    assert!(
        !second_owner.status.success() && said(&second_owner).contains("only an owner of the account can add another")
    );
    assert!(!second.exists(), "a link that belongs to nobody is removed");
    ground.must(&["owner", "revoke", "hank@hooli.example"]);
    assert_eq!(ground.shown(&["owner", "show", "hank@hooli.example"])["status"], "invitation withdrawn");
    let recorded = ground.must(&["--format", "json", "audit", "search", "--text", "owner.", "--limit", "0"]);
    for verb in ["owner.invited", "owner.accepted", "owner.uninvited"] {
        assert!(recorded.contains(verb), "{verb}: {recorded}");
    }
    let all = ground.must(&["--format", "json", "audit", "search", "--limit", "0"]);
    assert!(all.contains("tony@stark.example") && !all.contains(code), "no record holds a code: {all}");
    ground.must(&["audit", "verify"]);
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
