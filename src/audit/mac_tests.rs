use aws_lc_rs::hmac;
use proptest::prelude::*;

use super::*;

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("two digits");
    (0..hex.len()).step_by(2).map(digit).collect()
}

/// RFC 4231, cases 1, 2 and 6.
#[test]
fn macs_are_those_of_the_standard() {
    let cases: [(&[u8], &str, &str); 3] = [
        (&[0x0b; 20], "Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
        (b"Jefe", "what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
        (
            &[0xaa; 131],
            "Test Using Larger Than Block-Size Key - Hash Key First",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        ),
    ];
    for (key, message, mac) in cases {
        assert_eq!(MacKey::new(key).mac(&[message.as_bytes()]).to_vec(), bytes(mac), "{message}");
    }
}

/// RFC 5869, A.1.
#[test]
fn what_is_expanded_is_that_of_the_standard() {
    let prk = bytes("077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5");
    let info: Vec<u8> = (0xf0..=0xf9).collect();
    let okm = bytes("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
    assert_eq!(MacKey::new(&prk).expand::<42>(&[&info]).to_vec(), okm);
    assert_eq!(MacKey::new(&prk).expand::<42>(&[&info[..3], &info[3..]]).to_vec(), okm);
}

proptest! {
    #[test]
    fn another_implementation_gives_the_same(key: Vec<u8>, parts: Vec<Vec<u8>>) {
        let theirs = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), &parts.concat());
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        let ours = MacKey::new(&key).mac(&parts);
        prop_assert_eq!(ours.as_slice(), theirs.as_ref());
    }
}
