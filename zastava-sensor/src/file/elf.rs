//! The build-id of an ELF file: `NT_GNU_BUILD_ID` of the program's notes, else of its sections'.
//!
//! Files of containers are hostile: they are read at given places into buffers of bounded size and never mapped, as
//! a mapping faults when somebody cuts the file.

use std::io;

use thiserror::Error;

/// Most program headers that are looked at; a program has about a dozen.
const MAX_SEGMENTS: u16 = 256;
/// Most section headers that are looked at; a library has about 40.
const MAX_SECTIONS: u16 = 1024;
/// Most bytes of notes that are read of one file.
const MAX_NOTES: u64 = 64 << 10;
/// Longest build-id that is believed. Linkers write 8 (xxhash, fast), 16 (md5, uuid), 20 (sha1) or 32 bytes.
const MAX_BUILD_ID: usize = 64;

const PT_NOTE: u32 = 4;
const SHT_NOTE: u32 = 7;
const NT_GNU_BUILD_ID: u32 = 3;
const GNU: &[u8] = b"GNU\0";
/// Bytes before a note's name: three words.
const NOTE_HEADER: usize = 12;

#[derive(Debug, Error)]
pub enum ElfError {
    #[error("not an ELF file")]
    NotElf,
    #[error("begins like an ELF file, but its header is cut or broken")]
    Malformed,
    #[error("no NT_GNU_BUILD_ID among its notes")]
    NoBuildId,
    #[error("cannot read an ELF file: {0}")]
    Read(io::Error),
}

/// Bytes at a place of a file.
pub trait ReadAt {
    /// Fills `buffer` from `offset` on, as far as the file has bytes; says how many.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
}

impl ReadAt for &[u8] {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.get(offset..)).unwrap_or_default();
        let len = rest.len().min(buffer.len());
        buffer[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }
}

/// Whether a file that begins so claims to be ELF.
pub fn is_elf(head: &[u8]) -> bool {
    head.starts_with(b"\x7fELF")
}

/// The first build-id in the file's notes.
pub fn build_id(file: &impl ReadAt) -> Result<Vec<u8>, ElfError> {
    let header = Header::read(file)?;
    let mut left = MAX_NOTES;
    for table in [header.segments(), header.sections()] {
        let mut rows = vec![0; table.size()];
        let len = file.read_at(table.offset, &mut rows).map_err(ElfError::Read)?;
        for row in rows[..len].chunks_exact(usize::from(table.row)) {
            if let Some(found) = notes(file, header.form, &table, row, &mut left)? {
                return Ok(found);
            }
        }
    }
    Err(ElfError::NoBuildId)
}

/// Looks through the notes that one row of a table names, if it names any.
fn notes(
    file: &impl ReadAt,
    form: Form,
    table: &Table,
    row: &[u8],
    left: &mut u64,
) -> Result<Option<Vec<u8>>, ElfError> {
    let Some(place) = table.notes(form, row) else { return Ok(None) };
    let wanted = place.len.min(*left);
    if wanted == 0 {
        return Ok(None);
    }
    *left -= wanted;
    // At most MAX_NOTES.
    let mut bytes = vec![0; wanted as usize];
    let len = file.read_at(place.offset, &mut bytes).map_err(ElfError::Read)?;
    Ok(find(form, &bytes[..len], place.align))
}

/// The build-id among notes, each padded to `align`.
fn find(form: Form, mut notes: &[u8], align: usize) -> Option<Vec<u8>> {
    while let Some(name_len) = form.u32(notes, 0) {
        let name_len = name_len as usize;
        let len = form.u32(notes, 4)? as usize;
        let name = notes.get(NOTE_HEADER..NOTE_HEADER.checked_add(name_len)?)?;
        let start = NOTE_HEADER.checked_add(name_len)?.checked_next_multiple_of(align)?;
        let end = start.checked_add(len)?;
        let content = notes.get(start..end)?;
        if name == GNU && form.u32(notes, 8) == Some(NT_GNU_BUILD_ID) && (1..=MAX_BUILD_ID).contains(&len) {
            return Some(content.to_vec());
        }
        // The last note may lack its padding.
        notes = notes.get(end.checked_next_multiple_of(align)?..)?;
    }
    None
}

/// Class and byte order.
#[derive(Clone, Copy, Debug)]
struct Form {
    wide: bool,
    little: bool,
}

impl Form {
    fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
        bytes.get(at..at.checked_add(N)?)?.try_into().ok()
    }

    fn u16(self, bytes: &[u8], at: usize) -> Option<u16> {
        let array = Self::array(bytes, at)?;
        Some(if self.little { u16::from_le_bytes(array) } else { u16::from_be_bytes(array) })
    }

    fn u32(self, bytes: &[u8], at: usize) -> Option<u32> {
        let array = Self::array(bytes, at)?;
        Some(if self.little { u32::from_le_bytes(array) } else { u32::from_be_bytes(array) })
    }

    fn u64(self, bytes: &[u8], at: usize) -> Option<u64> {
        let array = Self::array(bytes, at)?;
        Some(if self.little { u64::from_le_bytes(array) } else { u64::from_be_bytes(array) })
    }

    /// A field of the class's own width: at `wide` in 64-bit files, at `narrow` in 32-bit ones.
    fn word(self, bytes: &[u8], wide: usize, narrow: usize) -> Option<u64> {
        if self.wide { self.u64(bytes, wide) } else { self.u32(bytes, narrow).map(u64::from) }
    }
}

/// The ELF header: where the two tables stand.
#[derive(Debug)]
struct Header {
    form: Form,
    segments: (u64, u16),
    sections: (u64, u16),
}

impl Header {
    fn read(file: &impl ReadAt) -> Result<Self, ElfError> {
        const LONGEST: usize = 64;
        let mut bytes = [0; LONGEST];
        let len = file.read_at(0, &mut bytes).map_err(ElfError::Read)?;
        let bytes = &bytes[..len];
        if !is_elf(bytes) {
            return Err(ElfError::NotElf);
        }
        Self::parse(bytes).ok_or(ElfError::Malformed)
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let wide = match bytes.get(4)? {
            1 => false,
            2 => true,
            _ => return None,
        };
        let little = match bytes.get(5)? {
            1 => true,
            2 => false,
            _ => return None,
        };
        let form = Form { wide, little };
        // e_phnum and e_shnum.
        let (segments, sections) = if wide { (56, 60) } else { (44, 48) };
        Some(Self {
            form,
            segments: (form.word(bytes, 32, 28)?, form.u16(bytes, segments)?),
            sections: (form.word(bytes, 40, 32)?, form.u16(bytes, sections)?),
        })
    }

    fn segments(&self) -> Table {
        let (offset, count) = self.segments;
        let row = if self.form.wide { 56 } else { 32 };
        Table { offset, count: count.min(MAX_SEGMENTS), row, of: Rows::Segments }
    }

    fn sections(&self) -> Table {
        let (offset, count) = self.sections;
        let row = if self.form.wide { 64 } else { 40 };
        Table { offset, count: count.min(MAX_SECTIONS), row, of: Rows::Sections }
    }
}

/// The table of segments (program headers) or of sections.
#[derive(Debug)]
struct Table {
    offset: u64,
    count: u16,
    /// Bytes of a row: the size of the class's struct, as the kernel demands of `e_phentsize`.
    row: u16,
    of: Rows,
}

#[derive(Clone, Copy, Debug)]
enum Rows {
    Segments,
    Sections,
}

/// Where notes stand in the file.
#[derive(Debug)]
struct Place {
    offset: u64,
    len: u64,
    align: usize,
}

impl Table {
    fn size(&self) -> usize {
        usize::from(self.count) * usize::from(self.row)
    }

    fn notes(&self, form: Form, row: &[u8]) -> Option<Place> {
        let (kind, offset, len, align) = match self.of {
            // p_type; p_offset, p_filesz, p_align.
            Rows::Segments => (
                form.u32(row, 0)? == PT_NOTE,
                form.word(row, 8, 4)?,
                form.word(row, 32, 16)?,
                form.word(row, 48, 28)?,
            ),
            // sh_type; sh_offset, sh_size, sh_addralign.
            Rows::Sections => (
                form.u32(row, 4)? == SHT_NOTE,
                form.word(row, 24, 16)?,
                form.word(row, 32, 20)?,
                form.word(row, 48, 32)?,
            ),
        };
        kind.then_some(Place { offset, len, align: if align == 8 { 8 } else { 4 } })
    }
}

#[cfg(test)]
mod tests;
