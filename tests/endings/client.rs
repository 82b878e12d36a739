//! A client at the gate that knows when its last row came and how its session ended.
//! Not here: what it asks (`cast.rs`).

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use portreeve::cli::demo::stage::Stage;
use portreeve::net::tls_connect::{VerifiedTls, client_config};
use tokio::net::TcpSocket;
use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, Error, SimpleQueryMessage};

const RECEIVE_BUFFER_BYTES: u32 = 64 * 1024;

/// A session through the gate.
pub(crate) struct Session {
    pub(crate) client: Client,
    /// The client's own port.
    pub(crate) port: u16,
    /// The server's process id.
    pub(crate) pid: i32,
    /// Ends when the connection does: when, and with what.
    pub(crate) connection: JoinHandle<(Instant, Option<Error>)>,
}

/// The gate as tokio-postgres is told about it, and TLS that trusts the gate and nobody else.
pub(crate) fn config(stage: &Stage, staff: &str, customer: &str, application: &str) -> (Config, VerifiedTls) {
    let ca = &stage.cluster.certificates().gate_ca;
    let tls = client_config(ca, None).and_then(|config| VerifiedTls::new(config, "localhost")).expect("the gate's CA");
    let mut config = Config::new();
    config
        .user(staff)
        .password(stage.secret(&format!("{staff}.password")).expect("the stage wrote it"))
        .dbname(customer)
        .application_name(application)
        .ssl_mode(SslMode::Require);
    (config, tls)
}

/// Signs in and asks for the server's process id.
pub(crate) async fn sign_in(stage: &Stage, staff: &str, customer: &str, application: &str) -> Result<Session, Error> {
    sign_in_from(stage, Ipv4Addr::LOCALHOST, staff, customer, application).await
}

/// The same from that address of this machine.
pub(crate) async fn sign_in_from(
    stage: &Stage,
    from: Ipv4Addr,
    staff: &str,
    customer: &str,
    application: &str,
) -> Result<Session, Error> {
    let (config, tls) = config(stage, staff, customer, application);
    // A small receive buffer, so that a client that takes nothing is soon felt at the gate.
    let socket = TcpSocket::new_v4().and_then(|socket| {
        socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
        socket.bind(SocketAddr::from((from, 0)))?;
        Ok(socket)
    });
    let gate = SocketAddr::from(([127, 0, 0, 1], stage.gate_port()));
    let tcp = socket.expect("a socket").connect(gate).await.expect("the gate listens");
    let port = tcp.local_addr().expect("connected").port();
    let (client, connection) = config.connect_raw(tcp, tls).await?;
    let connection = tokio::spawn(async move {
        let error = connection.await.err();
        (Instant::now(), error)
    });
    // By a simple query: a prepared statement is closed behind its user's back, and an end that came during that would be
    // told to the closing instead of to the connection.
    let asked = client.simple_query("select pg_backend_pid()").await?;
    let pid = asked.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).and_then(|pid| pid.parse().ok()),
        _ => None,
    });
    let pid = pid.expect("a process id");
    Ok(Session { client, port, pid, connection })
}

/// The server's words in an error: SQLSTATE and message, or what else went wrong.
pub(crate) fn words(error: &Error) -> String {
    match error.as_db_error() {
        Some(told) => {
            let (detail, hint) = (told.detail().unwrap_or_default(), told.hint().unwrap_or_default());
            format!("{} {}; {detail}; {hint}", told.code().code(), told.message())
        }
        None => format!("{error:?}"),
    }
}
