//! Words that every message needs.

use core::fmt::Display;

/// A number and what is counted, as English has it: `1 step`, `2 steps`, `0 tries`.
pub fn counted<N: Display + PartialEq + From<u8> + Copy>(count: N, noun: &str) -> String {
    match (count == N::from(1), noun.strip_suffix('y')) {
        (true, _) => format!("{count} {noun}"),
        (false, Some(stem)) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{count} {stem}ies"),
        (false, _) => format!("{count} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular() {
        assert_eq!(counted(1, "step"), "1 step");
        assert_eq!(counted(0_u64, "step"), "0 steps");
        assert_eq!(
            (counted(1_u8, "try"), counted(3_u8, "try"), counted(2_u32, "key")),
            ("1 try".into(), "3 tries".into(), "2 keys".into())
        );
    }
}
