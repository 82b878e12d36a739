use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};

use super::*;

fn mac(key: [u8; 32], message: &[u8]) -> [u8; 32] {
    let mut code = [0; 32];
    MacKey::new(&Secret::new(key)).mac(message, &mut code);
    code
}

#[test]
fn a_message_of_every_length_has_the_code_that_aws_lc_gives_it() {
    let message: Vec<u8> = (0..=260_u32).map(|byte| (byte * 7 % 251) as u8).collect();
    for length in 0..message.len() {
        let message = message.get(..length).expect("within it");
        let key = std::array::from_fn(|at| (at * 11 + length) as u8);
        let theirs = sign(&Key::new(HMAC_SHA256, &key), message);
        assert_eq!(mac(key, message), theirs.as_ref(), "{length} bytes");
    }
}

#[test]
fn one_key_gives_the_same_codes_again_and_again() {
    let key = MacKey::new(&Secret::new([3; 32]));
    for message in [b"one".as_slice(), b"two", b"one"] {
        let mut code = [0; 32];
        key.mac(message, &mut code);
        assert_eq!(code, mac([3; 32], message));
    }
    assert!(!format!("{key:?}").contains(char::is_numeric), "it says nothing of itself");
}
