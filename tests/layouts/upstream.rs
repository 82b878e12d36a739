//! Upstreams that are not as they should be: one that lost our roles, one that is a pooler, one with very many customers.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use portreeve::cli::demo::cluster::{Cluster, PROVISIONER};
use portreeve::cli::demo::stage::{Settings, Stage, said};
use portreeve::fence::{Fence, Layout, LeftBehind, Place, Schemas, Upstream, family, grant_role};
use portreeve::grant::Scope;

use crate::ground::{Ground, Version, found, in_an_hour, upstream_of};

const READY_WITHIN: Duration = Duration::from_secs(10);

#[tokio::test]
async fn an_upstream_that_lost_our_roles_says_what_to_do() {
    let mut settings = Settings::new(env!("CARGO_BIN_EXE_portreeve"));
    settings.cache = Some(Path::new(env!("CARGO_TARGET_TMPDIR")).to_owned());
    let stage = Stage::set_up(settings).await.expect("a stage");
    let (status, answer) = stage.set_consent("acme", r#"{"mode":"standing","scope":"read"}"#).expect("an answer");
    assert_eq!(status, 200, "{answer}");
    stage.grant("acme", "read").expect("a grant");
    let tried = || {
        let mut psql = stage.psql("acme").expect("psql");
        said(&psql.args(["-At", "-c", "select count(*) from contacts"]).output().expect("it runs"))
    };
    assert!(tried().starts_with("1200"), "{}", tried());
    for lost in [
        "drop owned by portreeve_acme_read; drop role portreeve_acme_read",
        "drop schema portreeve cascade; drop owned by portreeve_acme_write; drop role portreeve_acme_write",
    ] {
        let until = Instant::now() + READY_WITHIN;
        while let Err(error) = stage.cluster.run_sql("acme", lost).await {
            assert!(Instant::now() < until, "{error}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let refused = tried();
        assert!(
            refused.contains("not set up for this access") && refused.contains("portreeve fence apply"),
            "{lost}: {refused}"
        );
        stage.fence("acme", &[]).expect("put up again");
        assert!(tried().starts_with("1200"), "{}", tried());
    }
}

/// A real PgBouncer in front of the cluster, with the proxy's own certificate towards it.
struct Bouncer {
    child: Child,
    directory: PathBuf,
    port: u16,
}

impl Bouncer {
    fn start(cluster: &Cluster, more: &str) -> Bouncer {
        let directory = std::env::temp_dir().join(format!("pgbouncer-{}-{}", std::process::id(), cluster.port()));
        fs::create_dir(&directory).expect("a folder");
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|free| free.local_addr()).expect("free").port();
        let certificates = cluster.certificates();
        for (from, to) in [
            (&certificates.cluster.certificate, "certificate"),
            (&certificates.cluster.key, "key"),
            (&certificates.cluster_ca, "ca"),
            (&certificates.proxy_ca, "client-ca"),
            (&certificates.proxy.certificate, "client"),
            (&certificates.proxy.key, "client-key"),
        ] {
            fs::copy(from, directory.join(to)).expect("copied");
        }
        let file = |name: &str| directory.join(name).display().to_string();
        let users = format!("\"{PROVISIONER}\" \"{}\"\n", cluster.provisioner_password());
        fs::write(directory.join("users"), users).expect("written");
        let ini = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {}\npool_mode = session\n\
             client_tls_sslmode = require\nclient_tls_cert_file = {}\nclient_tls_key_file = {}\nclient_tls_ca_file = {}\n\
             server_tls_sslmode = require\nserver_tls_ca_file = {}\nserver_tls_cert_file = {}\n\
             server_tls_key_file = {}\n{more}\n",
            cluster.port(),
            file("users"),
            file("certificate"),
            file("key"),
            file("client-ca"),
            file("ca"),
            file("client"),
            file("client-key"),
        );
        fs::write(directory.join("ini"), ini).expect("written");
        let mut command = Command::new("/usr/sbin/pgbouncer");
        let log = fs::File::create(directory.join("log")).expect("a log");
        command
            .arg("-q")
            .arg(directory.join("ini"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log);
        // It refuses to run as root: then it runs as whoever runs the server.
        let owner = fs::metadata(cluster.directory().join("data")).expect("the server's data");
        for entry in fs::read_dir(&directory).expect("a folder") {
            let path = entry.expect("a file").path();
            chown(&path, Some(owner.uid()), Some(owner.gid())).expect("given away");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("closed");
        }
        chown(&directory, Some(owner.uid()), Some(owner.gid())).expect("given away");
        let child = command.uid(owner.uid()).gid(owner.gid()).current_dir("/").spawn().expect("pgbouncer runs");
        let bouncer = Bouncer { child, directory, port };
        let until = Instant::now() + READY_WITHIN;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            let log = fs::read_to_string(bouncer.directory.join("log")).unwrap_or_default();
            assert!(Instant::now() < until, "pgbouncer did not start: {log}");
            std::thread::sleep(Duration::from_millis(20));
        }
        bouncer
    }

    fn fence(&self, cluster: &Cluster) -> Fence {
        Fence::new(Upstream { port: self.port, ..upstream_of(cluster) }).expect("a fence")
    }
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        let ended =
            self.child.kill().and_then(|()| self.child.wait()).and_then(|_| fs::remove_dir_all(&self.directory));
        ended.expect("pgbouncer is put away");
    }
}

#[tokio::test]
async fn a_pooler_is_found_and_refused() {
    let ground = Ground::fenced(Version::Fifteen).await;
    let place = Place { database: "crm", tenant: Some("acme") };
    let verifier = postgres_protocol::password::scram_sha_256(b"x");
    {
        let bouncer = Bouncer::start(&ground.cluster, "");
        let fence = bouncer.fence(&ground.cluster);
        let opened = fence.open_grant(place, "pr_g_1", Scope::Read, &verifier, in_an_hour(), 1).await;
        let refused = opened.expect_err("a pooler").to_string();
        assert!(refused.contains("pooler") && refused.contains("PostgreSQL itself"), "{refused}");
    }
    // One that is told to pass over what it does not know answers, and is found by the process ids it invents.
    let bouncer = Bouncer::start(&ground.cluster, "ignore_startup_parameters = options");
    let fence = bouncer.fence(&ground.cluster);
    fence.open_grant(place, "pr_g_1", Scope::Read, &verifier, in_an_hour(), 1).await.expect("it does what it is told");
    let report = fence.self_test(place, "pr_g_1", Scope::Read).await.expect("a report");
    assert!(found(&report.refusals).contains(&"pooler"), "{report:#?}");
    let pooler = report.refusals.iter().find(|finding| finding.word == "pooler").expect("it is there");
    assert!(pooler.hint.contains("PostgreSQL itself"), "{pooler:?}");
    fence.close_grant("crm", "pr_g_1").await.expect("closed");
}

#[tokio::test]
async fn one_database_tells_in_which_others_a_dead_process_left_roles() {
    let ground = Ground::fenced(Version::Eighteen).await;
    ground.cluster.create_database("own").await.expect("a database");
    let dsn = portreeve::secret::Secret::new(ground.cluster.superuser_dsn("own"));
    let mut own = portreeve::fence::Superuser::connect(&dsn, "own", None).await.expect("a superuser");
    own.apply(&crate::ground::wanted(Layout::Database)).await.expect("applied");
    let nowhere = LeftBehind::In(Default::default());
    let gate = family("gate");
    let role = grant_role(&gate, 1, 1, 1);
    assert_eq!(ground.fence.left_behind("own", &gate).await.expect("an answer"), nowhere);
    ground.open(&role, Scope::Read, "acme").await.expect("a grant");
    let left = ground.fence.left_behind("own", &gate).await.expect("an answer");
    assert_eq!(left, LeftBehind::In(["crm".to_owned()].into()));
    assert_eq!(ground.fence.left_behind("own", &family("gate-1")).await.expect("an answer"), nowhere);
    ground.run(&format!("create role {gate}2")).await;
    assert_eq!(ground.fence.left_behind("own", &gate).await.expect("an answer"), LeftBehind::Somewhere);
    ground.run(&format!("drop role {gate}2")).await;
    let swept = ground.fence.sweep("crm", &gate, |_| false, Duration::from_secs(5)).await.expect("swept");
    assert_eq!(swept, [role]);
    assert_eq!(ground.fence.left_behind("crm", &gate).await.expect("an answer"), nowhere);
}

/// So many schemas that a transaction would run out of locks if it dealt with all at once.
#[tokio::test]
async fn load_very_many_schemas() {
    let many: usize = std::env::var("PORTREEVE_SCHEMAS").ok().and_then(|many| many.parse().ok()).unwrap_or(1000);
    let ground = Ground::bare(Version::Fifteen).await;
    for first in (1..=many).step_by(500) {
        let last = (first + 499).min(many);
        ground
            .run(&format!(
                "set role app; do $$ begin for n in {first}..{last} loop execute format('create schema c%s', n);
                 execute format('create table c%s.t (id int)', n); end loop; end $$"
            ))
            .await;
    }
    let began = Instant::now();
    let all = Layout::Schema(Schemas { named: Vec::new(), all: true });
    ground.apply(all.clone(), None).await.expect("applied");
    let applied = began.elapsed();
    let began = Instant::now();
    assert_eq!(ground.apply(Layout::AsItIs, None).await, Ok(Vec::new()));
    let again = began.elapsed();
    let verifier = postgres_protocol::password::scram_sha_256(b"x");
    let place = Place { database: "crm", tenant: Some("c7") };
    ground.fence.open_grant(place, "pr_g_0", Scope::Read, &verifier, in_an_hour(), 1).await.expect("connected");
    let began = Instant::now();
    ground.fence.open_grant(place, "pr_g_1", Scope::Read, &verifier, in_an_hour(), 1).await.expect("a grant");
    let opened = began.elapsed();
    let began = Instant::now();
    let report = ground.fence.self_test(place, "pr_g_1", Scope::Read).await.expect("a report");
    let tested = began.elapsed();
    assert!(report.is_sound(), "{report:#?}");
    for role in ["pr_g_0", "pr_g_1"] {
        ground.fence.close_grant("crm", role).await.expect("closed");
    }
    let began = Instant::now();
    ground.superuser().await.remove(PROVISIONER).await.expect("removed");
    let removed = began.elapsed();
    assert_eq!(ground.value("select count(*) from pg_roles where rolname ~ '^portreeve_crm'").await, "0");
    println!(
        "{many} schemas: apply {applied:.1?}, again {again:.1?}, open_grant {opened:.1?}, self-test {tested:.1?}, \
         remove {removed:.1?}"
    );
    assert!(opened < Duration::from_secs(1) && tested < Duration::from_secs(5), "{opened:?} {tested:?}");
}
