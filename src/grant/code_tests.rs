use super::*;
use crate::entropy::OsEntropy;
use crate::grant::world::NOON;

fn code(new: &NewCode) -> Code {
    let (id, customer, owner, lasting) = (CodeId(9), CustomerId(1), OwnerId(2), Duration::from_secs(3600));
    let (key, salt, created, expires) = (new.key, new.salt.to_vec(), NOON, NOON.plus(CODE_LIFE));
    Code { id, customer, owner, scope: Scope::Read, lasting, created, expires, key, salt, misses: 0, used: None }
}

#[test]
fn only_its_digits_make_its_key() {
    let new = NewCode::make(&OsEntropy).expect("it is made");
    let digits = new.digits.expose().clone();
    assert!(digits.len() == 6 && digits.bytes().all(|b| b.is_ascii_digit()), "{digits}");
    let code = code(&new);
    let (first, last) = digits.split_at(3);
    assert!(code.key_of(&Secret::new(format!(" {first} {last}\n"))).is_some(), "spaces do not count");
    let wrong = if digits == "123456" { "654321" } else { "123456" };
    assert!(code.key_of(&Secret::new(wrong.to_owned())).is_none());
    assert!(code.key_of(&Secret::new(String::new())).is_none());
    let erased = Code { salt: Vec::new(), ..code };
    assert!(erased.key_of(&new.digits).is_none(), "without its salt it is nobody's any more");
}

/// What stretches the digits never changes while a code lives: two passes of Argon2id over 64 MiB, whose 32 bytes are the seed
/// of an Ed25519 key. Its public half was computed apart, with another implementation of both.
#[test]
fn a_guess_costs_what_it_always_cost() {
    let salt: Vec<u8> = (0..16).collect();
    let key = key_pair(&Secret::new("123456".to_owned()), &salt).expect("it is made");
    let hex: String = key.public_key().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, "56d33488cc263d2ac8b3946e115f37169f926cbe5a5a8a2f2c28afeb856cd156");
    assert_eq!(CODE_LIFE.as_secs(), 600, "ten minutes, as people are told");
}

#[test]
fn a_code_dies_by_use_by_time_and_by_wrong_guesses() {
    let new = NewCode { digits: Secret::new(String::new()), key: [1; 32], salt: [2; 16] };
    let live = code(&new);
    let last = Timestamp(live.expires.0 - 1);
    assert!(live.is_live(NOON) && live.is_live(last) && !live.is_live(live.expires));
    assert!(Code { misses: CODE_MISSES_MAX - 1, ..live.clone() }.is_live(NOON));
    assert!(!Code { misses: CODE_MISSES_MAX, ..live.clone() }.is_live(NOON));
    assert!(!Code { used: Some(GrantId(10)), ..live }.is_live(NOON));
}
