//! `portreeve doctor` on an installation that works, and on what can be wrong with one.
//! Not here: each thing it looks at, which has tests of its own.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use portreeve::cli::demo::stage::said;
use serde_json::Value;

use crate::ground::Ground;

/// The rows, and the exit code.
fn looked(ground: &Ground) -> (Vec<Value>, Option<i32>) {
    let output = ground.portreeve(&["--format", "json", "doctor"]);
    let rows = String::from_utf8_lossy(&output.stdout);
    let rows: Result<Vec<Value>, _> = rows.lines().map(serde_json::from_str).collect();
    assert!(rows.is_ok(), "{}", said(&output));
    (rows.unwrap_or_default(), output.status.code())
}

/// What is said to be wrong, as `what: detail`.
fn wrong(rows: &[Value]) -> Vec<String> {
    let text = |row: &Value, key: &str| row.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let wrong = rows.iter().filter(|row| text(row, "verdict") == "wrong");
    wrong.map(|row| format!("{}: {}", text(row, "what"), text(row, "detail"))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_says_what_is_wrong_and_what_to_do() {
    let mut ground = Ground::new(&[("road", "application = [\"app\"]")]).await;
    let (rows, _) = looked(&ground);
    let at_first = wrong(&rows);

    // A way into another customer's database.
    ground.stage.cluster.run_sql("postgres", "grant connect on database globex to public").await.expect("granted");
    let (rows, code) = looked(&ground);
    let found = wrong(&rows);
    assert_eq!(code, Some(4), "{rows:#?}");
    assert!(found.iter().any(|row| row.starts_with("fence: connect:globex")), "{found:#?}");
    ground.stage.cluster.run_sql("postgres", "revoke connect on database globex from public").await.expect("revoked");

    // A secret that others may read, and a certificate that ends.
    let text = fs::read_to_string(ground.stage.configuration()).expect("a configuration");
    let config = portreeve::config::load(&ground.stage.configuration()).expect("a configuration");
    let secret = config.proxy.log_key.clone();
    let mode = |mode| fs::set_permissions(&secret, fs::Permissions::from_mode(mode)).expect("its mode");
    mode(0o644);
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut old = rcgen::CertificateParams::new(["localhost".to_owned()]).expect("a name");
    (old.not_before, old.not_after) = (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2021, 1, 1));
    let old = old.self_signed(&key).expect("signed");
    let kept =
        [&config.portal.certificate, &config.portal.key].map(|path| (path.clone(), fs::read(path).expect("read")));
    fs::write(&config.portal.certificate, old.pem()).expect("written");
    fs::write(&config.portal.key, key.serialize_pem()).expect("written");
    let (rows, _) = looked(&ground);
    let found = wrong(&rows);
    assert!(found.iter().any(|row| row.starts_with("configuration: proxy") && row.contains("0644")), "{found:#?}");
    assert!(found.iter().any(|row| row.starts_with("portal's certificate: it ends within 14 days")), "{found:#?}");
    mode(0o400);
    kept.iter().for_each(|(path, content)| fs::write(path, content).expect("written"));

    // A proxy that is gone, and an upstream that is.
    ground.stage.proxy = None;
    let port = format!("port = {}", ground.stage.cluster.port());
    assert!(text.contains(&port), "{text}");
    fs::write(ground.stage.configuration(), text.replace(&port, "port = 1")).expect("written");
    let (rows, code) = looked(&ground);
    let found = wrong(&rows);
    assert_eq!(code, Some(4), "{rows:#?}");
    assert!(found.iter().any(|row| row.starts_with("proxy's socket")), "{found:#?}");
    assert!(found.iter().any(|row| row.starts_with("fence: cannot reach")), "{found:#?}");

    // A provider that is asked for a password alone, and one that is passed by.
    let provider = "[staff.oidc]\nissuer = \"https://login.example\"\nclient_id = \"p\"\npassword_too = true\n";
    for (more, notes) in
        [("", vec!["no authentication method", "\"password_too\""]), ("acr = [\"x\"]\n", vec!["\"password_too\""])]
    {
        let changed = text.replace("[staff]\n", "[staff]\nsign_in = \"token\"\n");
        let changed = changed.replace("[staff.oidc]\n", &format!("{provider}{more}"));
        fs::write(ground.stage.configuration(), changed).expect("written");
        let (rows, _) = looked(&ground);
        let noted = rows.iter().filter(|row| row["what"] == "identity provider" && row["verdict"] == "note");
        let noted: Vec<_> = noted.map(|row| row["detail"].as_str().unwrap_or_default()).collect();
        assert!(
            noted.len() == notes.len() && noted.iter().zip(&notes).all(|(row, note)| row.starts_with(note)),
            "{noted:?}"
        );
    }
    fs::write(ground.stage.configuration(), text).expect("written");
    ground.stage.start_proxy().expect("it starts");

    let (rows, _) = looked(&ground);
    assert_eq!(wrong(&rows), at_first, "mended, it is as it was");
}
