//! Foreign words in a recording.

/// `words` as one line without anything that a terminal would obey: what a recording of others says must neither begin a line
/// of a script nor change how a screen looks.
pub fn one_line(words: &str) -> String {
    let blanked = |character: char| {
        let is_layout = matches!(character, '\u{2028}' | '\u{2029}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}');
        if character.is_control() || is_layout { ' ' } else { character }
    };
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
    }
}
