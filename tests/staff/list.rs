//! The staff list of record: whoever is not on it is named and, where that is configured, out at once.
//! Not here: how a list is read (`src/cli/staff_list_tests.rs`).

use std::time::Instant;

use portreeve::cli::demo::stage::said;

use crate::ground::{Ground, ended};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_not_on_the_list_is_named_and_suspended() {
    let ground = Ground::new(&[("staff", "list = \"staff.csv\"")]).await;
    let write = |text: &str| ground.stage.write_secret("staff.csv", text).expect("a file");
    write("name,status\njane,active\nlena,active\nold,left");
    let alike = ground.portreeve(&["staff", "compare"]);
    assert_eq!(alike.status.code(), Some(0), "{}", said(&alike));

    ground.grant();
    let session = ground.busy_session().await;
    write("name,status\njane,left\nlena,active\nkim,active");
    let found = ground.portreeve(&["staff", "compare"]);
    assert_eq!(found.status.code(), Some(4), "{}", said(&found));
    assert!(said(&found).contains("here, no longer active on the list"), "{}", said(&found));
    assert!(said(&found).contains("on the list, not here"), "{}", said(&found));
    assert_eq!(ground.shown(&["staff", "show", "jane"])["status"], "active", "nothing is done unasked");
    let done = ground.portreeve(&["staff", "compare", "--suspend"]);
    ended(session, Instant::now(), "is suspended since");
    assert_eq!(done.status.code(), Some(4), "{}", said(&done));
    assert_eq!(ground.shown(&["staff", "show", "jane"])["status"], "suspended");

    for name in ["ann", "bob", "cyd", "dan"] {
        let file = ground.stage.path("jane.password");
        ground.must(&["staff", "create", name, "--password-file", &file.to_string_lossy()]);
    }
    write("name\nlena");
    let cut = ground.portreeve(&["staff", "compare", "--suspend"]);
    assert_eq!(cut.status.code(), Some(3), "{}", said(&cut));
    assert!(said(&cut).contains("look whether it is whole"), "{}", said(&cut));
    assert_eq!(
        ground.shown(&["staff", "show", "ann"])["status"],
        "active",
        "a list that was cut short shuts nobody out"
    );
}
