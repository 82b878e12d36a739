use super::*;

#[test]
fn a_range_holds_its_addresses_and_no_others() {
    let table = [
        ("192.0.2.0/24", "192.0.2.255", true),
        ("192.0.2.0/24", "192.0.3.0", false),
        ("192.0.2.0/24", "::ffff:192.0.2.9", true),
        ("192.0.2.0/24", "2001:db8::1", false),
        ("192.0.2.7", "192.0.2.7", true),
        ("192.0.2.7", "192.0.2.8", false),
        ("0.0.0.0/0", "203.0.113.1", true),
        ("0.0.0.0/0", "2001:db8::1", false),
        ("::/0", "2001:db8::1", true),
        ("2001:db8::/32", "2001:db8:ffff::1", true),
        ("2001:db8::/32", "2001:db9::1", false),
        ("2001:db8::1", "2001:db8::1", true),
    ];
    for (range, address, inside) in table {
        let range: Network = range.parse().expect("a range");
        assert_eq!(range.contains(address.parse().expect("an address")), inside, "{range} {address}");
        assert_eq!(range.to_string().parse(), Ok(range));
    }
}

#[test]
fn what_is_no_range_is_named() {
    for text in ["", "192.0.2", "192.0.2.0/33", "192.0.2.0/", "192.0.2.0/+8", "::/129", "office", "192.0.2.0/24/24"] {
        assert_eq!(text.parse::<Network>(), Err(NetworkFault::NotANetwork(text.to_owned())));
    }
    let within = "192.0.2.7/24".parse::<Network>().expect_err("host bits");
    assert_eq!(
        within.to_string(),
        "\"192.0.2.7/24\" lies within a range and does not name it: write 192.0.2.0/24, or 192.0.2.7 for that one address"
    );
}
