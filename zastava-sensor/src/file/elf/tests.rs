use object::Object as _;
use proptest::prelude::*;

use super::*;

/// A file of one form with notes in a segment or in a section.
#[derive(Clone, Debug)]
struct Made {
    wide: bool,
    little: bool,
    rows: Rows,
    align: u8,
    notes: Vec<(Vec<u8>, u32, Vec<u8>)>,
}

impl Made {
    fn number(&self, value: u64, len: usize) -> Vec<u8> {
        if self.little {
            value.to_le_bytes()[..len].to_vec()
        } else {
            value.to_be_bytes()[8 - len..].to_vec()
        }
    }

    fn note_bytes(&self) -> Vec<u8> {
        let align = usize::from(self.align);
        let mut bytes = Vec::new();
        for (name, kind, content) in &self.notes {
            for value in [name.len() as u64, content.len() as u64, u64::from(*kind)] {
                bytes.extend(self.number(value, 4));
            }
            bytes.extend(name);
            bytes.resize(bytes.len().next_multiple_of(align), 0);
            bytes.extend(content);
            bytes.resize(bytes.len().next_multiple_of(align), 0);
        }
        bytes
    }

    /// Header, one row (of sections: after an empty one and before that of names), notes.
    fn bytes(&self) -> Vec<u8> {
        let word = if self.wide { 8 } else { 4 };
        let header: usize = if self.wide { 64 } else { 52 };
        let row = match (self.rows, self.wide) {
            (Rows::Segments, true) => 56,
            (Rows::Segments, false) => 32,
            (Rows::Sections, true) => 64,
            (Rows::Sections, false) => 40,
        };
        let (segments, sections) = match self.rows {
            Rows::Segments => (1, 0),
            Rows::Sections => (0, 3),
        };
        let notes = self.note_bytes();
        let at = (header + row * (segments + sections)).next_multiple_of(8);
        let place = |count: usize| if count == 0 { 0 } else { header as u64 };

        let mut bytes = b"\x7fELF".to_vec();
        bytes.extend([1 + u8::from(self.wide), 2 - u8::from(self.little), 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend(
            [self.number(2, 2), self.number(62, 2), self.number(1, 4), self.number(0, word)].concat(),
        );
        bytes.extend([self.number(place(segments), word), self.number(place(sections), word)].concat());
        let halves =
            [header, if segments == 0 { 0 } else { row }, segments, if sections == 0 { 0 } else { row }];
        bytes.extend(self.number(0, 4));
        for half in halves.into_iter().chain([sections, sections.saturating_sub(1)]) {
            bytes.extend(self.number(half as u64, 2));
        }
        assert_eq!(bytes.len(), header);

        let (offset, len) = (self.number(at as u64, word), self.number(notes.len() as u64, word));
        let (zero, align) = (self.number(0, word), self.number(self.align.into(), word));
        match (self.rows, self.wide) {
            (Rows::Segments, true) => bytes.extend(
                [self.number(4, 4), self.number(4, 4), offset, zero.clone(), zero, len.clone(), len, align]
                    .concat(),
            ),
            (Rows::Segments, false) => bytes.extend(
                [self.number(4, 4), offset, zero.clone(), zero, len.clone(), len, self.number(4, 4), align]
                    .concat(),
            ),
            (Rows::Sections, _) => {
                bytes.resize(header + row, 0);
                let link = self.number(0, 8);
                bytes.extend(
                    [
                        self.number(0, 4),
                        self.number(7, 4),
                        zero.clone(),
                        zero.clone(),
                        offset,
                        len,
                        link,
                        align,
                        zero,
                    ]
                    .concat(),
                );
                bytes.extend([self.number(0, 4), self.number(3, 4)].concat());
            }
        }
        bytes.resize(at, 0);
        bytes.extend(notes);
        bytes
    }
}

fn made() -> impl Strategy<Value = Made> {
    let name = prop_oneof![Just(GNU.to_vec()), Just(b"Go\0\0".to_vec()), Just(Vec::new())];
    let kind = prop_oneof![Just(NT_GNU_BUILD_ID), Just(5), Just(1)];
    let content = proptest::collection::vec(any::<u8>(), 1..=MAX_BUILD_ID);
    let notes = proptest::collection::vec((name, kind, content), 0..4);
    (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), notes).prop_map(
        |(wide, little, sections, eight, notes)| Made {
            wide,
            little,
            rows: if sections { Rows::Sections } else { Rows::Segments },
            align: if eight { 8 } else { 4 },
            notes,
        },
    )
}

fn found(bytes: &[u8]) -> Option<Vec<u8>> {
    match build_id(&bytes) {
        Ok(found) => Some(found),
        Err(ElfError::NoBuildId) => None,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn what_is_no_elf_file_says_so() {
    for bytes in [&b""[..], b"\x7fEL", b"#!/bin/sh\n"] {
        assert!(matches!(build_id(&bytes), Err(ElfError::NotElf)), "{bytes:?}");
    }
}

#[test]
fn a_cut_or_impossible_header_is_malformed() {
    let whole = std::fs::read("/proc/self/exe").unwrap();
    for cut in 4..62 {
        assert!(matches!(build_id(&&whole[..cut]), Err(ElfError::Malformed)), "{cut}");
    }
    for (place, value) in [(4, 0), (4, 3), (5, 0), (5, 3)] {
        let mut broken = whole[..64].to_vec();
        broken[place] = value;
        assert!(matches!(build_id(&&broken[..]), Err(ElfError::Malformed)), "{place} {value}");
    }
}

#[test]
fn lengths_and_places_that_lie_find_nothing() {
    let made = Made {
        wide: true,
        little: true,
        rows: Rows::Segments,
        align: 4,
        notes: vec![(GNU.to_vec(), NT_GNU_BUILD_ID, vec![7; 20])],
    };
    let good = made.bytes();
    assert_eq!(found(&good), Some(vec![7; 20]));
    let notes = good.len() - 36;
    // e_phoff, p_offset, n_namesz, n_descsz.
    for (place, len) in [(32, 8), (64 + 8, 8), (notes, 4), (notes + 4, 4)] {
        for fill in [0x7f, 0xff] {
            let mut lying = good.clone();
            lying[place..place + len].fill(fill);
            assert_eq!(found(&lying), None, "{place} {fill}");
        }
    }
    // More segments than there are.
    let mut many = good.clone();
    many[56..58].fill(0xff);
    assert_eq!(found(&many), Some(vec![7; 20]));
}

#[test]
fn a_build_id_longer_than_linkers_write_is_passed_over() {
    let made = Made {
        wide: true,
        little: true,
        rows: Rows::Segments,
        align: 4,
        notes: vec![
            (GNU.to_vec(), NT_GNU_BUILD_ID, vec![7; MAX_BUILD_ID + 1]),
            (GNU.to_vec(), NT_GNU_BUILD_ID, Vec::new()),
            (GNU.to_vec(), NT_GNU_BUILD_ID, vec![8; MAX_BUILD_ID]),
        ],
    };
    assert_eq!(found(&made.bytes()), Some(vec![8; MAX_BUILD_ID]));
}

#[test]
fn notes_beyond_the_limit_are_not_read() {
    #[derive(Debug)]
    struct Counting<'a>(&'a [u8], std::cell::Cell<usize>);
    impl ReadAt for Counting<'_> {
        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
            let len = self.0.read_at(offset, buffer)?;
            self.1.set(self.1.get() + len);
            Ok(len)
        }
    }
    let filler = (b"Go\0\0".to_vec(), 1, vec![0; 1000]);
    let mut notes = vec![filler; 70];
    notes.push((GNU.to_vec(), NT_GNU_BUILD_ID, vec![7; 20]));
    let made = Made { wide: true, little: true, rows: Rows::Segments, align: 4, notes };
    let bytes = made.bytes();
    let file = Counting(&bytes, 0.into());
    assert!(matches!(build_id(&file), Err(ElfError::NoBuildId)));
    assert!(file.1.get() <= MAX_NOTES as usize + 64 + 56, "{} bytes read", file.1.get());
}

proptest! {
    #[test]
    fn notes_of_every_form_are_read_as_object_reads_them(made in made()) {
        let bytes = made.bytes();
        let oracle = object::File::parse(&bytes[..]).unwrap();
        let oracle = oracle.build_id().unwrap().filter(|id| !id.is_empty());
        let found = found(&bytes);
        prop_assert_eq!(found.as_deref(), oracle);
    }

    #[test]
    fn any_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = build_id(&&bytes[..]);
    }

    #[test]
    fn a_file_cut_or_changed_anywhere_does_no_harm(
        made in made(),
        cut in 0_usize..2000,
        changes in proptest::collection::vec((0_usize..600, any::<u8>()), 0..8),
    ) {
        let mut bytes = made.bytes();
        for (place, value) in changes {
            if let Some(byte) = bytes.get_mut(place) {
                *byte = value;
            }
        }
        bytes.truncate(cut);
        let _ = build_id(&&bytes[..]);
    }
}
