use tempfile::TempDir;
use tokio::net::UnixListener;

use super::*;
use crate::grant::world::{ACME, JANE, NOON, OLGA, World, minutes};
use crate::grant::{By, Scope};
use crate::ids::{CustomerId, GrantId, StaffId};

/// A proxy that gives these answers, one connection each, and returns the requests it read.
fn proxy(directory: &TempDir, name: &str, answers: &[&str]) -> (PathBuf, JoinHandle<Vec<String>>) {
    let path = directory.path().join(name);
    let listener = UnixListener::bind(&path).expect("a socket");
    let answers: Vec<String> = answers.iter().map(|answer| (*answer).to_owned()).collect();
    let serving = tokio::spawn(async move {
        let mut requests = Vec::new();
        for answer in answers {
            let (stream, _) = listener.accept().await.expect("somebody asks");
            let mut stream = BufReader::new(stream);
            let mut request = String::new();
            stream.read_line(&mut request).await.expect("a line");
            requests.push(request);
            stream.write_all(answer.as_bytes()).await.expect("they listen");
        }
        requests
    });
    (path, serving)
}

#[tokio::test]
async fn every_proxy_is_told_of_every_lock() {
    let directory = tempfile::tempdir().expect("a directory");
    let (one, first) = proxy(&directory, "one", &["{\"ended\": 2}\n"; 3]);
    let (two, second) = proxy(&directory, "two", &["{\"ended\": 0}\n"; 3]);
    let locks = [Lock::Customer(CustomerId(7)), Lock::Staff(StaffId(3)), Lock::Grant(GrantId(12))];
    let told = lock(&[one.clone(), two.clone()], &locks, Some(Sequence(41))).await;
    assert_eq!(told, Told { ended: 6, by: vec![one, two], warnings: Vec::new() });
    let requests =
        [("customer", 7), ("staff", 3), ("grant", 12)].map(|(what, id)| json!({"lock": {what: id, "since": 41}}));
    for serving in [first, second] {
        let read = serving.await.expect("it served");
        let read: Vec<Value> = read.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(read, requests);
    }
}

#[tokio::test]
async fn a_proxy_that_is_gone_silent_or_strange_is_a_warning() {
    let directory = tempfile::tempdir().expect("a directory");
    let gone = directory.path().join("gone");
    let silent = directory.path().join("silent");
    let _listener = UnixListener::bind(&silent).expect("a socket");
    let (strange, _) = proxy(&directory, "strange", &["[]\n"]);
    let (broken, _) = proxy(&directory, "broken", &["{\n"]);
    let (fine, _) = proxy(&directory, "fine", &["{\"ended\":1}\n"]);
    let before = std::time::Instant::now();
    let told = lock(&[gone, silent, strange, broken, fine.clone()], &[Lock::Staff(JANE)], Some(Sequence(3))).await;
    assert!(before.elapsed() < 2 * ANSWER_WITHIN, "they are asked at the same time: {:?}", before.elapsed());
    assert_eq!((told.ended, told.warnings.len()), (1, 4), "{:?}", told.warnings);
    assert_eq!(told.by, [fine]);
    for name in ["gone", "silent", "strange", "broken"] {
        assert!(told.warnings.iter().any(|warning| warning.contains(name)), "{name}: {:?}", told.warnings);
    }
}

#[tokio::test]
async fn sessions_of_all_proxies_are_listed_and_one_is_ended() {
    let directory = tempfile::tempdir().expect("a directory");
    let session = SessionId([0xab; 8]);
    let listed = format!("{{\"sessions\":[{{\"session\":\"{session}\",\"staff\":3}}]}}\n");
    let (one, serving) = proxy(&directory, "one", &[&listed, "{\"ended\":1}\n"]);
    let gone = directory.path().join("gone");
    let (found, warnings) = sessions(&[one.clone(), gone]).await;
    assert_eq!(found, [json!({"session": session.to_string(), "staff": 3})]);
    assert_eq!(warnings.len(), 1);
    assert_eq!(end_session(&[one], session, "o7").await.ended, 1);
    let requests = serving.await.expect("it served");
    let end = "{\"end\":{\"by\":\"o7\",\"session\":\"abababababababab\"}}\n";
    assert_eq!(requests, ["{\"sessions\":{}}\n", end]);
}

#[test]
fn what_narrows_locks_exactly_what_it_ends() {
    let mut world = World::with_people();
    world.consent(Mode::Standing, Scope::Write, None);
    let grant = world.grant(Scope::Write, minutes(60));
    let locks = |what| locks_for(&world.state, &what, NOON);
    let set = |mode, scope| What::ConsentSet { customer: ACME, mode, scope, until: None };
    assert_eq!(locks(set(Mode::Off, Scope::Write)), [Lock::Customer(ACME)]);
    assert_eq!(locks(set(Mode::PerRequest, Scope::Write)), [Lock::Grant(grant)], "nobody had been asked");
    assert_eq!(locks(set(Mode::Standing, Scope::Read)), [Lock::Grant(grant)]);
    assert_eq!(locks(set(Mode::Standing, Scope::Write)), []);
    assert_eq!(locks(What::StaffRemoved { staff: JANE }), [Lock::Staff(JANE)]);
    assert_eq!(locks(What::GrantEnded { grant }), [Lock::Grant(grant)]);
    assert_eq!(locks(What::OwnerRemoved { owner: OLGA }), [Lock::Customer(ACME)], "the last owner");
    let mut two = world.clone();
    let second = Some(crate::grant::world::owner("oscar"));
    two.must(By::Owner(OLGA), What::OwnerCreated { customer: ACME }, second);
    assert_eq!(locks_for(&two.state, &What::OwnerRemoved { owner: OLGA }, NOON), []);
}
