//! Another store stands where a back-end's store was: it says nothing of the snapshots that are in the first.

use std::fs;

use crate::ground::{DAY, Ground};

#[tokio::test(flavor = "multi_thread")]
async fn two_stores_swapped_confirm_no_absence() {
    let mut ground = Ground::new("snapshot_every = \"1d\"").await;
    ground.turn().await;
    assert_eq!(ground.listed().len(), 1);
    let (store, first, note) =
        (ground.store(), ground.dir.path().join("first"), ground.dir.path().join("retention/nightly.store"));
    let noted = fs::read(&note).expect("its mark is noted");

    // the daemon is down; a store of another time is mounted, and what is in the first is due
    fs::rename(&store, &first).expect("moved");
    let now = ground.now().0;
    ground.go_to(now + 13 * DAY);
    for is_noted in [true, false] {
        match is_noted {
            true => {
                fs::create_dir(&store).expect("a directory");
                fs::write(store.join("store"), "portreeve snapshot store 00\n").expect("another mark");
            }
            false => fs::remove_file(&note).expect("the note is lost, too"),
        }
        let turn = ground.turn().await;
        assert!(turn.expired.gone.is_empty() && !turn.is_well(), "{turn:?}");
        let all = ground.keeping().expire_all(&turn.plan).await.expect("two people apply what there is");
        assert!(all.gone.is_empty(), "{all:?}");
        assert_eq!(note.exists(), is_noted, "a store that is not known is not noted");
        let names = fs::read_dir(&store).expect("listed").map(|name| name.expect("a name").file_name());
        assert_eq!(names.collect::<Vec<_>>(), ["store"], "nothing is put there");
    }
    // a note that cannot be read is no note of this store
    fs::create_dir(&note).expect("a directory of its name");
    assert!(ground.shelf().open().is_err(), "not the store");
    fs::remove_dir(&note).expect("removed");

    fs::remove_dir_all(&store).expect("removed");
    fs::rename(&first, &store).expect("back");
    ground.turn().await;
    assert_eq!(fs::read(&note).expect("noted again, by what is in it"), noted);
    ground.nothing_is_too_old(14);
    ground.register_and_store_agree().await;
}
