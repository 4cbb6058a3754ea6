//! Text that a terminal can show, from bytes that somebody else chose.

use std::fmt::Write;

/// Escapes what could deceive a reader or drive a terminal; everything else stays readable.
///
/// Control characters, bytes that are not UTF-8, and characters that reorder or hide their
/// neighbors become `\n`, `\x1b` or `\u{202e}`; a backslash is doubled, so that no two names look
/// alike.
pub fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for part in bytes.utf8_chunks() {
        for character in part.valid().chars() {
            escape_character(&mut text, character);
        }
        for byte in part.invalid() {
            push(&mut text, format_args!("\\x{byte:02x}"));
        }
    }
    text
}

/// Escapes as [`escape`] does, except for backslashes: for a message whose names may have been
/// escaped before.
pub fn printable(message: &str) -> String {
    let mut text = String::with_capacity(message.len());
    for character in message.chars() {
        match character {
            '\\' => text.push('\\'),
            other => escape_character(&mut text, other),
        }
    }
    text
}

/// Whether [`printable`] changes nothing; the end of a line is allowed.
pub fn is_printable(text: &str) -> bool {
    text.chars().all(|c| c == '\n' || !(c.is_control() || deceives(c)))
}

fn escape_character(text: &mut String, character: char) {
    match character {
        '\\' => text.push_str("\\\\"),
        '\n' => text.push_str("\\n"),
        '\r' => text.push_str("\\r"),
        '\t' => text.push_str("\\t"),
        c if c.is_ascii_control() => push(text, format_args!("\\x{:02x}", u32::from(c))),
        c if c.is_control() || deceives(c) => push(text, format_args!("\\u{{{:x}}}", u32::from(c))),
        c => text.push(c),
    }
}

/// Whether a character changes how its neighbors appear, or cannot be seen. The joiners U+200C and
/// U+200D are left alone: Persian, Indic scripts and emoji need them.
pub fn deceives(character: char) -> bool {
    matches!(
        character,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

fn push(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments).expect("writing to a String cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_drives_a_terminal_is_escaped() {
        assert_eq!(escape(b"a b/c.txt"), "a b/c.txt");
        assert_eq!(escape("Grüße 🌍".as_bytes()), "Grüße 🌍");
        assert_eq!(escape(b"\x1b[31mred\x07\n\t\r\x7f"), "\\x1b[31mred\\x07\\n\\t\\r\\x7f");
        assert_eq!(escape("\u{9b}31m".as_bytes()), "\\u{9b}31m");
        assert_eq!(escape("txt\u{202e}exe".as_bytes()), "txt\\u{202e}exe");
    }

    #[test]
    fn a_message_is_escaped_once() {
        let name = escape(b"a\\b\x1b");
        assert_eq!(printable(&name), name);
        assert_eq!(printable("x\n\u{202e}y\u{9b}"), "x\\n\\u{202e}y\\u{9b}");
        assert!(is_printable(&name) && is_printable("two\nlines"));
        assert!(!is_printable("\r") && !is_printable("\u{2066}") && !is_printable("\u{e0041}"));
    }

    #[test]
    fn different_bytes_look_different() {
        assert_eq!(escape(b"\xff\xc3"), "\\xff\\xc3");
        assert_eq!(escape(b"\\xff"), "\\\\xff");
        assert_eq!(escape(b"\n"), "\\n");
        assert_eq!(escape(b"\\n"), "\\\\n");
    }
}
