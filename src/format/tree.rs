//! Tree nodes: the sorted names of one directory, in pages.

use minicbor::Decode;
use minicbor::decode::Decoder;
use minicbor::encode::{Encoder, Write};
use minicbor::{Encode, decode};

use super::entry::{Entry, validate_name};
use super::list::{LEVEL_MAX, expect_array, expect_at_most};
use super::{DecodeError, wire};
use crate::base::ChunkId;

/// First element of a node, which tells it from a page of a chunk list.
pub const NODE_TAG: u8 = 1;
/// Shortest node, except the last of its level.
pub const NODE_COUNT_MIN: usize = 256;
/// Longest node.
pub const NODE_COUNT_MAX: usize = 4096;
/// A node also ends once its elements take this many bytes.
pub const NODE_LEN_TARGET: usize = 1 << 20;
/// Longest encoded node in bytes: the target and one longest entry.
pub const NODE_LEN_MAX: usize = 8 << 20;
/// Bits of the name hash that each level looks at; a node ends where they are all clear.
pub const NODE_HASH_BITS: u32 = 10;

/// A child of a node above level 0.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Child {
    /// First name below the child.
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    pub first: Vec<u8>,
    /// The child.
    #[n(1)]
    pub id: ChunkId,
    /// Entries below, in this and all deeper directories.
    #[n(2)]
    pub entry_count: u64,
    /// Sizes of all files below, added up.
    #[n(3)]
    pub content_bytes: u64,
}

/// One node of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// Level 0: entries.
    Leaf(Vec<Entry>),
    /// Level k: nodes of level k-1.
    Branch(u8, Vec<Child>),
}

impl Node {
    /// Reads and validates a node of the level its parent promised.
    ///
    /// # Errors
    /// Says what is wrong; names out of order or repeated are [`DecodeError::Inconsistent`].
    pub fn decode(bytes: &[u8], level: u8) -> Result<Self, DecodeError> {
        let node: Self = wire::decode(bytes, NODE_LEN_MAX)?;
        let found = match &node {
            Self::Leaf(entries) => {
                for entry in entries {
                    entry.validate()?;
                }
                check_order(entries.iter().map(|e| &e.name))?;
                0
            }
            Self::Branch(level, children) => {
                for child in children {
                    validate_name(&child.first)?;
                    if child.entry_count == 0 {
                        return Err(DecodeError::Inconsistent);
                    }
                }
                check_order(children.iter().map(|c| &c.first))?;
                *level
            }
        };
        if found != level { Err(DecodeError::Inconsistent) } else { Ok(node) }
    }

    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        wire::encode(self)
    }
}

/// The bytes of a node whose elements are encoded already, as `count` elements in `body`.
pub fn assemble(level: u8, count: usize, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(body.len() + 8);
    Encoder::new(&mut bytes)
        .array(3)
        .and_then(|e| e.u8(NODE_TAG))
        .and_then(|e| e.u8(level))
        .and_then(|e| e.array(count as u64))
        .expect("writing to a vector cannot fail");
    bytes.extend_from_slice(body);
    bytes
}

/// Whether a node of `level` with `count` elements in `len` bytes ends after the element whose
/// (first) name hashes to `name_hash`.
pub fn ends_node(level: u8, name_hash: u64, count: usize, len: usize) -> bool {
    let bits = (name_hash >> (u32::from(level) * NODE_HASH_BITS)) & ((1 << NODE_HASH_BITS) - 1);
    count >= NODE_COUNT_MAX || len >= NODE_LEN_TARGET || (count >= NODE_COUNT_MIN && bits == 0)
}

fn check_order<'a>(names: impl Iterator<Item = &'a Vec<u8>>) -> Result<(), DecodeError> {
    let mut previous: Option<&Vec<u8>> = None;
    let mut count = 0;
    for name in names {
        if previous.is_some_and(|p| p >= name) {
            return Err(DecodeError::Inconsistent);
        }
        previous = Some(name);
        count += 1;
    }
    if count == 0 || count > NODE_COUNT_MAX { Err(DecodeError::Limit) } else { Ok(()) }
}

impl<C> Encode<C> for Node {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.array(3)?.u8(NODE_TAG)?;
        match self {
            Self::Leaf(entries) => entries.encode(e.u8(0)?, ctx),
            Self::Branch(level, children) => children.encode(e.u8(*level)?, ctx),
        }
    }
}

impl<'b, C> Decode<'b, C> for Node {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, decode::Error> {
        expect_array(d, 3)?;
        if d.u8()? != NODE_TAG {
            return Err(decode::Error::message("this is no tree node"));
        }
        let level = d.u8()?;
        expect_at_most(d, NODE_COUNT_MAX)?;
        match level {
            0 => Ok(Self::Leaf(Vec::decode(d, ctx)?)),
            level if level <= LEVEL_MAX => Ok(Self::Branch(level, Vec::decode(d, ctx)?)),
            _ => Err(decode::Error::message("a level beyond the limit")),
        }
    }
}
