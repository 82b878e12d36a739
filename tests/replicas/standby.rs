//! A real streaming standby of a throw-away cluster, made by the low-level backup functions, which every version has.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use portreeve::cli::demo::cluster::Cluster;
use tokio_postgres::{Client, NoTls};

const READY_WITHIN: Duration = Duration::from_secs(30);

/// Starts a server that ends with its own standard input, which is ours.
const WATCHER: &str = r#"
"$1" -D "$2" </dev/null >>"$2.log" 2>&1 & server=$!
while read -r word; do :; done
kill -QUIT "$server" 2>/dev/null
wait "$server"
"#;

/// A copy of a cluster that follows it.
pub struct Standby {
    bin: PathBuf,
    data: PathBuf,
    pub port: u16,
    watcher: Option<Child>,
}

impl Drop for Standby {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Standby {
    /// Copies the cluster while it runs, and starts the copy, which streams from a slot of its own.
    pub async fn of(cluster: &Cluster, bin: PathBuf, name: &str) -> Standby {
        let primary = cluster.directory().join("data");
        let hba = primary.join("pg_hba.conf");
        let lines = fs::read_to_string(&hba).expect("pg_hba.conf");
        fs::write(&hba, format!("local replication postgres trust\n{lines}")).expect("written");
        cluster.run_sql("postgres", "select pg_reload_conf()").await.expect("reloaded");
        let (client, connection) =
            tokio_postgres::connect(&cluster.superuser_dsn("postgres"), NoTls).await.expect("a superuser");
        tokio::spawn(connection);
        let slot = format!("select pg_create_physical_replication_slot('{name}', true)");
        client.batch_execute(&slot).await.expect("a slot");
        client.batch_execute("select pg_backup_start('standby', true)").await.expect("a backup begins");
        let data = cluster.directory().join(name);
        copy(&primary, &data);
        let row = client.query_one("select labelfile from pg_backup_stop(false)", &[]).await.expect("it ends");
        let (port, socket) = (free_port(), cluster.socket_directory());
        let settings = format!(
            "\nport = {port}\nunix_socket_directories = '{}'\nprimary_slot_name = '{name}'\n\
             primary_conninfo = 'host={} port={} user=postgres application_name={name}'\n\
             wal_retrieve_retry_interval = '100ms'\nmax_standby_streaming_delay = '30s'\n",
            data.display(),
            socket.display(),
            cluster.port()
        );
        let conf = fs::read_to_string(data.join("postgresql.conf")).expect("a configuration") + &settings;
        let own = [("backup_label", row.get(0)), ("postgresql.conf", conf), ("standby.signal", String::new())];
        for (file, text) in own {
            fs::write(data.join(file), text).expect("written");
            give(&primary, &data.join(file));
        }
        let mut standby = Standby { bin, data, port, watcher: None };
        standby.start().await;
        standby
    }

    /// Starts it, and waits until it lets sessions in.
    pub async fn start(&mut self) {
        let owner = fs::metadata(&self.data).expect("a folder");
        let mut watcher = Command::new("/bin/sh");
        watcher.args(["-c", WATCHER, "watcher"]).arg(self.bin.join("postgres")).arg(&self.data);
        watcher.uid(owner.uid()).gid(owner.gid()).current_dir("/").process_group(0).stdin(Stdio::piped());
        self.watcher = Some(watcher.spawn().expect("it runs"));
        let began = Instant::now();
        while let Err(error) = self.try_connect("postgres").await {
            let log = fs::read_to_string(self.data.with_extension("log")).unwrap_or_default();
            assert!(began.elapsed() < READY_WITHIN, "{error}: {log}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Takes it down at once. Does nothing when it is down.
    pub fn stop(&mut self) {
        if let Some(mut watcher) = self.watcher.take() {
            drop(watcher.stdin.take());
            watcher.wait().expect("it ends");
        }
    }

    async fn try_connect(&self, database: &str) -> Result<Client, tokio_postgres::Error> {
        let road = format!("host={} port={} user=postgres dbname={database}", self.data.display(), self.port);
        let (client, connection) = tokio_postgres::connect(&road, NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// The texts of the first column, asked as superuser.
    pub async fn ask(&self, database: &str, sql: &str) -> Vec<String> {
        let client = self.try_connect(database).await.expect("it runs");
        let answer = client.simple_query(sql).await.unwrap_or_else(|error| unreachable!("{sql}: {error:?}"));
        let text = |message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        };
        answer.into_iter().filter_map(text).collect()
    }

    /// From now on it receives and does not replay.
    pub async fn pause(&self) {
        self.ask("postgres", "select pg_wal_replay_pause()").await;
        while self.ask("postgres", "select pg_get_wal_replay_pause_state()").await != ["paused"] {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// It replays again.
    pub async fn resume(&self) {
        self.ask("postgres", "select pg_wal_replay_resume()").await;
    }

    /// Sets something, from the next moment on.
    pub async fn set(&self, name: &str, value: &str) {
        self.ask("postgres", &format!("alter system set {name} = '{value}'")).await;
        self.ask("postgres", "select pg_reload_conf()").await;
    }

    /// Lets in who comes by that line of pg_hba.conf, before all others.
    pub async fn admit(&self, line: &str) {
        let hba = self.data.join("pg_hba.conf");
        let lines = fs::read_to_string(&hba).expect("pg_hba.conf");
        fs::write(&hba, format!("{line}\n{lines}")).expect("written");
        self.ask("postgres", "select pg_reload_conf()").await;
    }

    /// It takes changes from now on.
    pub async fn promote(&self) {
        assert_eq!(self.ask("postgres", "select pg_promote(true, 30)").await, ["t"]);
    }
}

/// Copies what a backup needs of a running server's data directory. Files may go meanwhile: the log has what they held.
fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a folder");
    let mode = fs::metadata(from).expect("a folder").permissions().mode();
    fs::set_permissions(to, fs::Permissions::from_mode(mode)).expect("its mode");
    give(from, to);
    for entry in fs::read_dir(from).expect("a folder").map_while(Result::ok) {
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let is_left = ["postmaster.pid", "postmaster.opts"].iter().any(|name| entry.file_name() == *name);
        // A slot is the primary's own, and so is what is under way there.
        let is_emptied =
            ["pg_replslot", "pg_stat_tmp", "pg_notify", "pg_subtrans"].iter().any(|name| from.join(name) == source);
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && is_emptied => {
                fs::create_dir(&target).expect("a folder");
                fs::set_permissions(&target, fs::Permissions::from_mode(mode)).expect("its mode");
                give(from, &target);
            }
            Ok(kind) if kind.is_dir() => copy(&source, &target),
            Ok(kind) if kind.is_file() && !is_left => match fs::copy(&source, &target) {
                Ok(_) => give(from, &target),
                Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{}", source.display()),
            },
            Ok(_) | Err(_) => {}
        }
    }
}

/// To whoever has the other one.
fn give(as_that: &Path, path: &Path) {
    let owner = fs::metadata(as_that).expect("it is there");
    chown(path, Some(owner.uid()), Some(owner.gid())).expect("given");
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("bound").port()
}
