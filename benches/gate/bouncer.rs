//! PgBouncer as Debian has it: session pooling, TLS on both sides, SCRAM on both sides, everything else its default.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use portreeve::cli::demo::certificates::Pair;
use portreeve::cli::demo::cluster::{APPLICATION, Cluster};

use super::Failed;

const READY_WITHIN: Duration = Duration::from_secs(10);

/// A running PgBouncer; dropped, it is stopped and its folder removed.
#[derive(Debug)]
pub struct Bouncer {
    child: Child,
    directory: PathBuf,
    /// Where it listens.
    pub port: u16,
}

impl Bouncer {
    /// Starts one in front of the cluster, in a new folder. It refuses to run as root: then it runs as `postgres`.
    pub fn start(cluster: &Cluster, directory: PathBuf) -> Result<Bouncer, Failed> {
        let program = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"].into_iter().find(|path| Path::new(path).exists());
        let program = program.ok_or("there is no pgbouncer; `make bench` installs it")?;
        let user = if rustix::process::getuid().is_root() { Some(postgres_user()?) } else { None };
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        fs::create_dir(&directory)?;
        let (log, ini) = (directory.join("log"), directory.join("pgbouncer.ini"));
        let log_file = fs::File::create(&log)?;
        fs::write(&ini, settings(cluster, &directory, port))?;
        let password = cluster.application_password();
        fs::write(directory.join("users"), format!("\"{APPLICATION}\" \"{password}\"\n"))?;
        let certificates = cluster.certificates();
        let Pair { certificate, key } = &certificates.gate;
        for (from, to) in [(certificate, "certificate"), (key, "key"), (&certificates.cluster_ca, "ca")] {
            fs::copy(from, directory.join(to))?;
        }
        let mut command = Command::new(program);
        command.arg("-q").arg(&ini).stdin(Stdio::null()).stdout(log_file.try_clone()?).stderr(log_file);
        if let Some((user, group)) = user {
            for entry in fs::read_dir(&directory)? {
                let path = entry?.path();
                chown(&path, Some(user), Some(group))?;
                fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
            }
            chown(&directory, Some(user), Some(group))?;
            command.uid(user).gid(group);
        }
        let child = command.current_dir("/").spawn()?;
        let mut bouncer = Bouncer { child, directory, port };
        let until = Instant::now() + READY_WITHIN;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if Instant::now() > until || bouncer.child.try_wait()?.is_some() {
                return Err(format!("pgbouncer did not start: {}", fs::read_to_string(&log)?).into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(bouncer)
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        let ended =
            self.child.kill().and_then(|()| self.child.wait()).and_then(|_| fs::remove_dir_all(&self.directory));
        if let Err(error) = ended {
            eprintln!("pgbouncer was not put away: {error}");
        }
    }
}

fn settings(cluster: &Cluster, directory: &Path, port: u16) -> String {
    let file = |name: &str| directory.join(name).display().to_string();
    format!(
        "[databases]\n* = host=127.0.0.1 port={}\n\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
         unix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {}\npool_mode = session\ndefault_pool_size = 64\n\
         max_client_conn = 200\nclient_tls_sslmode = require\nclient_tls_cert_file = {}\nclient_tls_key_file = {}\n\
         server_tls_sslmode = verify-full\nserver_tls_ca_file = {}\n",
        cluster.port(),
        file("users"),
        file("certificate"),
        file("key"),
        file("ca"),
    )
}

fn postgres_user() -> Result<(u32, u32), Failed> {
    let users = fs::read_to_string("/etc/passwd")?;
    let line = users.lines().find(|line| line.starts_with("postgres:")).ok_or("there is no user postgres")?;
    let mut fields = line.split(':').skip(2);
    let mut next = || fields.next().and_then(|field| field.parse().ok()).ok_or("an odd line in /etc/passwd");
    Ok((next()?, next()?))
}
