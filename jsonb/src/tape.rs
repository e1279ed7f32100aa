//! A document on its way: its nodes in the order in which they come, and then its bytes, whose order is another.

use crate::{Error, MOST_BYTES, MOST_LEVELS, container, entry, number};

/// A node. What it contains follows it.
#[derive(Clone, Copy)]
enum Node {
    Null,
    False,
    True,
    /// A string, or an object's key, by its place in the tape's bytes.
    String(Span),
    /// A number, as numeric lies in a row.
    Number(Span),
    Array(Inside),
    Object(Inside),
}

#[derive(Clone, Copy)]
struct Span {
    start: u32,
    end: u32,
}

#[derive(Clone, Copy)]
struct Inside {
    /// Elements, or keys.
    count: u32,
    /// The node behind the last one inside.
    end: u32,
}

/// An object's member: the node of its value, and its key.
#[derive(Clone, Copy)]
struct Member {
    key: Span,
    value: u32,
}

/// The nodes of a document.
pub struct Tape {
    nodes: Vec<Node>,
    bytes: Vec<u8>,
    level: usize,
}

/// A container that was begun.
#[must_use]
pub struct Begun {
    node: usize,
    count: u32,
}

impl Begun {
    /// One element, or one key, more.
    pub fn count(&mut self) {
        self.count += 1;
    }
}

/// Bytes of all strings and numbers together: places have 32 bits, and PostgreSQL's memory ends before.
const MOST_TAPE: usize = 0x3FFF_FFFF;

impl Tape {
    pub fn new() -> Self {
        // An order of some lines fits.
        Self { nodes: Vec::with_capacity(256), bytes: Vec::with_capacity(4096), level: 0 }
    }

    pub fn null(&mut self) -> Result<(), Error> {
        self.push(Node::Null)
    }

    pub fn boolean(&mut self, value: bool) -> Result<(), Error> {
        self.push(if value { Node::True } else { Node::False })
    }

    pub fn string(&mut self, text: &str) -> Result<(), Error> {
        self.string_of(|bytes| bytes.extend_from_slice(text.as_bytes()))
    }

    /// A string that is made in its place.
    pub fn string_of(&mut self, make: impl FnOnce(&mut Vec<u8>)) -> Result<(), Error> {
        let start = self.bytes.len();
        make(&mut self.bytes);
        let text = &self.bytes[start..];
        if text.len() > MOST_BYTES {
            return Err(Error::TooLarge);
        }
        if text.contains(&0) {
            return Err(Error::Nul);
        }
        let span = self.span(start)?;
        self.push(Node::String(span))
    }

    pub fn number(&mut self, text: &str) -> Result<(), Error> {
        let start = self.bytes.len();
        number::write_text(text, &mut self.bytes)?;
        let span = self.span(start)?;
        self.push(Node::Number(span))
    }

    pub fn integer(&mut self, is_negative: bool, magnitude: u128) -> Result<(), Error> {
        let start = self.bytes.len();
        number::write_integer(is_negative, magnitude, &mut self.bytes)?;
        let span = self.span(start)?;
        self.push(Node::Number(span))
    }

    /// A container, whose nodes follow.
    pub fn begin(&mut self) -> Result<Begun, Error> {
        self.level += 1;
        if self.level > MOST_LEVELS {
            return Err(Error::TooDeep);
        }
        let node = self.nodes.len();
        self.push(Node::Null)?;
        Ok(Begun { node, count: 0 })
    }

    pub fn end_array(&mut self, begun: Begun) {
        self.nodes[begun.node] = Node::Array(self.inside(&begun));
        self.level -= 1;
    }

    /// The nodes in it are keys and values by turns.
    pub fn end_object(&mut self, begun: Begun) {
        self.nodes[begun.node] = Node::Object(self.inside(&begun));
        self.level -= 1;
    }

    fn inside(&self, begun: &Begun) -> Inside {
        // `push` holds it to 32 bits.
        Inside { count: begun.count, end: self.nodes.len() as u32 }
    }

    fn span(&self, start: usize) -> Result<Span, Error> {
        let end = self.bytes.len();
        if end > MOST_TAPE {
            return Err(Error::TooLarge);
        }
        Ok(Span { start: start as u32, end: end as u32 })
    }

    fn push(&mut self, node: Node) -> Result<(), Error> {
        // Members of a container take four bytes each at least, so that one could not hold so many.
        if self.nodes.len() >= MOST_BYTES {
            return Err(Error::TooLarge);
        }
        self.nodes.push(node);
        Ok(())
    }

    /// The document's bytes, without the length that a row puts before them.
    pub fn into_bytes(self) -> Result<Vec<u8>, Error> {
        let out = Vec::with_capacity(self.bytes.len() + self.nodes.len() * 8 + 16);
        let mut writer = Writer { tape: &self, members: Vec::with_capacity(64), out };
        match self.nodes.first() {
            None => return Err(Error::Custom("there is no value".to_owned())),
            Some(Node::Array(_) | Node::Object(_)) => writer.write(0)?,
            Some(_) => writer.container(container::ARRAY | container::SCALAR, 1, [0])?,
        };
        Ok(writer.out)
    }
}

struct Writer<'a> {
    tape: &'a Tape,
    /// The members of objects that are being written, those of each object behind those of what it is in.
    members: Vec<Member>,
    out: Vec<u8>,
}

impl Writer<'_> {
    /// Appends a node; its word, with its length.
    fn write(&mut self, node: u32) -> Result<u32, Error> {
        match self.tape.nodes[node as usize] {
            Node::Null => Ok(entry::NULL),
            Node::False => Ok(entry::FALSE),
            Node::True => Ok(entry::TRUE),
            Node::String(span) => Ok(self.string(span)),
            Node::Number(span) => {
                let start = self.out.len();
                self.pad();
                self.out.extend_from_slice(self.tape.at(span));
                Ok(entry::NUMBER | length(self.out.len() - start)?)
            }
            Node::Array(Inside { count, .. }) => {
                let tape = self.tape;
                let elements = std::iter::successors(Some(node + 1), |element| Some(tape.behind(*element)));
                self.container(container::ARRAY, count, elements)
            }
            Node::Object(Inside { count, .. }) => self.object(node, count),
        }
    }

    fn string(&mut self, span: Span) -> u32 {
        self.out.extend_from_slice(self.tape.at(span));
        // Its length was looked at when it came.
        entry::STRING | (span.end - span.start)
    }

    fn container(
        &mut self,
        header: u32,
        count: u32,
        elements: impl IntoIterator<Item = u32>,
    ) -> Result<u32, Error> {
        let mut open = self.open(header, count, count)?;
        for element in elements.into_iter().take(count as usize) {
            let word = self.write(element)?;
            open.member(&mut self.out, word)?;
        }
        open.close(&self.out)
    }

    fn object(&mut self, node: u32, count: u32) -> Result<u32, Error> {
        let first = self.members.len();
        let mut key = node + 1;
        for _ in 0..count {
            let Node::String(span) = self.tape.nodes[key as usize] else {
                return Err(Error::Custom("an object's key is no string".to_owned()));
            };
            self.members.push(Member { key: span, value: key + 1 });
            key = self.tape.behind(key + 1);
        }
        let tape = self.tape;
        // Shorter keys first. Of equal ones the last is kept, so it comes first.
        self.members[first..].sort_unstable_by(|a, b| {
            let (left, right) = (tape.at(a.key), tape.at(b.key));
            left.len().cmp(&right.len()).then_with(|| left.cmp(right)).then_with(|| b.value.cmp(&a.value))
        });
        let mut kept = first;
        for place in first..self.members.len() {
            if place == first || tape.at(self.members[place].key) != tape.at(self.members[kept - 1].key) {
                self.members[kept] = self.members[place];
                kept += 1;
            }
        }
        self.members.truncate(kept);
        let count = (kept - first) as u32;
        let mut open = self.open(container::OBJECT, count, 2 * count)?;
        for place in first..kept {
            let word = self.string(self.members[place].key);
            open.member(&mut self.out, word)?;
        }
        for place in first..kept {
            let word = self.write(self.members[place].value)?;
            open.member(&mut self.out, word)?;
        }
        self.members.truncate(first);
        open.close(&self.out)
    }

    fn open(&mut self, header: u32, count: u32, words: u32) -> Result<Open, Error> {
        let start = self.out.len();
        self.pad();
        self.out.extend_from_slice(&(header | count).to_ne_bytes());
        let next_word = self.out.len();
        self.out.resize(next_word + 4 * words as usize, 0);
        Ok(Open { start, next_word, members: 0, length: 0 })
    }

    fn pad(&mut self) {
        self.out.resize(self.out.len().next_multiple_of(4), 0);
    }
}

/// A container that is being written.
struct Open {
    start: usize,
    next_word: usize,
    members: usize,
    /// Of the members so far.
    length: usize,
}

impl Open {
    /// Notes a member that was appended.
    fn member(&mut self, out: &mut [u8], word: u32) -> Result<(), Error> {
        self.length += (word & entry::LENGTH) as usize;
        let end = length(self.length)?;
        let word = match self.members % entry::STRIDE {
            0 => word & entry::KIND | end | entry::IS_OFFSET,
            _ => word,
        };
        out[self.next_word..self.next_word + 4].copy_from_slice(&word.to_ne_bytes());
        self.next_word += 4;
        self.members += 1;
        Ok(())
    }

    /// The container's own word; what was put before it to align it counts.
    fn close(self, out: &[u8]) -> Result<u32, Error> {
        Ok(entry::CONTAINER | length(out.len() - self.start)?)
    }
}

fn length(bytes: usize) -> Result<u32, Error> {
    u32::try_from(bytes).ok().filter(|bytes| *bytes <= entry::LENGTH).ok_or(Error::TooLarge)
}

impl Tape {
    fn at(&self, span: Span) -> &[u8] {
        &self.bytes[span.start as usize..span.end as usize]
    }

    /// The node after this one and all that it contains.
    fn behind(&self, node: u32) -> u32 {
        match self.nodes.get(node as usize) {
            Some(Node::Array(inside) | Node::Object(inside)) => inside.end,
            _ => node + 1,
        }
    }
}
