//! Line numbers ↔ byte positions of a file that only grows.
//!
//! Line ends are counted once, block by block, and the place of every block is kept: 16 bytes for each MiB of file. So the
//! end of a partition is known without reading it twice, and any offset is found by looking through one block.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

/// How much is counted between two marks.
const BLOCK_BYTES: usize = 1 << 20;

/// Where the lines of one file begin.
#[derive(Debug, Default)]
pub(super) struct LineIndex {
    /// (line, byte) at the start of each block: the first line that ends in it, and where the block begins.
    marks: Vec<(i64, u64)>,
    /// How many lines end before `counted_bytes`.
    lines: i64,
    counted_bytes: u64,
}

impl LineIndex {
    /// Counts what the file has gained and returns how many whole lines it holds.
    pub fn extend(&mut self, file: &mut File) -> io::Result<i64> {
        if file.metadata()?.len() <= self.counted_bytes {
            return Ok(self.lines);
        }
        file.seek(SeekFrom::Start(self.counted_bytes))?;
        let mut block = vec![0; BLOCK_BYTES];
        loop {
            let read = file.read(&mut block)?;
            if read == 0 {
                return Ok(self.lines);
            }
            let far = self.marks.last().is_none_or(|(_, at)| self.counted_bytes - at >= BLOCK_BYTES as u64);
            if far {
                self.marks.push((self.lines, self.counted_bytes));
            }
            self.lines += count_line_ends(&block[..read]);
            self.counted_bytes += read as u64;
        }
    }

    /// How long the file was when it was last counted.
    pub fn counted_bytes(&self) -> u64 {
        self.counted_bytes
    }

    /// The byte at which a line begins; `None` when the file has fewer lines, as far as it has been counted. The line after
    /// the last is found too.
    pub fn position(&self, line: i64, file: &mut File) -> io::Result<Option<u64>> {
        if line == 0 {
            return Ok(Some(0));
        }
        if line < 0 || line > self.lines {
            return Ok(None);
        }
        // The end of the line before is what is looked for: in the last block that has fewer than `line` line ends before it.
        let block = self.marks.partition_point(|(before, _)| *before < line) - 1;
        let (mut before, mut at) = self.marks[block];
        file.seek(SeekFrom::Start(at))?;
        let mut bytes = vec![0; BLOCK_BYTES];
        loop {
            let read = file.read(&mut bytes)?;
            if read == 0 {
                return Ok(None);
            }
            let here = count_line_ends(&bytes[..read]);
            if before + here < line {
                before += here;
                at += read as u64;
                continue;
            }
            let ends = bytes[..read].iter().enumerate().filter(|(_, byte)| **byte == b'\n');
            let end = ends.map(|(index, _)| index).nth((line - before - 1) as usize);
            return Ok(end.map(|index| at + index as u64 + 1));
        }
    }
}

fn count_line_ends(bytes: &[u8]) -> i64 {
    // Summed in bytes and in pieces no longer than a byte can count, which the compiler turns into wide additions.
    let pieces = bytes.chunks(255).map(|piece| piece.iter().map(|byte| u8::from(*byte == b'\n')).sum::<u8>());
    pieces.map(i64::from).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn every_line_is_found_while_the_file_grows() {
        let mut file = tempfile::tempfile().unwrap();
        let (mut index, mut starts, mut at) = (LineIndex::default(), vec![0u64], 0u64);
        for round in 0..4 {
            let mut text = Vec::new();
            for line in 0..4000 {
                let length = (line * 37 + round * 11) % 600;
                text.extend(std::iter::repeat_n(b'x', length));
                text.push(b'\n');
                at += length as u64 + 1;
                starts.push(at);
            }
            file.seek(SeekFrom::End(0)).unwrap();
            file.write_all(&text).unwrap();
            assert_eq!(index.extend(&mut file).unwrap(), starts.len() as i64 - 1);
        }
        assert!(index.marks.len() > 2, "one block shows nothing");
        for (line, start) in starts.iter().enumerate() {
            if line % 97 == 0 || line + 2 > starts.len() {
                assert_eq!(index.position(line as i64, &mut file).unwrap(), Some(*start), "line {line}");
            }
        }
        assert_eq!(index.position(starts.len() as i64, &mut file).unwrap(), None);
        assert_eq!(index.position(-1, &mut file).unwrap(), None);
    }

    #[test]
    fn a_half_written_line_does_not_count() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"one\ntwo\nthr").unwrap();
        let mut index = LineIndex::default();
        assert_eq!(index.extend(&mut file).unwrap(), 2);
        file.write_all(b"ee\n").unwrap();
        assert_eq!(index.extend(&mut file).unwrap(), 3);
        assert_eq!(index.position(3, &mut file).unwrap(), Some(14));
    }
}
