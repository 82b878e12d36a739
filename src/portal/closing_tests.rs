use std::os::unix::fs::symlink;
use std::time::Duration;

use super::{Error, files};
use crate::audit::record::Kind;
use crate::grant::{Customer, State};
use crate::ids::CustomerId;
use crate::portal::test_site::{OLGA_PASSWORD, OLGA_TOKEN, OTTO_TOKEN, Site};

fn acme(state: &State) -> &Customer {
    state.customer_named("acme").expect("it is there")
}

fn closed(state: &State) -> bool {
    acme(state).closure.is_some()
}

/// Files for acme, one for globex, and things that are no files of acme's.
fn stock(site: &Site) {
    for (name, text) in [("acme", "acme's rows"), ("globex", "globex's rows")] {
        std::fs::create_dir_all(site.archive_of(name)).expect("made");
        std::fs::write(site.archive_of(name).join("archive-1.bin"), text).expect("written");
    }
    let folder = site.archive_of("acme");
    std::fs::write(folder.join("certificate.json"), "{}").expect("written");
    std::fs::write(folder.join(".hidden"), "x").expect("written");
    std::fs::create_dir(folder.join("deeper")).expect("made");
    symlink(site.archive_of("globex").join("archive-1.bin"), folder.join("link")).expect("made");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_closes_chooses_and_reopens_on_the_page() {
    let site = Site::start().await;
    let olga = site.signed_in("olga", OLGA_PASSWORD).await;
    let seen = olga.get("/").await.seen();
    let page = olga.get("/closing").await;
    assert_eq!(page.status, 200);
    for needed in ["Take your data home", "Close the account", "type the name of the account: acme", "None yet."] {
        assert!(page.body.contains(needed), "{needed} in {}", page.body);
    }
    assert!(!page.body.contains("<script"));
    let csrf = page.csrf();
    let unsure = olga.post_with(&csrf, "/closing", &["step=close", "confirm=acne"]).await;
    assert_eq!(unsure.status, 400, "{}", unsure.body);
    assert!(!closed(site.newest().await.as_ref()));
    let foreign = olga.post_with("x", "/closing", &["step=close", "confirm=acme"]).await;
    assert_eq!(foreign.status, 403, "{}", foreign.body);
    let done = olga.post_with(&csrf, "/closing", &["step=close", "confirm=acme"]).await;
    assert_eq!((done.status, done.header("location")), (303, Some("/closing")), "{}", done.body);
    // The switch and the history are gone; what is left is the closing.
    let home = olga.get("/").await;
    assert_eq!((home.status, home.header("location")), (303, Some("/closing")));
    let on = olga.post_with(&csrf, "/consent", &["mode=standing", "scope=read", "end=open", &seen]).await;
    assert_eq!(on.status, 422, "{}", on.body);
    assert_eq!(olga.get("/history").await.status, 422);
    let page = olga.get("/closing").await;
    for needed in
        ["Nobody may see your data.", "You have not chosen yet", "Closed by mistake?", "Remove everything now"]
    {
        assert!(page.body.contains(needed), "{needed} in {}", page.body);
    }
    // What is shown is what was just done, without waiting for anything.
    olga.post_with(&csrf, "/closing", &["step=return"]).await;
    let page = olga.get("/closing").await.body;
    assert!(page.contains("hand it back, then delete it") && !page.contains("You have not chosen yet"), "{page}");
    olga.post_with(&csrf, "/closing", &["step=deletion"]).await;
    let page = olga.get("/closing").await.body;
    assert!(page.contains("You chose: delete it") && !page.contains("hand it back, then delete it"), "{page}");
    olga.post_with(&csrf, "/closing", &["step=reopen"]).await;
    let page = olga.get("/").await;
    assert_eq!(page.status, 200, "the switch is back");
    assert!(page.body.contains("Nobody may see your data."), "{}", page.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_does_the_same_and_says_how_far_it_has_come() {
    let site = Site::start().await;
    let before = site.api("GET", "/v1/customers/acme/account", OLGA_TOKEN, None).await;
    assert_eq!(before.json()["stage"], "open");
    let asked = site.api("POST", "/v1/customers/acme/account/export", OLGA_TOKEN, None).await;
    assert_eq!(asked.status, 200, "{}", asked.body);
    site.until(|state| state.exports_of(acme(state).id).next().is_some()).await;
    let unsure = site.api("POST", "/v1/customers/acme/account/immediate", OLGA_TOKEN, None).await;
    assert_eq!((unsure.status, unsure.json()["error"]["code"].as_str()), (400, Some("confirm")), "{}", unsure.body);
    let early = r#"{"confirm": "acme"}"#;
    let early = site.api("POST", "/v1/customers/acme/account/immediate", OLGA_TOKEN, Some(early)).await;
    assert_eq!(early.status, 422, "it is not closed: {}", early.body);
    let close = Some(r#"{"confirm": "acme"}"#);
    let closing = site.api("POST", "/v1/customers/acme/account/close", OLGA_TOKEN, close).await;
    assert_eq!(closing.status, 200, "{}", closing.body);
    site.until(closed).await;
    let now = site.api("POST", "/v1/customers/acme/account/immediate", OLGA_TOKEN, close).await;
    assert_eq!(now.status, 200, "{}", now.body);
    site.until(|state| acme(state).closure.as_ref().is_some_and(|closure| closure.immediate.is_some())).await;
    let told = site.api("GET", "/v1/customers/acme/account", OLGA_TOKEN, None).await.json();
    assert_eq!((told["stage"].as_str(), told["held"].as_bool()), (Some("closed"), Some(false)));
    assert!(
        told["stages"][0]["at"].is_string() && told["immediate"].is_string() && told["exports"][0]["made"].is_null()
    );
    let unknown = site.api("POST", "/v1/customers/acme/account/purge", OLGA_TOKEN, None).await;
    assert_eq!((unknown.status, unknown.json()["error"]["code"].as_str()), (400, Some("step")));
    for (method, path) in [("GET", "account"), ("POST", "account/close"), ("GET", "files/archive-1.bin")] {
        let other = site.api(method, &format!("/v1/customers/acme/{path}"), OTTO_TOKEN, None).await;
        assert_eq!(other.status, 404, "{path} for another customer's owner: {}", other.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_taken_by_their_own_customers_owners_only_and_that_is_recorded() {
    let site = Site::start().await;
    stock(&site);
    let listed = site.api("GET", "/v1/customers/acme/account", OLGA_TOKEN, None).await.json();
    let names: Vec<&str> =
        listed["files"].as_array().expect("a list").iter().filter_map(|f| f["name"].as_str()).collect();
    assert_eq!(names, ["archive-1.bin", "certificate.json"]);
    let olga = site.signed_in("olga", OLGA_PASSWORD).await;
    assert!(olga.get("/closing").await.body.contains("/closing/files/archive-1.bin"));
    let file = olga.get("/closing/files/archive-1.bin").await;
    assert_eq!((file.status, file.body.as_str()), (200, "acme's rows"));
    assert_eq!(file.header("content-disposition"), Some("attachment; filename=\"archive-1.bin\""));
    let read = site.recorded().into_iter().filter(|(kind, ..)| *kind == Kind::Read).count();
    assert_eq!(read, 1);
    // Otto has a file of the same name: it is his own that he gets, and acme's by no road.
    let otto = site.api("GET", "/v1/customers/globex/files/archive-1.bin", OTTO_TOKEN, None).await;
    assert_eq!((otto.status, otto.body.as_str()), (200, "globex's rows"));
    let other = site.api("GET", "/v1/customers/acme/files/archive-1.bin", OTTO_TOKEN, None).await;
    assert_eq!(other.status, 404);
    for name in ["link", ".hidden", "deeper", "absent", "..%2Fc2%2Farchive-1.bin", "%2Fetc%2Fpasswd"] {
        let answer = olga.get(&format!("/closing/files/{name}")).await;
        assert_eq!(answer.status, 404, "{name}: {}", answer.body);
    }
    let stranger = site.get("/closing/files/archive-1.bin").await;
    assert_eq!((stranger.status, stranger.header("location")), (303, Some("/sign-in")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_arrives_whole() {
    let site = Site::start().await;
    stock(&site);
    let text = "0123456789abcdef".repeat(40_000);
    std::fs::write(site.archive_of("acme").join("large.txt"), &text).expect("written");
    let taken = site.api("GET", "/v1/customers/acme/files/large.txt", OLGA_TOKEN, None).await;
    assert_eq!((taken.status, taken.body.len()), (200, text.len()));
    assert!(taken.body == text);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_file_is_given_away_while_nobody_knows_who_is_an_owner() {
    let site = Site::start().await;
    stock(&site);
    site.lose_the_register();
    let account = "/v1/customers/acme/account";
    while site.api("GET", account, OLGA_TOKEN, None).await.status != 503 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let taken = site.api("GET", "/v1/customers/acme/files/archive-1.bin", OLGA_TOKEN, None).await;
    assert_eq!(taken.status, 503, "{}", taken.body);
    assert!(!site.recorded().iter().any(|(kind, ..)| *kind == Kind::Read));
}

#[test]
fn a_folder_that_cannot_be_read_is_not_an_absent_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let archives = dir.path().join("archives");
    std::fs::write(&archives, "not a folder").expect("written");
    let opened = files::open(&archives, CustomerId(1), "archive-1.bin").expect_err("no file");
    assert!(matches!(opened, Error::Unavailable { .. }), "{opened:?}");
    let opened = files::open(dir.path(), CustomerId(1), "archive-1.bin").expect_err("no file");
    assert!(matches!(opened, Error::NotFound("file")), "{opened:?}");
}

/// An archive sealed to acme, as retention writes them.
fn sealed_archive(site: &Site, plain: &[u8]) {
    use crate::audit::archive::Sealer;
    use crate::audit::keys::{Part, Recipient, RecipientKey};
    use crate::entropy::OsEntropy;
    let id = acme(&site.state()).id;
    let public = crate::portal::test_site::archive_public_key();
    let recipient = Recipient::Customer(id);
    let to = RecipientKey { recipient, part: Part::Values, period: 2026, public, signature: [0; 64] };
    let (mut sealer, mut file) =
        Sealer::begin(&to, &format!("portreeve/archive/{id}"), 7, &OsEntropy).expect("it is a key");
    sealer.push(plain, &mut file);
    sealer.finish(&mut file);
    std::fs::write(site.archive_of("acme").join("archive-e7.tar.sealed"), file).expect("written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_archive_is_opened_on_its_way_and_a_damaged_one_never_arrives_whole() {
    let site = Site::start().await;
    stock(&site);
    let plain: String = (0..20_000).map(|line| format!("row {line}\n")).collect();
    sealed_archive(&site, plain.as_bytes());
    let id = acme(&site.state()).id;
    let path = format!("/v1/customers/{id}/files/archive-e7.tar.sealed");
    let taken = site.api("GET", &path, OLGA_TOKEN, None).await;
    assert_eq!(taken.status, 200);
    assert!(taken.body == plain, "it is not what was sealed: {} bytes", taken.body.len());
    assert_eq!(taken.header("content-disposition"), Some("attachment; filename=\"archive-e7.tar\""));
    let read = site.recorded().into_iter().filter(|(kind, ..)| *kind == Kind::Read).count();
    assert_eq!(read, 1, "each taking is recorded");
    assert_eq!(site.readers(), [site.owner("olga")], "the keyring is asked in her name");

    let file = site.archive_of("acme").join("archive-e7.tar.sealed");
    let mut bytes = std::fs::read(&file).expect("read");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&file, bytes).expect("written");
    let cut = site.api("GET", &path, OLGA_TOKEN, None).await;
    assert!(cut.body.len() < plain.len() && plain.starts_with(&cut.body), "what does not open is not sent");
}
