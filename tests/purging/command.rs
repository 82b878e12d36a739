//! The verbs as a person runs them: exit codes, and no sampled value on the screen.

use std::process::{Command, Output};

use portreeve::cli::demo::cluster::Cluster;

use super::ground::cluster;

struct Operator {
    cluster: Cluster,
    directory: tempfile::TempDir,
}

impl Operator {
    async fn new() -> Operator {
        let operator = Operator { cluster: cluster().await, directory: tempfile::tempdir().expect("a directory") };
        let ca = &operator.cluster.certificates().cluster_ca;
        let ca = ca.display();
        let config = format!(
            "[clusters.main]\nhost = \"localhost\"\nca = \"{ca}\"\ncertificate = \"c\"\nkey = \"k\"\npassword_file = \"p\"\n\
             [portal]\npublic_url = \"https://localhost\"\n"
        );
        operator.write("portreeve.toml", &config);
        operator.write("dsn", &format!("{}\n", operator.cluster.superuser_dsn("postgres")));
        operator
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("a file");
    }

    fn run(&self, verbs: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portreeve"));
        command.arg("--config").arg(self.path("portreeve.toml")).args(verbs);
        command.output().expect("it runs")
    }

    fn on_database(&self, verbs: &[&str]) -> Output {
        let dsn = self.path("dsn");
        let target = ["--database", "shared", "--dsn-file", dsn.to_str().expect("text")];
        self.run(&[verbs, &target].concat())
    }
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test]
async fn a_map_is_proposed_checked_and_shown() {
    let operator = Operator::new().await;
    let tables = "create table contacts (id int primary key, tenant_id int not null, email text);
        insert into contacts values (1, 7, 'anna@example.com')";
    operator.cluster.run_sql("shared", tables).await.expect("tables");
    let scan = operator.on_database(&["datamap", "scan"]);
    assert_eq!(scan.status.code(), Some(0), "{}", text(&scan));
    assert!(!text(&scan).contains("anna"), "{}", text(&scan));
    operator.write("datamap.toml", &String::from_utf8(scan.stdout).expect("text"));
    assert_eq!(operator.on_database(&["datamap", "check"]).status.code(), Some(0));
    assert_eq!(operator.on_database(&["retention", "coverage"]).status.code(), Some(0));
    let export = operator.run(&["datamap", "export", "--as", "csv"]);
    assert!(text(&export).contains("public.contacts,email,contact,tenant_id,deleted,\r\n"), "{}", text(&export));

    operator.cluster.run_sql("shared", "create table forgotten (id int, note text)").await.expect("a table");
    for verbs in [["datamap", "check"], ["retention", "coverage"]] {
        let found = operator.on_database(&verbs);
        assert_eq!(found.status.code(), Some(4), "{}", text(&found));
        assert!(text(&found).contains("public.forgotten"), "{}", text(&found));
    }
    operator.write("datamap.toml", "version = 1\nlayot = \"shared\"\n");
    let wrong = operator.on_database(&["datamap", "check"]);
    assert_eq!(wrong.status.code(), Some(5));
    assert!(
        text(&wrong).contains("datamap.toml:2: unknown key \"layot\"; did you mean \"layout\"?"),
        "{}",
        text(&wrong)
    );
    let prepared = operator.on_database(&["retention", "prepare"]);
    assert_eq!(prepared.status.code(), Some(4), "{}", text(&prepared));
    assert!(text(&prepared).contains("belongs to superuser postgres"), "{}", text(&prepared));
    let owned = "alter table contacts owner to app; alter table forgotten owner to app";
    operator.cluster.run_sql("shared", owned).await.expect("owned");
    let prepared = operator.on_database(&["retention", "prepare"]);
    assert_eq!(prepared.status.code(), Some(0), "{}", text(&prepared));
    let sql = "select rolsuper or rolcreaterole or rolcreatedb or rolreplication from pg_roles
        where rolname = 'portreeve_maintenance'";
    let rows = operator.cluster.run_sql("shared", sql).await.expect("a role");
    assert_eq!(rows, [vec![Some("f".to_owned())]]);
}
