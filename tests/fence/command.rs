//! `portreeve fence` as an operator meets it: the plan names who loses what, apply asks, remove gives back.

use std::path::{Path, PathBuf};

use portreeve::cli::Format;
use portreeve::cli::demo::cluster::{Cluster, PROVISIONER, Settings as ClusterSettings};
use portreeve::cli::fence::{Change, Command, Error, Outcome, Settings, Target, run};
use serde_json::Value;

struct Operator {
    cluster: Cluster,
    directory: tempfile::TempDir,
}

impl Operator {
    async fn new() -> Operator {
        let cache = Some(Path::new(env!("CARGO_TARGET_TMPDIR")).to_owned());
        let cluster = Cluster::start(ClusterSettings { cache, ..Default::default() }).await.expect("a cluster");
        cluster.create_database("acme").await.expect("a database");
        cluster
            .run_sql("acme", "create role backup login; create role report login; create table t (id int)")
            .await
            .expect("roles");
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("dsn"), cluster.superuser_dsn("postgres") + "\n").expect("a file");
        Operator { cluster, directory }
    }

    fn target(&self) -> Target {
        let superuser_dsn_file = self.directory.path().join("dsn");
        Target { cluster: "main".to_owned(), database: "acme".to_owned(), superuser_dsn_file }
    }

    fn change(&self, keep: &[&str]) -> Change {
        Change {
            target: self.target(),
            keep: keep.iter().map(|role| (*role).to_owned()).collect(),
            cut_others: false,
            close: Vec::new(),
            revoke_public: Vec::new(),
            tables: Box::default(),
            provisioner_password_file: None,
        }
    }

    async fn run(&self, command: Command) -> Result<(Outcome, String), Error> {
        self.print(command, Format::Table).await
    }

    async fn print(&self, command: Command, format: Format) -> Result<(Outcome, String), Error> {
        let settings = Settings {
            provisioner: PROVISIONER.to_owned(),
            ca: Some(self.cluster.certificates().cluster_ca.clone()),
            server_name: "localhost".to_owned(),
            is_external: false,
            accept: Vec::new(),
            revoke_public: Vec::new(),
            datamap: None,
        };
        let mut out = Vec::new();
        let outcome = run(&command, &settings, format, &mut out).await?;
        Ok((outcome, String::from_utf8(out).expect("text")))
    }

    async fn json(&self, command: Command) -> Value {
        let (_, text) = self.print(command, Format::Json).await.expect("an answer");
        serde_json::from_str(&text).expect("json")
    }

    async fn public(&self) -> String {
        let sql = "select datacl::text from pg_database where datname = 'acme'";
        let rows = self.cluster.run_sql("acme", sql).await.expect("an answer");
        rows.into_iter().flatten().flatten().next().unwrap_or_default()
    }
}

#[tokio::test]
async fn a_fence_goes_up_and_comes_down() {
    let operator = Operator::new().await;
    let plan = operator.json(Command::Plan(operator.change(&["app"]))).await;
    let losses = plan.pointer("/losses").and_then(Value::as_array).expect("losses");
    let roles: Vec<_> = losses.iter().filter_map(|loss| loss.pointer("/role").and_then(Value::as_str)).collect();
    assert_eq!(roles, ["backup", "report"], "{plan:#}");
    assert_eq!(plan.pointer("/losses/0/loses/0"), Some(&Value::from("connect acme")));

    let asked = operator.run(Command::Apply(operator.change(&["app"]))).await.expect_err("it asks").to_string();
    assert!(
        asked.contains("nothing was changed")
            && asked.contains("\"backup\" loses connect acme")
            && asked.contains("--keep"),
        "{asked}"
    );
    assert_eq!(operator.public().await, "", "nothing was changed");
    let unknown = operator.run(Command::Apply(operator.change(&["nobody"]))).await.expect_err("no such role");
    assert!(unknown.to_string().contains("there is no role \"nobody\" to keep"), "{unknown}");

    let mut change = operator.change(&["app", "backup"]);
    change.cut_others = true;
    let (_, text) = operator.run(Command::Apply(change.clone())).await.expect("applied");
    assert!(text.contains("revoke connect on database \"acme\" from public"), "{text}");
    let acl = operator.public().await;
    assert!(
        acl.contains("backup=Tc") && !acl.contains("report=") && !acl.contains("{=") && !acl.contains(",="),
        "{acl}"
    );
    let (_, again) = operator.run(Command::Apply(change.clone())).await.expect("applied again");
    assert!(again.contains("Nothing to do"), "{again}");

    let (outcome, text) = operator.run(Command::Check(operator.target())).await.expect("checked");
    assert_eq!(outcome, Outcome::Done, "{text}");
    assert!(
        text.contains("read: sound; strict") && text.contains("strict notify") && text.contains("write: sound\n"),
        "{text}"
    );
    operator.cluster.run_sql("acme", "grant insert on t to public").await.expect("granted");
    let (outcome, text) = operator.run(Command::Check(operator.target())).await.expect("checked");
    assert_eq!(outcome, Outcome::Unsound);
    assert!(text.contains("read: UNSOUND") && text.contains("write:public.t: a reader may insert public.t"), "{text}");
    let check = operator.json(Command::Check(operator.target())).await;
    assert_eq!(check.pointer("/read/sound"), Some(&Value::from(false)));
    assert_eq!(check.pointer("/write/sound"), Some(&Value::from(true)));

    let (_, text) = operator.run(Command::Remove(operator.target())).await.expect("removed");
    assert!(text.contains("grant connect on database \"acme\" to public"), "{text}");
    let acl = operator.public().await;
    assert!(acl.contains("{=Tc/") || acl.contains(",=Tc/"), "PUBLIC has both again: {acl}");
    assert!(!acl.contains("backup="), "what a role was given to keep is taken back: {acl}");
    let left = "select string_agg(rolname, ',') from pg_roles where rolname ~ '^portreeve' \
                union all select nspname::text from pg_namespace where nspname = 'portreeve'";
    let rows = operator.cluster.run_sql("acme", left).await.expect("an answer");
    assert_eq!(rows, [vec![Some(PROVISIONER.to_owned())]]);
    let missing = operator.run(Command::Remove(operator.target())).await.expect_err("it is gone").to_string();
    assert!(missing.contains("the fence is not set up"), "{missing}");
    operator.run(Command::Apply(change)).await.expect("and up again");
}

#[tokio::test]
async fn other_databases_are_closed_when_asked() {
    let operator = Operator::new().await;
    operator.cluster.create_database("spare").await.expect("a database");
    let plan = operator.json(Command::Plan(operator.change(&["app"]))).await;
    assert_eq!(plan.pointer("/open_elsewhere"), Some(&Value::from(vec!["spare"])));
    let mut change = operator.change(&["app", "backup", "report"]);
    change.close = vec!["spare".to_owned()];
    operator.run(Command::Apply(change)).await.expect("applied");
    let (outcome, text) = operator.run(Command::Check(operator.target())).await.expect("checked");
    assert_eq!(outcome, Outcome::Done, "{text}");
}

#[tokio::test]
async fn a_provisioner_can_be_made_and_must_be_humble() {
    let operator = Operator::new().await;
    operator.cluster.run_sql("postgres", "drop role portreeve_provisioner").await.expect("dropped");
    let keep = ["app", "backup", "report"];
    let missing = operator.run(Command::Apply(operator.change(&keep))).await.expect_err("no provisioner");
    assert!(missing.to_string().contains("there is no provisioner"), "{missing}");
    let mut change = operator.change(&keep);
    let password: PathBuf = operator.directory.path().join("password");
    std::fs::write(&password, "secret word\n").expect("a file");
    change.provisioner_password_file = Some(password);
    let (_, text) = operator.run(Command::Apply(change.clone())).await.expect("applied");
    assert!(
        text.contains("create the provisioner") && !text.contains("secret word") && !text.contains("SCRAM"),
        "{text}"
    );
    operator.cluster.run_sql("postgres", "alter role portreeve_provisioner createrole").await.expect("altered");
    let proud = operator.run(Command::Apply(change)).await.expect_err("too many rights").to_string();
    assert!(proud.contains("more rights than it may"), "{proud}");
}

#[tokio::test]
async fn what_cannot_be_read_is_named() {
    let operator = Operator::new().await;
    let mut target = operator.target();
    target.superuser_dsn_file = operator.directory.path().join("absent");
    let absent = operator.run(Command::Check(target.clone())).await.expect_err("no file").to_string();
    assert!(absent.contains("absent"), "{absent}");
    std::fs::write(&target.superuser_dsn_file, "password=hush nonsense").expect("a file");
    let odd = operator.run(Command::Check(target.clone())).await.expect_err("no connection string").to_string();
    assert!(odd.contains("cannot read the superuser's connection string") && !odd.contains("hush"), "{odd}");
    target.superuser_dsn_file = operator.directory.path().join("dsn");
    let bare = operator.run(Command::Check(target)).await.expect_err("not applied yet").to_string();
    assert!(bare.contains("portreeve fence apply"), "{bare}");
}
