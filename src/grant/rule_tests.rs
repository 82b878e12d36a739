use super::*;

#[test]
fn a_duration_is_said_in_the_largest_unit_that_fits() {
    let table = [
        (0, "0 s"),
        (1, "1 s"),
        (59, "59 s"),
        (60, "1 min"),
        (90, "90 s"),
        (120, "2 min"),
        (3600, "1 h"),
        (3601, "3601 s"),
        (3660, "61 min"),
        (5400, "90 min"),
        (7200, "2 h"),
        (604_800, "168 h"),
    ];
    for (seconds, said) in table {
        assert_eq!(told(Duration::from_secs(seconds)), said);
    }
}
