use super::*;

#[test]
fn blocks_are_aligned_whole_and_zeroed() {
    let mut blocks = Blocks::new();
    assert_eq!(blocks.bytes(), &[] as &[u8]);
    for len in [1, BLOCK_BYTES, BLOCK_BYTES + 1, 3, 10 << 20, 5] {
        blocks.reset(len).fill(7);
        assert!(blocks.reset(len).iter().all(|byte| *byte == 0));
        assert_eq!(blocks.bytes().len(), len.next_multiple_of(BLOCK_BYTES));
        assert_eq!(blocks.bytes().as_ptr().addr() % BLOCK_BYTES, 0);
    }
    assert_eq!(&Blocks::of(&[1, 2]).bytes()[..3], &[1, 2, 0]);
}
