//! What lies on a disk that may lose power: per file and per directory what is durable, what is seen now, and what
//! changed in between.
//! Not here: when power is lost and which call fails (`crashing.rs`). Sectors are written wholly or not at all; each
//! change that was not synced survives or not, in any combination, those of names too.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Component, Path};

/// What a drive writes wholly or not at all, in bytes.
pub const SECTOR_BYTES: usize = 512;

/// Numbers that a seed decides: SplitMix64.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// True so many times in a hundred.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// How far something is done that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Not at all. What a sync should have made durable may become so later.
    Not,
    /// Some of it: a short write, or a sync of which some sectors arrived and the rest never will.
    Partly,
    /// Wholly.
    Whole,
    /// Of a sync: nothing arrived or ever will, while the page cache still shows it.
    Lost,
}

/// A directory of names, or a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Node {
    File(usize),
    Directory(usize),
}

#[derive(Default)]
pub struct Medium {
    files: Vec<Inode>,
    /// The first is the root.
    directories: Vec<Directory>,
}

#[derive(Default)]
struct Inode {
    cached: Vec<u8>,
    durable: Vec<u8>,
    /// Writes: where, and what.
    unsynced: Vec<(usize, Vec<u8>)>,
}

#[derive(Default)]
struct Directory {
    cached: BTreeMap<String, Node>,
    durable: BTreeMap<String, Node>,
    unsynced: Vec<Naming>,
}

#[derive(Clone)]
enum Naming {
    Put(String, Node),
    Rename(String, String, Node),
    Remove(String),
}

/// Which of the changes survive.
enum Fate {
    None,
    All,
    First(usize),
    Some { percent: u64, sectors: usize },
}

impl Fate {
    fn draw(random: &mut Random, sectors: usize) -> Fate {
        match random.below(8) {
            0 => Fate::None,
            1 => Fate::All,
            2 => Fate::First(random.below(sectors as u64 + 1) as usize),
            _ => Fate::Some {
                percent: [5, 30, 50, 70, 90, 97][random.below(6) as usize],
                sectors: [1, 1, 8][random.below(3) as usize],
            },
        }
    }
}

impl Medium {
    pub fn new() -> Self {
        Medium { files: Vec::new(), directories: vec![Directory::default()] }
    }

    pub fn find(&self, path: &Path) -> Option<Node> {
        let mut at = Node::Directory(0);
        for component in path.components().filter(|component| matches!(component, Component::Normal(_))) {
            let Node::Directory(directory) = at else { return None };
            at = *self.directories[directory].cached.get(component.as_os_str().to_str()?)?;
        }
        Some(at)
    }

    pub fn file(&self, path: &Path) -> io::Result<usize> {
        match self.find(path) {
            Some(Node::File(file)) => Ok(file),
            Some(Node::Directory(_)) => Err(ErrorKind::IsADirectory.into()),
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    pub fn names(&self, dir: &Path) -> io::Result<Vec<String>> {
        Ok(self.directories[self.directory(dir)?].cached.keys().cloned().collect())
    }

    pub fn content(&self, file: usize) -> &[u8] {
        &self.files[file].cached
    }

    pub fn make_directory(&mut self, dir: &Path) -> io::Result<()> {
        if self.find(dir).is_some() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        self.directories.push(Directory::default());
        self.put(dir, Node::Directory(self.directories.len() - 1))
    }

    pub fn remove_directory(&mut self, dir: &Path) -> io::Result<()> {
        if !self.names(dir)?.is_empty() {
            return Err(ErrorKind::DirectoryNotEmpty.into());
        }
        let above = self.directory(parent(dir))?;
        self.directories[above].change(Naming::Remove(name(dir)));
        Ok(())
    }

    /// Makes an empty file.
    pub fn create(&mut self, path: &Path) -> io::Result<usize> {
        if self.find(path).is_some() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        self.files.push(Inode::default());
        let file = self.files.len() - 1;
        self.put(path, Node::File(file)).map(|()| file)
    }

    pub fn write(&mut self, file: usize, offset: usize, bytes: &[u8]) {
        let inode = &mut self.files[file];
        put_bytes(&mut inode.cached, offset, bytes);
        inode.unsynced.push((offset, bytes.to_vec()));
    }

    pub fn sync(&mut self, file: usize, how: How, random: &mut Random) {
        let inode = &mut self.files[file];
        match how {
            How::Not => {}
            How::Whole => inode.survive(&Fate::All, random),
            How::Partly => {
                let fate = inode.fate(random);
                inode.survive(&fate, random);
            }
            How::Lost => inode.unsynced.clear(),
        }
    }

    pub fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let node = self.find(from).ok_or(ErrorKind::NotFound)?;
        let directory = self.directory(parent(from))?;
        assert_eq!(directory, self.directory(parent(to))?, "the disk's verbs rename within a directory");
        self.directories[directory].change(Naming::Rename(name(from), name(to), node));
        Ok(())
    }

    pub fn unlink(&mut self, path: &Path) -> io::Result<()> {
        self.file(path)?;
        let directory = self.directory(parent(path))?;
        self.directories[directory].change(Naming::Remove(name(path)));
        Ok(())
    }

    pub fn sync_directory(&mut self, dir: &Path, how: How, random: &mut Random) -> io::Result<()> {
        let directory = self.directory(dir)?;
        let directory = &mut self.directories[directory];
        match how {
            How::Not => {}
            How::Whole => directory.survive(&Fate::All, random),
            How::Partly => directory.survive(&Fate::Some { percent: 50, sectors: 1 }, random),
            How::Lost => directory.unsynced.clear(),
        }
        Ok(())
    }

    /// Power is lost: of what was not synced some survives, and nothing else is seen any more.
    pub fn lose_power(&mut self, random: &mut Random) {
        for inode in &mut self.files {
            let fate = inode.fate(random);
            inode.survive(&fate, random);
            inode.cached.clone_from(&inode.durable);
        }
        for directory in &mut self.directories {
            let fate = Fate::draw(random, directory.unsynced.len());
            directory.survive(&fate, random);
            directory.cached.clone_from(&directory.durable);
        }
    }

    fn put(&mut self, path: &Path, node: Node) -> io::Result<()> {
        let directory = self.directory(parent(path))?;
        self.directories[directory].change(Naming::Put(name(path), node));
        Ok(())
    }

    fn directory(&self, dir: &Path) -> io::Result<usize> {
        match self.find(dir) {
            Some(Node::Directory(directory)) => Ok(directory),
            Some(Node::File(_)) => Err(ErrorKind::NotADirectory.into()),
            None => Err(ErrorKind::NotFound.into()),
        }
    }
}

impl Inode {
    fn fate(&self, random: &mut Random) -> Fate {
        Fate::draw(random, self.unsynced.iter().map(|(_, bytes)| bytes.len().div_ceil(SECTOR_BYTES)).sum())
    }

    /// Puts what survives on the medium; the rest never arrives.
    fn survive(&mut self, fate: &Fate, random: &mut Random) {
        let (mut seen, mut keeps) = (0, false);
        let mut survives = |random: &mut Random| {
            match fate {
                Fate::None => keeps = false,
                Fate::All => keeps = true,
                Fate::First(count) => keeps = seen < *count,
                Fate::Some { percent, sectors } if seen % sectors == 0 => keeps = random.chance(*percent),
                Fate::Some { .. } => {}
            }
            seen += 1;
            keeps
        };
        for (offset, bytes) in self.unsynced.drain(..) {
            let mut at = 0;
            while at < bytes.len() {
                let len = (SECTOR_BYTES - (offset + at) % SECTOR_BYTES).min(bytes.len() - at);
                if survives(random) {
                    put_bytes(&mut self.durable, offset + at, &bytes[at..at + len]);
                }
                at += len;
            }
        }
    }
}

impl Directory {
    fn change(&mut self, naming: Naming) {
        naming.apply(&mut self.cached, true);
        self.unsynced.push(naming);
    }

    fn survive(&mut self, fate: &Fate, random: &mut Random) {
        for (seen, naming) in std::mem::take(&mut self.unsynced).into_iter().enumerate() {
            let (survives, wholly) = match fate {
                Fate::None => (false, false),
                Fate::All => (true, true),
                Fate::First(count) => (seen < *count, true),
                // Both names of a renamed file may be there.
                Fate::Some { percent, .. } => (random.chance(*percent), random.chance(80)),
            };
            if survives {
                naming.apply(&mut self.durable, wholly);
            }
        }
    }
}

impl Naming {
    fn apply(&self, names: &mut BTreeMap<String, Node>, wholly: bool) {
        match self {
            Naming::Put(name, node) => {
                names.insert(name.clone(), *node);
            }
            Naming::Rename(from, to, node) => {
                names.insert(to.clone(), *node);
                if wholly && names.get(from) == Some(node) {
                    names.remove(from);
                }
            }
            Naming::Remove(name) => {
                names.remove(name);
            }
        }
    }
}

fn put_bytes(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    content.resize(content.len().max(end), 0);
    content[offset..end].copy_from_slice(bytes);
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
