//! What leads elsewhere than to the server itself: a pooler, or an address that a standby has taken.

use std::sync::Arc;

use tokio_postgres::config::SslMode;
use tokio_postgres::{Config, NoTls};

use super::*;
use crate::grant::world::World;
use crate::register::At;
use crate::register::kept::{Kept, Shelf};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// A pooler connects without what was asked for: without the time limits, and with whatever isolation.
pub(super) fn settings_that_do_not_arrive_are_missed(shelf: &Shelf) {
    let server = shelf.database();
    shelf.prepare(&server).expect("prepared");
    let mut config = Config::new();
    config.host(&server.host).port(server.port).dbname(&server.database).ssl_mode(SslMode::Require);
    config.user(&server.role).password("secret");
    let told = runtime().block_on(async {
        let tls = link::tls(&server).expect("certificates");
        let (client, connection) = config.connect(tls).await.expect("it connects");
        let driver = tokio::spawn(connection);
        let told = checks::check(&client, &Place::of(&server), &server.role).await;
        drop(client);
        driver.await.expect("no panic").expect("it ended well");
        told.expect_err("it is refused").to_string()
    });
    assert!(told.contains("the settings that were asked for did not arrive"), "{told}");
}

/// A server that follows another one is refused at the connection, and with each answer after that.
pub(super) fn a_standby_is_not_taken_for_the_primary(shelf: &Arc<Shelf>) {
    let kept = Kept::on(shelf);
    drop(kept.holding(&World::with_people()));
    let At::Server(server) = kept.at.clone() else { panic!("it is on a server") };
    shelf.crash();
    std::fs::write(shelf.cluster().directory().join("data/standby.signal"), "").expect("it is to be one");
    shelf.start_again();
    let told = kept.try_open().map(drop).expect_err("it is refused").to_string();
    assert!(told.contains("the server is a standby"), "{told}");
    let place = Place::of(&server);
    let dsn = shelf.cluster().superuser_dsn(&server.database);
    runtime().block_on(async {
        let (client, connection) = tokio_postgres::connect(&dsn, NoTls).await.expect("it connects");
        let driver = tokio::spawn(connection);
        // Events, no event, and where it stands.
        let read = async |from: i64| client.query_typed(READ, &[(&from, Type::INT8), (&BATCH, Type::INT8)]).await;
        let version = async || client.query_typed(VERSION, &[]).await;
        let is_primary =
            |rows: Vec<Row>| from_primary(&rows, &place).map(|()| rows.len()).map_err(|told| told.to_string());
        for rows in [read(1).await, read(9).await, version().await] {
            let told = is_primary(rows.expect("it answers")).expect_err("it may be behind");
            assert!(told.contains("the server is a standby"), "{told}");
        }
        client.batch_execute("select pg_promote()").await.expect("it is promoted");
        for (rows, count) in [(read(1).await, 3), (read(9).await, 1), (version().await, 1)] {
            assert_eq!(is_primary(rows.expect("it answers")), Ok(count));
        }
        drop(client);
        driver.await.expect("no panic").expect("it ended well");
    });
    assert_eq!(kept.open().state().expect("it verifies").sequence(), Sequence(3));
}
