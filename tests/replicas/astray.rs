//! A replica that is none of the primary's: promoted, another server's, on another timeline.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portreeve::cli::demo::cluster::{APPLICATION, Cluster, PROVISIONER, Settings};
use portreeve::fence::{Astray, Error, Fence, Keep, Layout, Replica, Superuser, Upstream, Wanted};
use portreeve::secret::Secret;
use rustls::ClientConfig;

use crate::ground::{Ground, SOON, Version, words};
use crate::standby::Standby;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promoted_replica_of_15_is_left_and_not_entered() {
    is_left(Version::Fifteen).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promoted_replica_of_18_is_left_and_not_entered() {
    is_left(Version::Eighteen).await;
}

async fn is_left(version: Version) {
    let ground = Ground::new(version, "10s").await;
    ground.stage.grant("acme", "read").expect("a grant");
    let session = ground.sign_in_soon("acme@reader").await;
    let idle = ground.sign_in_soon("acme@reader").await;
    let here = ground.sign_in_soon("acme").await;
    ground.standby.promote().await;
    // It says so itself with its next answer; of who asks nothing, the self-test does.
    let told = loop {
        if let Err(error) = session.client.simple_query("select 1").await {
            break words(&error);
        }
    };
    assert!(told.starts_with("57P01 the fence around customer \"acme\" is not sound any more"), "{told}");
    let told = tokio::time::timeout(SOON, idle.connection).await.expect("soon").expect("no panic").1;
    let told = told.as_ref().map(words).unwrap_or_default();
    assert!(told.starts_with("57P01 the fence around customer \"acme\" is not sound any more"), "{told}");
    let refused = ground.refused("acme@reader", "replica \"reader\" does not follow the primary").await;
    assert!(refused.starts_with("57P03") && refused.contains("It was promoted"), "{refused}");
    here.client.simple_query("select 1").await.expect("the primary's sessions go on");
    drop(here);
    ground.wait_for_roles(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_another_server_nor_another_timeline_is_taken_for_a_replica() {
    for version in [Version::Fifteen, Version::Eighteen] {
        // A cluster from the cache is a copy of the same server, which another one is not.
        let (cluster, other) =
            (cluster(version, Some(env!("CARGO_TARGET_TMPDIR").into())).await, cluster(version, None).await);
        let one = Standby::of(&cluster, version.bin(), "one").await;
        let two = Standby::of(&cluster, version.bin(), "two").await;
        let fence = Fence::new(upstream(&cluster, cluster.port())).expect("a fence");
        let role = cluster_role(&fence).await;
        for standby in [&one, &two] {
            let replica = replica(upstream(&cluster, standby.port));
            replica.caught_up(&fence, "acme", &role).await.expect("it follows");
            replica.still_follows(&fence, "acme", &role).await.expect("it follows");
        }

        let stranger = replica(upstream(&other, other.port()));
        let found = stranger.caught_up(&fence, "acme", &role).await.expect_err("another server");
        assert!(matches!(found, Error::Astray { why: Astray::Stranger { .. }, .. }), "{found}");
        let itself = replica(upstream(&cluster, cluster.port()));
        let found = itself.caught_up(&fence, "acme", &role).await.expect_err("no replica");
        assert!(matches!(found, Error::Astray { why: Astray::Promoted, .. }), "{found}");
        let upside_down = Fence::new(upstream(&cluster, two.port)).expect("a fence");
        let found = itself.caught_up(&upside_down, "acme", &role).await.expect_err("its primary is a replica");
        assert!(found.to_string().contains("point it at the primary"), "{found}");

        one.promote().await;
        let promoted = Fence::new(upstream(&cluster, one.port)).expect("a fence");
        let left = replica(upstream(&cluster, two.port));
        let found = left.caught_up(&promoted, "acme", &role).await.expect_err("it follows the old one");
        let Error::Astray { why: Astray::OtherTimeline { its: 1, primary: 2 }, .. } = &found else {
            unreachable!("{found}")
        };
        assert!(found.is_astray_for_good() && !found.is_not_set_up());
        let nobody = left.caught_up(&fence, "acme", "pr_g_nobody").await.expect_err("there is no such role");
        assert!(matches!(nobody, Error::Astray { why: Astray::Behind { bytes: 0, .. }, .. }), "{nobody}");
        cut_off(&cluster, &two, (&promoted, &fence), &role).await;
    }
}

/// Of a replica without a stream nobody knows whether it goes along with a failover: it is none to read from just now.
async fn cut_off(cluster: &Cluster, standby: &Standby, (promoted, old): (&Fence, &Fence), role: &str) {
    let cut = Replica::new("reader", upstream(cluster, standby.port), Vec::new(), Duration::ZERO).expect("a replica");
    let conninfo = standby.ask("postgres", "show primary_conninfo").await.concat();
    standby.set("primary_conninfo", "").await;
    let until = Instant::now() + SOON;
    while standby.ask("postgres", "select pid from pg_stat_wal_receiver").await != Vec::<String>::new() {
        assert!(Instant::now() < until, "it goes on receiving");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for primary in [promoted, old] {
        cut.answers(primary, "acme").await.expect("it may be connecting");
        let found = cut.caught_up(primary, "acme", role).await.expect_err("nobody knows");
        assert!(matches!(found, Error::Astray { why: Astray::Unconnected, .. }), "{found}");
        let again = cut.still_follows(primary, "acme", role).await.expect_err("nobody knows");
        assert!(matches!(again, Error::Astray { why: Astray::Unconnected, .. }), "{again}");
        assert!(!found.is_astray_for_good() && !again.is_astray_for_good(), "what passes condemns nobody");
    }
    standby.set("primary_conninfo", &conninfo).await;
    replica(upstream(cluster, standby.port)).caught_up(old, "acme", role).await.expect("it follows again");
}

async fn cluster(version: Version, cache: Option<PathBuf>) -> Cluster {
    let settings = Settings { cache, bin: Some(version.bin()), ..Settings::default() };
    let cluster = Cluster::start(settings).await.expect("a cluster");
    cluster.create_database("acme").await.expect("a database");
    let wanted = Wanted {
        provisioner: PROVISIONER.to_owned(),
        provisioner_verifier: None,
        keep: vec![APPLICATION.to_owned()],
        others: Keep::Ask,
        revoke_public: Vec::new(),
        close: Vec::new(),
        layout: Layout::AsItIs,
        impersonal: None,
    };
    let dsn = Secret::new(cluster.superuser_dsn("acme"));
    let mut superuser = Superuser::connect(&dsn, "acme", None).await.expect("a superuser");
    superuser.apply(&wanted).await.expect("applied");
    cluster
}

/// A grant's role.
async fn cluster_role(fence: &Fence) -> String {
    use portreeve::clock::{Clock as _, SystemClock};
    let role = "pr_g_reader";
    let verifier = postgres_protocol::password::scram_sha_256(role.as_bytes());
    let until = SystemClock.now().plus(Duration::from_secs(3600));
    let opened = fence.open_grant("acme", role, portreeve::grant::Scope::Read, &verifier, until, 8).await;
    opened.expect("a grant");
    role.to_owned()
}

/// How the provisioner signs in at that port.
pub fn upstream(cluster: &Cluster, port: u16) -> Upstream {
    let tls: Arc<ClientConfig> = cluster.proxy_tls().expect("files");
    Upstream {
        host: "127.0.0.1".to_owned(),
        port,
        server_name: "localhost".to_owned(),
        tls,
        provisioner: PROVISIONER.to_owned(),
        password: Secret::new(cluster.provisioner_password().to_owned()),
    }
}

fn replica(upstream: Upstream) -> Replica {
    Replica::new("reader", upstream, Vec::new(), Duration::from_secs(5)).expect("a replica")
}
