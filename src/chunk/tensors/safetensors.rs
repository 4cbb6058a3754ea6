//! The header of a safetensors file.
//!
//! Eight bytes with the length of a JSON object, that object, then the tensors. As the reference
//! demands it, they cover the rest of the file without a gap.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use super::{Doubt, HEADER_LEN_MAX, TENSOR_COUNT_MAX, TensorTable};

/// Length of the length in front of the JSON.
const PREFIX_LEN: usize = 8;
/// The one key that names no tensor.
const METADATA: &str = "__metadata__";

pub(super) fn parse(head: &[u8], size: u64) -> Result<TensorTable, Doubt> {
    let Some((prefix, [first, ..])) = head.split_first_chunk::<PREFIX_LEN>() else {
        return Err(Doubt::Short(PREFIX_LEN + 1));
    };
    let len = usize::try_from(u64::from_le_bytes(*prefix)).map_err(|_| Doubt::Unknown)?;
    let data = len.checked_add(PREFIX_LEN).filter(|data| *data <= HEADER_LEN_MAX);
    let data = data.filter(|_| *first == b'{').ok_or(Doubt::Unknown)?;
    let rest = size.checked_sub(data as u64).ok_or(Doubt::Unknown)?;

    let json = head.get(PREFIX_LEN..data).ok_or(Doubt::Short(data))?;
    let json = std::str::from_utf8(json).map_err(|_| Doubt::Unknown)?;
    let Ranges(mut ranges) = serde_json::from_str(json).map_err(|_| Doubt::Unknown)?;
    ranges.sort_unstable();
    let mut covered = 0;
    for (start, end) in &ranges {
        if *start != covered || end < start {
            return Err(Doubt::Unknown);
        }
        covered = *end;
    }
    if covered != rest {
        return Err(Doubt::Unknown);
    }
    let starts = ranges.into_iter().map(|(start, _)| data as u64 + start).collect();
    TensorTable::new(starts, size).ok_or(Doubt::Unknown)
}

/// Start and end of every tensor, counted from the end of the header, in the order of the JSON.
struct Ranges(Vec<(u64, u64)>);

/// One value of the object.
struct Tensor((u64, u64));

/// What is said of a tensor. Only where it lies decides where chunks end.
#[derive(serde::Deserialize)]
#[serde(rename_all = "snake_case")]
enum Field {
    Dtype,
    Shape,
    DataOffsets,
}

/// A key of the object.
struct Name {
    is_metadata: bool,
}

struct RangesVisitor;
struct TensorVisitor;
struct NameVisitor;

impl<'de> Deserialize<'de> for Ranges {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(RangesVisitor)
    }
}

impl<'de> Deserialize<'de> for Tensor {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(TensorVisitor)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_str(NameVisitor)
    }
}

impl<'de> Visitor<'de> for RangesVisitor {
    type Value = Ranges;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ranges, A::Error> {
        let mut ranges = Vec::new();
        while let Some(Name { is_metadata }) = map.next_key()? {
            if is_metadata {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let Tensor(range) = map.next_value()?;
            if ranges.len() == TENSOR_COUNT_MAX {
                return Err(A::Error::custom("too many tensors"));
            }
            ranges.push(range);
        }
        Ok(Ranges(ranges))
    }
}

impl<'de> Visitor<'de> for TensorVisitor {
    type Value = Tensor;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a tensor")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tensor, A::Error> {
        let (mut dtype, mut shape, mut range) = (None, None, None);
        while let Some(field) = map.next_key()? {
            let is_again = match field {
                Field::Dtype => dtype.replace(map.next_value::<IgnoredAny>()?).is_some(),
                Field::Shape => shape.replace(map.next_value::<IgnoredAny>()?).is_some(),
                Field::DataOffsets => range.replace(map.next_value()?).is_some(),
            };
            if is_again {
                return Err(A::Error::custom("a field stands twice"));
            }
        }
        match (dtype, shape, range) {
            (Some(_), Some(_), Some(range)) => Ok(Tensor(range)),
            _ => Err(A::Error::custom("a field is missing")),
        }
    }
}

impl Visitor<'_> for NameVisitor {
    type Value = Name;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Name, E> {
        Ok(Name { is_metadata: name == METADATA })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(json: &str) -> Vec<u8> {
        [&(json.len() as u64).to_le_bytes(), json.as_bytes()].concat()
    }

    /// The starts, from the end of the header, in a file with `rest` bytes behind it.
    fn starts(json: &str, rest: u64) -> Option<Vec<u64>> {
        let head = head(json);
        let data = head.len() as u64;
        let table = parse(&head, data + rest).ok()?;
        assert_eq!(table.size(), data + rest);
        Some(table.starts().iter().map(|start| start - data).collect())
    }

    /// One tensor.
    fn tensor(name: &str, start: u64, end: u64) -> String {
        format!(r#""{name}":{{"dtype":"F32","shape":[1],"data_offsets":[{start},{end}]}}"#)
    }

    #[test]
    fn tensors_are_found_in_any_order() {
        let (a, b, none) = (tensor("a", 4, 10), tensor("b", 0, 4), tensor("c", 4, 4));
        assert_eq!(starts(&format!("{{{a},{b}}}"), 10), Some(vec![0, 4]));
        assert_eq!(starts(&format!("{{{a},{none},{b}}}   "), 10), Some(vec![0, 4]));
        let metadata = r#""__metadata__":{"format":"pt","x":"\u00e4"}"#;
        assert_eq!(starts(&format!("{{{metadata},{b}}}"), 4), Some(vec![0]));
        let spaced = r#"{ "\u0061\"\\" : {"shape":[], "data_offsets":[0, 7],"dtype":"NEW" } }"#;
        assert_eq!(starts(spaced, 7), Some(vec![0]));
    }

    #[test]
    fn every_doubt_makes_it_general_data() {
        let one = |start, end| format!("{{{}}}", tensor("a", start, end));
        let two = |(a, b), (c, d)| format!("{{{},{}}}", tensor("a", a, b), tensor("b", c, d));
        assert!(starts(&one(0, 4), 4).is_some());
        for (json, rest) in [
            // Not what the file holds.
            (one(0, 4), 5),
            (one(0, 4), 3),
            (one(0, 4), 0),
            (one(1, 4), 4),
            (one(4, 0), 4),
            (one(0, u64::MAX), 4),
            (two((0, 4), (5, 9)), 9),
            (two((0, 4), (3, 9)), 9),
            (two((0, 4), (0, 4)), 4),
            (one(0, 0), 0),
            ("{}".into(), 0),
            ("{}".into(), 10),
            (r#"{"__metadata__":{}}"#.into(), 0),
            // Not the fields.
            (one(0, 4).replace("dtype", "type"), 4),
            (one(0, 4).replace(r#""dtype":"F32","#, ""), 4),
            (one(0, 4).replace(r#""shape":[1],"#, ""), 4),
            (one(0, 4).replace(r#","data_offsets":[0,4]"#, ""), 4),
            (one(0, 4).replace(r#""shape":[1]"#, r#""shape":[1],"shape":[1]"#), 4),
            (one(0, 4).replace(r#""shape":[1]"#, r#""shape":[1],"more":1"#), 4),
            (r#"{"a":["F32",[1],[0,4]]}"#.into(), 4),
            (r#"{"a":null}"#.into(), 4),
            // Not numbers.
            (one(0, 4).replace("[0,4]", "[0,4.0]"), 4),
            (one(0, 4).replace("[0,4]", "[-0,4]"), 4),
            (one(0, 4).replace("[0,4]", "[0,4,4]"), 4),
            (one(0, 4).replace("[0,4]", "[0]"), 4),
            (one(0, 4).replace("[0,4]", "[0,\"4\"]"), 4),
            (one(0, 4).replace("[0,4]", "[0,18446744073709551620]"), 4),
            // Not an object.
            (one(0, 4) + "x", 4),
            (one(0, 4) + "{}", 4),
            (one(0, 4).replace('}', ""), 4),
            (format!("[{}]", one(0, 4)), 4),
            (format!(" {}", one(0, 4)), 4),
            (format!("{{{}", "[".repeat(100_000)), 4),
            (format!("{{\"a\":{}", "[".repeat(100_000)), 4),
            (format!("{{\"__metadata__\":{}", "[".repeat(100_000)), 4),
        ] {
            assert_eq!(starts(&json, rest), None, "{} {rest}", &json[..json.len().min(100)]);
        }
        let mut bytes = head(&one(0, 4));
        let size = bytes.len() as u64 + 4;
        assert!(parse(&bytes, size).is_ok());
        bytes[10] = 0xff;
        assert_eq!(parse(&bytes, size), Err(Doubt::Unknown));
    }

    #[test]
    fn a_short_head_says_how_much_is_needed() {
        let bytes = head(&format!("{{{}}}", tensor("a", 0, 4)));
        let size = bytes.len() as u64 + 4;
        for len in 0..bytes.len() {
            let needed = if len < 9 { 9 } else { bytes.len() };
            assert_eq!(parse(&bytes[..len], size), Err(Doubt::Short(needed)), "{len}");
        }
        let table = parse(&bytes, size);
        assert!(table.is_ok());
        assert_eq!(parse(&[&bytes[..], b"data"].concat(), size), table);
    }

    #[test]
    fn a_length_beyond_the_limit_asks_for_nothing() {
        let head = |len: u64| [&len.to_le_bytes()[..], b"{"].concat();
        let longest = (HEADER_LEN_MAX - PREFIX_LEN) as u64;
        assert_eq!(parse(&head(longest), u64::MAX), Err(Doubt::Short(HEADER_LEN_MAX)));
        for len in [longest + 1, u64::MAX, u64::MAX - 8] {
            assert_eq!(parse(&head(len), u64::MAX), Err(Doubt::Unknown), "{len}");
        }
        assert_eq!(parse(&head(100), 100), Err(Doubt::Unknown));
    }

    #[test]
    fn more_tensors_than_the_limit_are_general_data() {
        let json = |count: u64| {
            let tensors: Vec<_> = (0..count).map(|n| tensor("", n, n + 1)).collect();
            format!("{{{}}}", tensors.join(","))
        };
        let most = TENSOR_COUNT_MAX as u64;
        assert_eq!(starts(&json(most), most).map(|starts| starts.len()), Some(TENSOR_COUNT_MAX));
        assert_eq!(starts(&json(most + 1), most + 1), None);
    }
}
