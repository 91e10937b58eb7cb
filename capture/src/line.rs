//! Foreign words in a recording.

/// `words` as one line without anything that a terminal would obey: what a recording of others says must neither begin a line
/// of a script nor change how a screen looks.
pub fn one_line(words: &str) -> String {
    let blanked = |character: char| if printable::steers(character) { ' ' } else { character };
    words.chars().map(blanked).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_is_left() {
        assert_eq!(
            one_line(" gone\n> 0020000108\u{1B}[2J\r\u{85}x\u{2028}> 00\u{202E} "),
            "gone > 0020000108 [2J  x > 00"
        );
        assert_eq!(one_line("a\u{61C}b\u{200B}c\u{E0041}d\u{AD}e"), "a b c d e");
    }
}
