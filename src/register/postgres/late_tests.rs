//! An append that is still on its way when somebody else asks what became of it.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::*;
use crate::entropy::{OsEntropy, random};
use crate::grant::world::{NOON, World, staff};
use crate::grant::{By, Draft, What};
use crate::register::At;
use crate::register::kept::{Kept, Shelf};

/// A road to the server for one connection. While the gate is locked, nothing passes towards the server.
struct Detour {
    port: u16,
    gate: Arc<Mutex<()>>,
    /// Ends when the server has taken all that came, and has ended the connection.
    road: JoinHandle<()>,
}

impl Detour {
    fn to(port: u16) -> Detour {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let (own, gate) = (listener.local_addr().expect("a port").port(), Arc::new(Mutex::new(())));
        let passing = Arc::clone(&gate);
        let road = std::thread::spawn(move || {
            let (mut client, _) = listener.accept().expect("a connection");
            let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("it listens");
            let (mut from, mut to) = (server.try_clone().expect("a socket"), client.try_clone().expect("a socket"));
            // The server is heard to its end, whether or not anybody listens any more.
            let back = std::thread::spawn(move || {
                each_part(&mut from, |part| to.write_all(part).unwrap_or_default());
            });
            each_part(&mut client, |part| {
                let _open = passing.lock().expect("no panic");
                server.write_all(part).expect("it takes it");
            });
            server.shutdown(Shutdown::Write).expect("it is there");
            back.join().expect("no panic");
        });
        Detour { port: own, gate, road }
    }
}

fn each_part(from: &mut TcpStream, mut each: impl FnMut(&[u8])) {
    let mut part = [0; 8192];
    // A connection that is cut off ends as one that is closed.
    while let Ok(length @ 1..) = from.read(&mut part) {
        each(&part[..length]);
    }
}

/// Whoever was told that an event is not there does not meet it later: its writer is gone, its statement is not.
pub(super) fn an_append_that_comes_after_it_was_asked_for_is_refused(shelf: &Arc<Shelf>) {
    let kept = Kept::on(shelf);
    let register = kept.holding(&World::with_people());
    let At::Server(server) = kept.at.clone() else { panic!("it is on a server") };
    let state = register.state().expect("it verifies");
    let joe = || {
        let draft = Draft { by: By::Operator, what: What::StaffCreated, personal: Some(staff("joe")) };
        draft.propose(EventId(random(&OsEntropy)), NOON, random(&OsEntropy), (state.sequence(), state.head()))
    };
    let late = joe();

    let detour = Detour::to(server.port);
    let mut writer = Postgres::open(&RegisterServer { port: detour.port, ..server }).expect("it opens");
    let held = detour.gate.lock().expect("no panic");
    let unsure = writer.append(std::slice::from_ref(&late)).expect_err("nothing answers");
    assert!(unsure.is_unsure() && unsure.to_string().contains("did not answer"), "{unsure}");
    drop(writer);
    assert_eq!(register.find(late.id).expect("it answers"), None);
    drop(held);
    detour.road.join().expect("the server took it all");

    assert_eq!(register.read_from(Sequence(4)).expect("it reads"), [], "it came too late");
    let told = register.append(&late).expect_err("it was given up").to_string();
    assert!(told.contains("was given up before it came"), "{told}");
    assert_eq!(register.append(&joe()).expect("another"), Sequence(4));
    assert_eq!(register.find(late.id).expect("it answers"), None);
}
