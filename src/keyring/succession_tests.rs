use std::fs;

use super::*;
use crate::disk::RealDisk;
use crate::entropy::OsEntropy;
use crate::keyring::init::{read_public_key, read_seed};

struct World {
    dir: tempfile::TempDir,
}

impl World {
    fn new() -> World {
        let world = World { dir: tempfile::tempdir().expect("a directory") };
        write_new(&RealDisk, &world.secret(), &[1; 32], 0o400).expect("written");
        let first = verifier_key("portreeve/portal", &world.public());
        publish(&RealDisk, &log_key(&world.keyring(), "portal"), &first).expect("pinned");
        world
    }

    fn secret(&self) -> PathBuf {
        self.dir.path().join("secrets/portal")
    }

    fn keyring(&self) -> PathBuf {
        self.dir.path().join("keyring.pub")
    }

    /// Of the key that is in its place.
    fn public(&self) -> [u8; 32] {
        SigningKey::from_seed(&read_seed(&self.secret()).expect("a key")).public()
    }

    fn prepare(&self) -> Option<Next> {
        prepare(&RealDisk, &self.keyring(), "portal", &self.secret(), &OsEntropy).expect("prepared")
    }
}

#[test]
fn the_next_key_is_pinned_before_it_is_in_its_place_and_cut_off_it_is_taken_up() {
    let world = World::new();
    let old = world.public();
    let next = world.prepare().expect("a key");
    assert_eq!(next.name, "portal.2");
    assert_eq!(world.public(), old, "the old one still signs");
    let pinned = read_public_key(&log_key(&world.keyring(), "portal.2")).expect("pinned");
    assert_eq!(pinned, next.signing.public());
    let again = world.prepare().expect("a key");
    assert_eq!((again.name.as_str(), again.signing.public()), ("portal.2", pinned), "the same one");
    // Cut off before it was pinned: the key that was made is pinned now.
    fs::remove_file(log_key(&world.keyring(), "portal.2")).expect("removed");
    assert_eq!(world.prepare().expect("a key").signing.public(), pinned);

    adopt(&RealDisk, &world.secret()).expect("in its place");
    assert_eq!(world.public(), pinned);
    let third = world.prepare().expect("a key");
    assert_eq!(third.name, "portal.3");
    assert_ne!(third.signing.public(), pinned);
}

#[test]
fn what_is_left_of_a_key_that_is_in_its_place_is_removed() {
    let world = World::new();
    fs::copy(world.secret(), world.secret().with_added_extension("next")).expect("copied");
    assert!(world.prepare().is_none());
    assert!(!world.secret().with_added_extension("next").exists());
    assert!(world.prepare().is_some());
}
