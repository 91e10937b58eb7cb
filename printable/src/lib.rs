//! Characters of a text from outside that reach no terminal, no line of a log and no page as they are.
//!
//! ```
//! assert!(printable::steers('\u{202E}'));
//! assert_eq!(printable::escaped("watch\u{1B}[2J"), "watch\\u{1b}[2J");
//! ```

use std::borrow::Cow;

/// Whether a character steers the terminal, or the way a line is laid out, or is there without being seen: it moves the
/// cursor, hides what stands before it, ends the line, turns the direction of writing, or makes two names look alike.
/// Controls of both sets, of bidirectional text, line and paragraph separators, annotations and tags, and what Unicode says
/// is ignored by default. What writings need stays though it is not seen: joiners and variation selectors.
pub const fn steers(character: char) -> bool {
    matches!(character, '\0'..='\u{1F}' | '\u{7F}'..='\u{9F}')
        || matches!(character, '\u{61C}' | '\u{200B}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}')
        || matches!(character, '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF0}'..='\u{FFFB}')
        || matches!(character, '\u{AD}' | '\u{34F}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}' | '\u{180E}')
        || matches!(character, '\u{3164}' | '\u{FFA0}' | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}')
        || matches!(character, '\u{E0000}'..='\u{E00FF}' | '\u{E01F0}'..='\u{E0FFF}')
}

/// The text with such characters as escapes; its lines and tabs stay.
pub fn escaped(text: &str) -> Cow<'_, str> {
    let is_one = |character: char| steers(character) && !matches!(character, '\n' | '\t');
    if !text.contains(is_one) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_one(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Unicode 16, property Default_Ignorable_Code_Point, but for joiners and variation selectors; and the rest.
    #[test]
    fn what_is_not_seen() {
        for range in [
            '\0'..='\u{1F}',
            '\u{7F}'..='\u{9F}',
            '\u{AD}'..='\u{AD}',
            '\u{34F}'..='\u{34F}',
            '\u{61C}'..='\u{61C}',
            '\u{115F}'..='\u{1160}',
            '\u{17B4}'..='\u{17B5}',
            '\u{180E}'..='\u{180E}',
            '\u{200B}'..='\u{200B}',
            '\u{200E}'..='\u{200F}',
            '\u{2028}'..='\u{202E}',
            '\u{2060}'..='\u{206F}',
            '\u{3164}'..='\u{3164}',
            '\u{FEFF}'..='\u{FEFF}',
            '\u{FFA0}'..='\u{FFA0}',
            '\u{FFF9}'..='\u{FFFB}',
            '\u{E0000}'..='\u{E007F}',
        ] {
            assert!(range.clone().all(steers), "{range:?}");
        }
        for text in
            ["A\u{301} 日本語\u{3000}ｶﾅ", "👩\u{200D}👧 ❤\u{FE0F}", "می\u{200C}خواهم", "a\u{A0}b", "葛\u{E0100}"]
        {
            assert_eq!(escaped(text), text);
        }
        assert_eq!(escaped("a\u{202E}b\u{AD}c\u{FEFF}\r\nd\te"), "a\\u{202e}b\\u{ad}c\\u{feff}\\r\nd\te");
    }
}
