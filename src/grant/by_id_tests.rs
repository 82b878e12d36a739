use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

type Map = ById<u64, String>;

/// Ids as they come: close together, far apart, and around the edges of nodes.
fn id() -> impl Strategy<Value = u64> {
    prop_oneof![0..200_u64, 4_090..4_100_u64, (1_u64 << 45)..(1 << 45) + 3, Just(u64::MAX), any::<u64>()]
}

#[derive(Clone, Debug)]
enum Step {
    Insert(u64, String),
    Append(u64),
    Remove(u64),
    Begin(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (id(), "[a-z]{1,3}").prop_map(|(id, text)| Step::Insert(id, text)),
        2 => id().prop_map(Step::Append),
        1 => id().prop_map(Step::Remove),
        1 => id().prop_map(Step::Begin),
    ]
}

fn take(map: &mut Map, step: &Step) {
    match step {
        Step::Insert(id, text) => map.insert(*id, text.clone()),
        Step::Append(id) => {
            if let Some(text) = map.get_mut(*id) {
                text.push('!');
            }
        }
        Step::Remove(id) => map.remove(*id),
        Step::Begin(id) => map.entry(*id).push('?'),
    }
}

fn take_plainly(map: &mut BTreeMap<u64, String>, step: &Step) {
    match step {
        Step::Insert(id, text) => drop(map.insert(*id, text.clone())),
        Step::Append(id) => {
            if let Some(text) = map.get_mut(id) {
                text.push('!');
            }
        }
        Step::Remove(id) => drop(map.remove(id)),
        Step::Begin(id) => map.entry(*id).or_default().push('?'),
    }
}

fn all(map: &Map) -> Vec<(u64, String)> {
    map.iter().map(|(id, text)| (id, text.clone())).collect()
}

proptest! {
    #[test]
    fn it_is_an_ordered_map_and_its_clones_stay_as_they_were(
        before in prop::collection::vec(step(), 0..60),
        after in prop::collection::vec(step(), 0..60),
        asked in prop::collection::vec(id(), 20),
    ) {
        let (mut map, mut plain) = (Map::default(), BTreeMap::new());
        for step in &before {
            take(&mut map, step);
            take_plainly(&mut plain, step);
        }
        let (earlier, then) = (map.clone(), all(&map));
        for step in &after {
            take(&mut map, step);
            take_plainly(&mut plain, step);
        }
        prop_assert_eq!(all(&map), plain.clone().into_iter().collect::<Vec<_>>());
        prop_assert_eq!(map.values().collect::<Vec<_>>(), plain.values().collect::<Vec<_>>());
        for id in asked.iter().chain(plain.keys()) {
            prop_assert_eq!(map.get(*id), plain.get(id));
        }
        prop_assert_eq!(all(&earlier), then);
    }
}

#[test]
fn a_clone_shares_every_entry_that_did_not_change() {
    let mut map = Map::default();
    (1..1000).for_each(|id| map.insert(id, id.to_string()));
    let earlier = map.clone();
    map.get_mut(500).expect("it is there").push('!');
    let is_shared = |id| Arc::ptr_eq(map.shared(id).expect("there"), earlier.shared(id).expect("there"));
    assert_eq!((1..1000).filter(|id| !is_shared(*id)).collect::<Vec<_>>(), [500]);
    assert_eq!((map.get(500).map(String::as_str), earlier.get(500).map(String::as_str)), (Some("500!"), Some("500")));
}

#[test]
fn what_nobody_else_has_is_changed_where_it_is() {
    let mut map = Map::default();
    map.insert(7, "seven".to_owned());
    let before = Arc::as_ptr(map.shared(7).expect("it is there"));
    map.get_mut(7).expect("it is there").push('!');
    assert_eq!(Arc::as_ptr(map.shared(7).expect("it is there")), before);
}

#[test]
fn it_is_as_shallow_as_its_ids_allow() {
    for (id, height) in [(0, 0), (63, 0), (64, 1), (4_095, 1), (4_096, 2), (262_144, 3), (u64::MAX, 10)] {
        let mut map = Map::default();
        map.insert(id, String::new());
        assert_eq!(map.height, height, "{id}");
    }
}

#[test]
fn it_is_shown_as_a_map() {
    let mut map = Map::default();
    map.insert(9, "nine".to_owned());
    map.insert(2, "two".to_owned());
    assert_eq!(format!("{map:?}"), r#"{2: "two", 9: "nine"}"#);
}
