//! Words for numbers of things.

/// A number of things, by their name for one and for any other number.
pub(crate) fn counted(number: impl Into<u64>, one: &str, many: &str) -> String {
    match number.into() {
        1 => format!("1 {one}"),
        number => format!("{number} {many}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_no_plural() {
        assert_eq!(counted(1_u8, "try", "tries"), "1 try");
        assert_eq!(counted(0_u8, "try", "tries"), "0 tries");
    }
}
