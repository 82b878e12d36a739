//! More accounts due than `purge_max`: the real daemon purges none, until two people approve with their own passwords.

use std::path::Path;
use std::process::Output;

use portreeve::cli::demo::stage::{SHARED_DATABASE, STAFF, Settings, Stage, said};
use portreeve::config;
use portreeve::grant::{By, Closure, Stage as Reached, State, Trust};
use portreeve::keyring::init;
use portreeve::register::Register;

const OTHER: &str = "bob";

fn state(stage: &Stage) -> std::sync::Arc<State> {
    let config = config::load(&stage.configuration()).expect("a configuration");
    let trust = Trust { portal_key: init::read_public_key(&config.portal.signing_public_key).expect("a key") };
    Register::open(&config.register.path, trust).expect("a register").state().expect("a state")
}

fn closure(stage: &Stage, name: &str) -> Closure {
    state(stage).customer_named(name).expect("a customer").closure.clone().expect("it is closed")
}

async fn rows(stage: &Stage) -> String {
    let sql = "select count(*) from contacts where tenant_id = 7";
    stage.cluster.run_sql(SHARED_DATABASE, sql).await.expect(sql).concat().into_iter().flatten().collect()
}

fn once(stage: &Stage) -> Output {
    stage.command(&["retention", "run", "--once"]).output().expect("run")
}

/// The plan's digest, as it is printed for people.
fn token(stage: &Stage) -> String {
    let plan = stage.command(&["retention", "plan"]).output().expect("run");
    let told = said(&plan);
    assert!(told.contains("2 accounts are purged within a day, more than 1"), "{told}");
    assert_eq!(told.matches("held until two people approve it").count(), 2, "{told}");
    told.split_whitespace().find(|word| word.starts_with("sha256:")).expect("a digest").to_owned()
}

fn apply(stage: &Stage, people: &[(&str, &str)]) -> Output {
    let mut arguments = vec!["retention".to_owned(), "apply".to_owned(), "--plan".to_owned(), token(stage)];
    for ((name, file), [by, password]) in
        people.iter().zip([["--by", "--password-file"], ["--second", "--second-password-file"]])
    {
        let file = stage.path(&format!("{file}.password")).to_string_lossy().into_owned();
        arguments.extend([by.to_owned(), (*name).to_owned(), password.to_owned(), file]);
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    stage.command(&arguments).output().expect("run")
}

#[tokio::test(flavor = "multi_thread")]
async fn above_purge_max_nothing_is_purged_until_two_people_approved_with_their_own_passwords() {
    let cache = Some(Path::new(env!("CARGO_TARGET_TMPDIR")).to_owned());
    let mut settings = Settings { cache, ..Settings::new(env!("CARGO_BIN_EXE_portreeve")) };
    settings.lines.push(("retention".to_owned(), "purge_max = 1".to_owned()));
    let stage = Stage::set_up(settings).await.expect("a stage");
    stage.prepare_retention().await.expect("prepared");
    let file = stage.write_secret(&format!("{OTHER}.password"), "correct horse battery").expect("a file");
    stage.run(&["staff", "create", OTHER, "--password-file", &file.to_string_lossy()]).expect("a staff member");
    for name in ["initech", "acme"] {
        for step in ["close", "immediate"] {
            let path = format!("/v1/customers/{name}/account/{step}");
            let (status, answer) =
                stage.api(name, "POST", &path, Some(&format!("{{\"confirm\":\"{name}\"}}"))).expect("asked");
            assert_eq!(status, 200, "{answer}");
        }
    }
    let before = rows(&stage).await;
    assert_ne!(before, "0");
    let turn = once(&stage);
    assert!(said(&turn).contains("second-person-needed"), "{}", said(&turn));
    let turn = once(&stage);
    assert_eq!(turn.status.code(), Some(4), "somebody is needed: {}", said(&turn));
    let is_held = |stage: &Stage| {
        for name in ["initech", "acme"] {
            let closure = closure(stage, name);
            assert_eq!(closure.stage(), Reached::Planned, "{name}");
            assert!(closure.purge.waits() && closure.purge.begun.is_none(), "{name}: {:?}", closure.purge);
        }
    };
    is_held(&stage);
    let status = stage.command(&["retention", "status"]).output().expect("run");
    assert_eq!(said(&status).matches("more accounts are due than purge_max").count(), 2, "{}", said(&status));

    for (people, why) in [
        (vec![], "two people must approve this"),
        (vec![(STAFF, STAFF)], "two people must approve this"),
        (vec![(STAFF, STAFF), (STAFF, STAFF)], "must be another one"),
        (vec![(STAFF, STAFF), (OTHER, STAFF)], "wrong name or password"),
    ] {
        let refused = apply(&stage, &people);
        assert!(!refused.status.success() && said(&refused).contains(why), "{people:?}: {}", said(&refused));
        is_held(&stage);
    }
    assert_eq!(once(&stage).status.code(), Some(4));
    is_held(&stage);
    assert_eq!(rows(&stage).await, before, "nothing is purged");

    let applied = apply(&stage, &[(STAFF, STAFF), (OTHER, OTHER)]);
    assert_eq!(applied.status.code(), Some(0), "{}", said(&applied));
    assert_eq!(said(&applied).matches("approved to be purged").count(), 2, "{}", said(&applied));
    let people = state(&stage);
    let people = [STAFF, OTHER].map(|name| By::Staff(people.staff_named(name).expect("a member of staff").id));
    for name in ["initech", "acme"] {
        let approved = closure(&stage, name).purge.approved;
        assert_eq!(approved.map(|approved| approved.map(|(by, _)| by)), people.map(Some), "{name}");
    }
    let turn = once(&stage);
    assert_eq!(turn.status.code(), Some(0), "{}", said(&turn));
    for name in ["initech", "acme"] {
        assert_eq!(closure(&stage, name).stage(), Reached::LiveClean, "{name}");
    }
    assert_eq!(rows(&stage).await, "0");
}
