//! CBOR as people read it, by a reader of its own: none of the code under test is used.

/// The diagnostic notation (RFC 8949 section 8) of one value that fills `bytes`, which must be in
/// the deterministic encoding.
pub(crate) fn diagnostic(bytes: &[u8]) -> Option<String> {
    let mut reader = Reader { rest: bytes };
    let text = reader.value(0)?;
    reader.rest.is_empty().then_some(text)
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: u64) -> Option<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(usize::try_from(len).ok()?)?;
        self.rest = rest;
        Some(head)
    }

    /// Major type and argument, in the shortest form.
    fn head(&mut self) -> Option<(u8, u64)> {
        let first = self.take(1)?[0];
        let (len, least) = match first & 31 {
            small @ 0..24 => return Some((first >> 5, u64::from(small))),
            24 => (1, 24),
            25 => (2, 1 << 8),
            26 => (4, 1 << 16),
            27 => (8, 1 << 32),
            _ => return None,
        };
        let argument = self.take(len)?.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        (argument >= least).then_some((first >> 5, argument))
    }

    fn value(&mut self, depth: usize) -> Option<String> {
        if depth > 16 {
            return None;
        }
        let simple = self.rest.first().is_some_and(|byte| byte >> 5 == 7);
        let (major, argument) = self.head()?;
        Some(match major {
            0 => argument.to_string(),
            1 => (-1 - i128::from(argument)).to_string(),
            2 => format!("h'{}'", hex::encode(self.take(argument)?)),
            3 => format!("{:?}", std::str::from_utf8(self.take(argument)?).ok()?),
            4 => {
                let items: Option<Vec<_>> = (0..argument).map(|_| self.value(depth + 1)).collect();
                format!("[{}]", items?.join(", "))
            }
            5 => {
                let mut items = Vec::new();
                let mut previous = None;
                for _ in 0..argument {
                    let (0, key) = self.head()? else { return None };
                    if previous.is_some_and(|p| p >= key) {
                        return None;
                    }
                    previous = Some(key);
                    items.push(format!("{key}: {}", self.value(depth + 1)?));
                }
                format!("{{{}}}", items.join(", "))
            }
            7 if simple && argument == 20 => "false".to_owned(),
            7 if simple && argument == 21 => "true".to_owned(),
            _ => return None,
        })
    }
}
