//! A small reader of the kernel's type information (BTF): where a field stands, whether a function is known.
//!
//! Format: Documentation/bpf/btf.rst. Only what [`super::layout`] asks for; a header longer than ours (7.1 and
//! later append to it) is skipped by its own length. Split BTF of modules stands on that of the kernel.

use std::{path::Path, sync::Arc};

use zerocopy::IntoBytes as _;

/// Largest BTF that is read, in bytes; vmlinux has about 6 MiB.
const MAX_BTF: u64 = 64 << 20;
const MAGIC: u16 = 0xeb9f;
/// Deepest chain of typedefs and qualifiers followed.
const MAX_CHAIN: usize = 32;

#[derive(Debug, thiserror::Error)]
pub enum BtfError {
    #[error("cannot read kernel type information {path}: {source}; the kernel needs CONFIG_DEBUG_INFO_BTF=y")]
    Read { path: String, source: std::io::Error },
    #[error("kernel type information {path} is malformed: {what}")]
    Malformed { path: String, what: &'static str },
}

/// Parsed type information.
#[derive(Debug)]
pub struct Btf {
    base: Option<Arc<Btf>>,
    data: Vec<u8>,
    types_at: usize,
    strings_at: usize,
    strings_len: usize,
    /// Where each type begins, relative to `types_at`; index 0 is the first type of *this* BTF.
    types: Vec<u32>,
    /// Which of them are structs and unions with members: a tenth of all.
    structs: Vec<u32>,
    /// Id of the first type here.
    first_id: u32,
    /// Offset of the first string here.
    first_string: usize,
}

#[derive(Clone, Copy)]
struct Type {
    name: u32,
    kind: u32,
    vlen: usize,
    kind_flag: bool,
    /// Size or referred type.
    target: u32,
    /// Where the type's members begin, in the `data` of the BTF that has them.
    members: usize,
    /// It stands in split BTF, not in its base.
    split: bool,
}

const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_FWD: u32 = 7;
const KIND_TYPEDEF: u32 = 8;
const KIND_VOLATILE: u32 = 9;
const KIND_CONST: u32 = 10;
const KIND_RESTRICT: u32 = 11;
const KIND_FUNC: u32 = 12;
const KIND_TYPE_TAG: u32 = 18;
const HEADER: usize = 12;
const MEMBER: usize = 12;

impl Btf {
    /// The running kernel's own.
    pub fn vmlinux(sys: &Path) -> Result<Self, BtfError> {
        Self::read(&sys.join("kernel/btf/vmlinux"), None)
    }

    /// That of a loaded module.
    pub fn module(sys: &Path, name: &str, base: Arc<Self>) -> Result<Self, BtfError> {
        Self::read(&sys.join("kernel/btf").join(name), Some(base))
    }

    fn read(path: &Path, base: Option<Arc<Self>>) -> Result<Self, BtfError> {
        use std::io::Read as _;
        let mut data = Vec::new();
        std::fs::File::open(path)
            .and_then(|file| file.take(MAX_BTF).read_to_end(&mut data))
            .map_err(|source| BtfError::Read { path: path.display().to_string(), source })?;
        Self::parse(data, base).ok_or_else(|| BtfError::Malformed {
            path: path.display().to_string(),
            what: "truncated or of another format",
        })
    }

    /// Parses the bytes of a BTF file; `None` if they are not one.
    pub fn parse(data: Vec<u8>, base: Option<Arc<Self>>) -> Option<Self> {
        if u16::from_ne_bytes([*data.first()?, *data.get(1)?]) != MAGIC {
            return None;
        }
        let header_len = u32_at(&data, 4)? as usize;
        let types_at = header_len.checked_add(u32_at(&data, 8)? as usize)?;
        let types_len = u32_at(&data, 12)? as usize;
        let strings_at = header_len.checked_add(u32_at(&data, 16)? as usize)?;
        let strings_len = u32_at(&data, 20)? as usize;
        let types_end = types_at.checked_add(types_len)?;
        if types_end > data.len() || strings_at.checked_add(strings_len)? > data.len() {
            return None;
        }
        let mut types = Vec::with_capacity(types_len / 24);
        let mut structs = Vec::new();
        let mut at = types_at;
        while at < types_end {
            let info = u32_at(&data, at + 4)?;
            if matches!(kind(info), KIND_STRUCT | KIND_UNION) && info & 0xffff > 0 {
                structs.push(u32::try_from(types.len()).ok()?);
            }
            types.push(u32::try_from(at - types_at).ok()?);
            at = at.checked_add(HEADER + extra(kind(info), (info & 0xffff) as usize)?)?;
        }
        let (first_id, first_string) = match &base {
            Some(base) => {
                (base.first_id + u32::try_from(base.types.len()).ok()?, base.first_string + base.strings_len)
            }
            None => (1, 0),
        };
        Some(Self { base, data, types_at, strings_at, strings_len, types, structs, first_id, first_string })
    }

    /// BTF in which every type has its number, and nothing is told but functions and typedefs of these names: for those
    /// who look a number up by reading all there is, one list of members after the other.
    ///
    /// `None` for split BTF.
    pub fn places(&self, named: &[String]) -> Option<Vec<u8>> {
        /// `struct btf_header`: magic, version, flags, its length; place and length of types and of strings.
        const OUR_HEADER: usize = 24;
        if self.base.is_some() {
            return None;
        }
        let types_len = u32::try_from(self.types.len() * HEADER).ok()?;
        let mut types = vec![[0, KIND_FWD << 24, 0]; self.types.len()];
        // The first string is empty.
        let mut strings = vec![0];
        for (index, Type { name, kind, vlen, target, .. }) in self.of_kinds(&[KIND_FUNC, KIND_TYPEDEF]) {
            let its_own = self.from(name)?;
            if let Some(wanted) = named.iter().find(|wanted| begins(its_own, wanted)) {
                // A function's length is its linkage.
                let info = kind << 24 | u32::try_from(vlen).ok()?;
                *types.get_mut(index)? = [u32::try_from(strings.len()).ok()?, info, target];
                strings.extend_from_slice(wanted.as_bytes());
                strings.push(0);
            }
        }
        let strings_len = u32::try_from(strings.len()).ok()?;
        let mut out = Vec::with_capacity(OUR_HEADER + types_len as usize + strings.len());
        out.extend_from_slice(self.data.get(..4)?);
        out.extend_from_slice([OUR_HEADER as u32, 0, types_len, types_len, strings_len].as_bytes());
        out.extend_from_slice(types.as_bytes());
        out.append(&mut strings);
        Some(out)
    }

    /// Byte offset of `struct.member.member`, looking through anonymous structs and unions as C does.
    pub fn offset_of(&self, path: &str) -> Option<u32> {
        let mut names = path.split('.');
        let mut within = self.find_struct(names.next()?)?;
        let mut bits = 0;
        for name in names {
            let (offset, target) = self.member(&within, name, 0)?;
            bits += offset;
            match self.resolve(target) {
                Some(next) => within = next,
                None => return None,
            }
        }
        (bits % 8 == 0).then_some(bits / 8)
    }

    /// Bytes of a struct.
    pub fn size_of(&self, name: &str) -> Option<u32> {
        Some(self.find_struct(name)?.target)
    }

    /// Whether there is such a function. Not every function of a kernel is in its type information, but each that a
    /// program can be attached to by its types is.
    pub fn has_function(&self, name: &str) -> bool {
        self.of_kinds(&[KIND_FUNC]).any(|(_, found)| self.is_string(found.name, name))
    }

    fn find_struct(&self, name: &str) -> Option<Type> {
        self.structs
            .iter()
            .filter_map(|index| self.type_here(*index as usize))
            .find(|candidate| self.is_string(candidate.name, name))
            .or_else(|| self.base.as_ref()?.find_struct(name))
    }

    /// Bit offset and type of a member.
    fn member(&self, within: &Type, wanted: &str, depth: usize) -> Option<(u32, u32)> {
        if depth > MAX_CHAIN || !matches!(within.kind, KIND_STRUCT | KIND_UNION) {
            return None;
        }
        // A type of the base refers to ids and strings of the base alone, which are ours too.
        let owner = self.owner(within);
        for index in 0..within.vlen {
            let at = within.members + index * MEMBER;
            let name = u32_at(&owner.data, at)?;
            let target = u32_at(&owner.data, at + 4)?;
            let raw = u32_at(&owner.data, at + 8)?;
            let offset = if within.kind_flag { raw & 0x00ff_ffff } else { raw };
            match self.string(name) {
                Some(b"") => {
                    if let Some(inner) = self.resolve(target)
                        && let Some((inner_offset, found)) = self.member(&inner, wanted, depth + 1)
                    {
                        return Some((offset + inner_offset, found));
                    }
                }
                Some(found) if found == wanted.as_bytes() => return Some((offset, target)),
                _ => {}
            }
        }
        None
    }

    /// The type behind typedefs and qualifiers.
    fn resolve(&self, mut id: u32) -> Option<Type> {
        for _ in 0..MAX_CHAIN {
            let found = self.type_by_id(id)?;
            match found.kind {
                KIND_TYPEDEF | KIND_VOLATILE | KIND_CONST | KIND_RESTRICT | KIND_TYPE_TAG => {
                    id = found.target;
                }
                _ => return Some(found),
            }
        }
        None
    }

    fn type_by_id(&self, id: u32) -> Option<Type> {
        match id.checked_sub(self.first_id) {
            Some(index) => self.type_here(index as usize),
            None => self.base.as_ref()?.type_by_id(id),
        }
    }

    /// The types of these kinds that stand here, with their places: most are of others.
    fn of_kinds<'a>(&'a self, kinds: &'a [u32]) -> impl Iterator<Item = (usize, Type)> + 'a {
        self.types.iter().enumerate().filter_map(|(index, at)| {
            let info = u32_at(&self.data, self.types_at + *at as usize + 4)?;
            let found = kinds.contains(&kind(info)).then(|| self.type_here(index))?;
            Some((index, found?))
        })
    }

    fn type_here(&self, index: usize) -> Option<Type> {
        let at = self.types_at + *self.types.get(index)? as usize;
        let info = u32_at(&self.data, at + 4)?;
        Some(Type {
            name: u32_at(&self.data, at)?,
            kind: kind(info),
            vlen: (info & 0xffff) as usize,
            kind_flag: info >> 31 == 1,
            target: u32_at(&self.data, at + 8)?,
            members: at + HEADER,
            split: self.base.is_some(),
        })
    }

    fn owner(&self, within: &Type) -> &Self {
        match &self.base {
            Some(base) if !within.split => base,
            _ => self,
        }
    }

    /// Whether that string stands at the place.
    fn is_string(&self, offset: u32, wanted: &str) -> bool {
        self.from(offset).is_some_and(|strings| begins(strings, wanted))
    }

    fn string(&self, offset: u32) -> Option<&[u8]> {
        self.from(offset)?.split(|byte| *byte == 0).next()
    }

    /// The strings from that place on.
    fn from(&self, offset: u32) -> Option<&[u8]> {
        match (offset as usize).checked_sub(self.first_string) {
            Some(here) => self.data.get(self.strings_at + here..self.strings_at + self.strings_len),
            None => self.base.as_ref()?.from(offset),
        }
    }
}

/// Whether the first of these strings is that one.
fn begins(strings: &[u8], wanted: &str) -> bool {
    strings.strip_prefix(wanted.as_bytes()).is_some_and(|rest| rest.first() == Some(&0))
}

/// What kind of type it is that has this word (`btf_type.info`).
fn kind(info: u32) -> u32 {
    (info >> 24) & 0x1f
}

/// Bytes that follow a type's header.
fn extra(kind: u32, vlen: usize) -> Option<usize> {
    Some(match kind {
        // INT, VAR, DECL_TAG
        1 | 14 | 17 => 4,
        // ARRAY
        3 => 12,
        // STRUCT, UNION, DATASEC, ENUM64
        4 | 5 | 15 | 19 => vlen * 12,
        // ENUM, FUNC_PROTO
        6 | 13 => vlen * 8,
        // PTR, FWD, TYPEDEF, VOLATILE, CONST, RESTRICT, FUNC, FLOAT, TYPE_TAG
        2 | 7..=12 | 16 | 18 => 0,
        _ => return None,
    })
}

fn u32_at(data: &[u8], at: usize) -> Option<u32> {
    let bytes = data.get(at..at.checked_add(4)?)?;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers of all types of that name and kind.
    fn numbers(btf: &Btf, name: &str, kind: u32) -> Vec<usize> {
        let is_it = |index: &usize| -> bool {
            let found = btf.type_here(*index).unwrap();
            found.kind == kind && btf.is_string(found.name, name)
        };
        (0..btf.types.len()).filter(is_it).collect()
    }

    #[test]
    fn places_keep_the_numbers_that_the_kernel_gave_them_and_nothing_else_is_told() {
        let wanted = [("security_mmap_file", KIND_FUNC), ("btf_trace_sched_process_exec", KIND_TYPEDEF)];
        let kernel = Btf::vmlinux(Path::new("/sys")).unwrap();
        let places = kernel.places(&wanted.map(|(name, _)| name.to_owned())).unwrap();
        let places = Btf::parse(places, None).unwrap();
        assert_eq!(places.types.len(), kernel.types.len());
        for (name, kind) in wanted {
            assert_eq!(numbers(&places, name, kind), numbers(&kernel, name, kind));
            assert!(!numbers(&kernel, name, kind).is_empty(), "{name}");
        }
        assert!(numbers(&places, "d_move", KIND_FUNC).is_empty());
        assert_eq!((kernel.offset_of("path.dentry"), places.offset_of("path.dentry")), (Some(8), None));
    }

    #[test]
    fn functions_and_sizes_are_those_of_the_running_kernel() {
        let kernel = Btf::vmlinux(Path::new("/sys")).unwrap();
        assert!(kernel.has_function("d_move") && !kernel.has_function("d_mov"));
        assert_eq!(kernel.size_of("path"), Some(16));
        assert_eq!(kernel.size_of("no_such_struct"), None);
    }
}
