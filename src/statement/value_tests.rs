use proptest::prelude::*;

use super::*;

fn unhex(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> = digits.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).expect("ascii"), 16).expect("hexadecimal"))
        .collect()
}

#[test]
fn text_is_shown_as_sent() {
    for (oid, text) in [(23, "42"), (1700, "1.50"), (25, "ä"), (0, "anything"), (1007, "{1,2}"), (17, "\\x01")] {
        assert_eq!(display(oid, 0, text.as_bytes()), text);
    }
    assert_eq!(display(25, 0, &[0xff, 0x41]), "\\xff41 (type 25)");
}

/// What `SELECT` prints for what `*_send` gives (PostgreSQL 15.18: `select encode(numeric_send(-1.5), 'hex')`, …).
#[test]
fn binary_is_shown_as_postgresql_prints_it() {
    let cases: &[(u32, &str, &str)] = &[
        (16, "00", "false"),
        (16, "01", "true"),
        (17, "00ff", "\\x00ff"),
        (20, "fffffffffffffffe", "-2"),
        (21, "7fff", "32767"),
        (23, "80000000", "-2147483648"),
        (25, "c3a4", "ä"),
        (26, "ffffffff", "4294967295"),
        (700, "3fc00000", "1.5"),
        (700, "49742400", "1e+06"),
        (701, "3ff8000000000000", "1.5"),
        (701, "7ff8000000000000", "NaN"),
        (701, "fff0000000000000", "-Infinity"),
        (701, "430c6bf526340000", "1e+15"),
        (701, "3ee4f8b588e368f1", "1e-05"),
        (701, "8000000000000000", "-0"),
        (1700, "0002 0000 4000 0001 0001 1388", "-1.5"),
        (1700, "0000 0000 0000 0000", "0"),
        (1700, "0000 0000 0000 0002", "0.00"),
        (1700, "0002 0001 0000 0000 0001 0002", "10002"),
        (1700, "0001 0001 0000 0000 0001", "10000"),
        (1700, "0001 fffe 0000 0008 0001", "0.00000001"),
        (1700, "0000 0000 c000 0000", "NaN"),
        (1700, "0000 0000 f000 0000", "-Infinity"),
        (1082, "00000000", "2000-01-01"),
        (1082, "7fffffff", "infinity"),
        (1082, "fff4dbf9", "0001-01-01"),
        (1082, "fff4dbf8", "0001-12-31 BC"),
        (1083, "000000141dd76000", "24:00:00"),
        (1083, "0000000000000001", "00:00:00.000001"),
        (1266, "0000000000000000 fffff1f0", "00:00:00+01"),
        (1266, "0000000000000000 00003138", "00:00:00-03:30"),
        (1114, "ffffffffffffffff", "1999-12-31 23:59:59.999999"),
        (1184, "0000000000000000", "2000-01-01 00:00:00+00"),
        (1184, "7fffffffffffffff", "infinity"),
        (1184, "8000000000000000", "-infinity"),
        (2950, "a0eebc999c0b4ef8bb6d6bb9bd380a11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        (3802, "01 7b7d", "{}"),
        (114, "7b7d", "{}"),
        (1007, "00000000 00000000 00000017", "{}"),
        (1007, "00000001 00000001 00000017 00000002 00000001 00000004 00000001 ffffffff", "{1,NULL}"),
        (1007, "00000001 00000000 00000017 00000001 00000003 00000004 00000007", "[3:3]={7}"),
        (
            1009,
            "00000001 00000000 00000019 00000003 00000001 00000000 00000002 612c 00000004 6e756c6c",
            "{\"\",\"a,\",\"null\"}",
        ),
        (
            1005,
            "00000002 00000000 00000015 00000002 00000001 00000002 00000001 \
             00000002 0001 00000002 0002 00000002 0003 00000002 0004",
            "{{1,2},{3,4}}",
        ),
    ];
    for (oid, hex, shown) in cases {
        assert_eq!(display(*oid, 1, &unhex(hex)), *shown, "type {oid}, {hex}");
    }
}

#[test]
fn what_is_not_understood_is_shown_in_hexadecimal_with_its_type() {
    let cases: &[(u32, u16, &str)] = &[
        (0, 1, "0102"),
        (600, 1, "0102"),
        (23, 1, "0102"),
        (23, 2, "00000001"),
        (16, 1, "02"),
        (25, 1, "ff"),
        (1083, 1, "7fffffffffffffff"),
        (3802, 1, "027b7d"),
        (1700, 1, "0001 0000 0000 0000 2710"),
        (1700, 1, "0000 7fff 0000 3fff"),
        (1007, 1, "00000001 00000000 00000019 00000001 00000001 00000004 00000001"),
        (1007, 1, "00000001 00000000 00000017 7fffffff 00000001"),
        (1007, 1, "00000007 00000000 00000017"),
        (1007, 1, "00000000 00000000 00000017 00"),
    ];
    for (oid, format, hex) in cases {
        let value = unhex(hex);
        let plain: String = hex.split_whitespace().collect();
        assert_eq!(display(*oid, *format, &value), format!("\\x{plain} (type {oid})"));
    }
}

fn any_known_oid() -> impl Strategy<Value = u32> {
    let scalars =
        [0, 16, 17, 18, 20, 21, 23, 25, 26, 114, 700, 701, 1043, 1082, 1083, 1114, 1184, 1266, 1700, 2950, 3802];
    proptest::sample::select(scalars.into_iter().chain(ARRAYS.map(|(array, _)| array)).collect::<Vec<_>>())
}

proptest! {
    #[test]
    fn any_bytes_are_shown(
        oid in any_known_oid(),
        format in 0_u16..3,
        value in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        prop_assert!(display(oid, format, &value).len() <= 128 * 1024);
    }

    #[test]
    fn any_array_like_bytes_are_shown(
        (array, element) in proptest::sample::select(ARRAYS.to_vec()),
        lengths in proptest::collection::vec(0_i32..4, 0..8),
        elements in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut value = i32::try_from(lengths.len()).expect("few").to_be_bytes().to_vec();
        value.extend([0, 0, 0, 0]);
        value.extend(element.to_be_bytes());
        for length in lengths {
            value.extend(length.to_be_bytes());
            value.extend(1_i32.to_be_bytes());
        }
        value.extend(elements);
        prop_assert!(display(array, 1, &value).len() <= 128 * 1024);
    }

    #[test]
    fn every_integer_and_float_reads_back(number in any::<i64>(), bits in any::<u64>()) {
        prop_assert_eq!(display(20, 1, &number.to_be_bytes()).parse(), Ok(number));
        let float = f64::from_bits(bits);
        if !float.is_nan() {
            let shown = display(701, 1, &bits.to_be_bytes()).replace("Infinity", "inf");
            prop_assert_eq!(shown.parse(), Ok(float));
        }
    }

    #[test]
    fn every_moment_reads_back(micros in -211_813_488_000_000_000_i64..9_223_371_331_200_000_000) {
        let shown = display(1114, 1, &micros.to_be_bytes());
        prop_assert!(!shown.contains("type"), "{}", shown);
    }
}
