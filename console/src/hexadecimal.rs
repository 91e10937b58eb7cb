//! Bytes as text: upper-case hexadecimal, long ones shortened.

/// All bytes.
pub fn whole(bytes: &[u8]) -> String {
    hex::encode_upper(bytes)
}

/// All bytes if there are few, otherwise the first and the last ones.
pub fn short(bytes: &[u8]) -> String {
    match bytes {
        [first @ .., a, b, c, d] if bytes.len() > 24 => {
            let first = first.get(..16).unwrap_or(first);
            format!("{}…{} ({} bytes)", whole(first), whole(&[*a, *b, *c, *d]), bytes.len())
        }
        _ => whole(bytes),
    }
}

/// Bytes from digits that may have blanks between them. What is wrong is told without them: they may be a PIN.
pub fn parse(text: &str) -> Result<Vec<u8>, String> {
    let digits: String = text.chars().filter(|c| !c.is_whitespace() && *c != ':').collect();
    hex::decode(&digits).map_err(|error| format!("this is not hexadecimal ({error}); write two digits per byte"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_bytes_are_cut_in_the_middle() {
        assert_eq!(short(&[0xAB; 3]), "ABABAB");
        assert_eq!(short(&[0xAB; 40]), format!("{}…{} (40 bytes)", "AB".repeat(16), "AB".repeat(4)));
    }

    #[test]
    fn blanks_are_free() {
        assert_eq!(parse("31 32:33"), Ok(vec![0x31, 0x32, 0x33]));
        let odd = parse("31323").unwrap_err();
        assert!(odd.contains("two digits per byte") && !odd.contains("323"), "{odd}");
    }
}
