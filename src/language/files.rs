//! Paths → the texts and trees of all files that make one program.
//!
//! Imports are followed relative to the importing file; a file that is named twice is read once. Reading itself is the
//! caller's: this module sees a function from a path to bytes, so that an editor or a test may answer from memory.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::language::ast::{self, ItemKind};
use crate::language::codes;
use crate::language::diagnostic::Diagnostic;
use crate::language::parse::parse;
use crate::language::span::{FileId, Span};

/// The texts of a program's files, for everything that shows a place.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    files: Vec<SourceFile>,
}

/// A file as it was read.
#[derive(Debug, Clone)]
pub struct SourceFile {
    /// The path as it was given, or as the import leads there.
    pub name: String,
    pub text: Arc<str>,
    /// Where each line starts.
    lines: Vec<usize>,
}

/// A place for people: lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'s> {
    pub file: &'s str,
    pub line: usize,
    pub column: usize,
    pub end_line: usize,
    pub end_column: usize,
}

impl std::fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

impl Sources {
    /// Adds a text; its id is its number.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<Arc<str>>) -> FileId {
        let id = FileId(u32::try_from(self.files.len()).expect("fewer files than that"));
        let text: Arc<str> = text.into();
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        self.files.push(SourceFile { name: name.into(), text, lines });
        id
    }

    /// All files, in the order of their ids.
    pub fn files(&self) -> &[SourceFile] {
        &self.files
    }

    /// The file that a span lies in.
    pub fn file(&self, id: FileId) -> Option<&SourceFile> {
        self.files.get(id.0 as usize)
    }

    /// What stands at a span.
    pub fn text(&self, span: Span) -> &str {
        let text = self.file(span.file).and_then(|file| file.text.get(span.start as usize..span.end as usize));
        text.unwrap_or_default()
    }

    /// Where a span is, for people.
    pub fn place(&self, span: Span) -> Place<'_> {
        let Some(file) = self.file(span.file) else {
            return Place { file: "", line: 1, column: 1, end_line: 1, end_column: 1 };
        };
        let (line, column) = file.line_column(span.start as usize);
        let (end_line, end_column) = file.line_column(span.end as usize);
        Place { file: &file.name, line, column, end_line, end_column }
    }
}

impl SourceFile {
    fn line_column(&self, at: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|start| *start <= at).max(1);
        let start = self.lines[line - 1];
        let before = self.text.get(start..at.min(self.text.len())).unwrap_or_default();
        (line, before.chars().count() + 1)
    }
}

/// All files of a program, parsed.
#[derive(Debug, Default)]
pub struct Loaded {
    pub sources: Sources,
    /// In the order of their ids.
    pub files: Vec<ast::File>,
    /// Which files each file imports.
    pub imports: BTreeMap<FileId, Vec<FileId>>,
    pub diagnostics: Vec<Diagnostic>,
}

/// A file that was named by the user and cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the file {} cannot be read", path.display())]
pub struct LoadError {
    pub path: PathBuf,
    pub source: io::Error,
}

/// Reads the named files, and all that they import.
pub fn load(paths: &[PathBuf], read: &dyn Fn(&Path) -> io::Result<Vec<u8>>) -> Result<Loaded, LoadError> {
    let mut loader = Loader { read, loaded: Loaded::default(), known: HashMap::new(), edges: Vec::new() };
    for path in paths {
        loader.file(path).map_err(|source| LoadError { path: path.clone(), source })?;
    }
    // Files are parsed in the order in which they are found; each may find more.
    let mut next = 0;
    while next < loader.loaded.files.len() {
        loader.imports_of(next);
        next += 1;
    }
    loader.report_circles();
    Ok(loader.loaded)
}

struct Loader<'r> {
    read: &'r dyn Fn(&Path) -> io::Result<Vec<u8>>,
    loaded: Loaded,
    known: HashMap<PathBuf, FileId>,
    /// Each import: where it stands, and the file it leads to.
    edges: Vec<(Span, FileId)>,
}

impl Loader<'_> {
    fn file(&mut self, path: &Path) -> io::Result<FileId> {
        let path = normal(path);
        if let Some(id) = self.known.get(&path) {
            return Ok(*id);
        }
        let bytes = (self.read)(&path)?;
        let name = path.display().to_string();
        let (text, invalid) = match String::from_utf8(bytes) {
            Ok(text) => (text, None),
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                (String::from_utf8_lossy(error.as_bytes()).into_owned(), Some(at))
            }
        };
        let id = self.loaded.sources.add(name, text);
        self.known.insert(path, id);
        let (file, diagnostics) = match invalid {
            Some(at) => (ast::File { id, items: Vec::new() }, vec![not_utf8(id, at)]),
            None => parse(id, &self.loaded.sources.files[id.0 as usize].text),
        };
        self.loaded.files.push(file);
        self.loaded.diagnostics.extend(diagnostics);
        Ok(id)
    }

    fn imports_of(&mut self, index: usize) {
        let file = &self.loaded.files[index];
        let id = file.id;
        let imports: Vec<ast::Text> = file
            .items
            .iter()
            .filter_map(|item| match &item.kind {
                // An empty path was said to be wrong when it was parsed.
                ItemKind::Import { path } if !path.value.is_empty() => Some(path.clone()),
                _ => None,
            })
            .collect();
        let folder = Path::new(&self.loaded.sources.files[index].name).parent().unwrap_or(Path::new("")).to_owned();
        let mut imported = Vec::new();
        for path in imports {
            match self.file(&folder.join(&path.value)) {
                Ok(other) => {
                    imported.push(other);
                    self.edges.push((path.span, other));
                }
                Err(error) => self.loaded.diagnostics.push(missing(&path, &folder, &error)),
            }
        }
        self.loaded.imports.insert(id, imported);
    }

    /// Reports each import that closes a circle. Depth first, with a stack of our own: a chain of imports may be long.
    fn report_circles(&mut self) {
        let count = self.loaded.files.len();
        let (mut done, mut path) = (vec![false; count], vec![false; count]);
        let mut outgoing: Vec<Vec<(Span, usize)>> = vec![Vec::new(); count];
        for (span, other) in &self.edges {
            outgoing[span.file.0 as usize].push((*span, other.0 as usize));
        }
        for start in 0..count {
            let mut stack = vec![(start, 0)];
            while let Some((file, next)) = stack.pop() {
                if next == 0 && (done[file] || path[file]) {
                    continue;
                }
                path[file] = true;
                let Some((span, other)) = outgoing[file].get(next) else {
                    (path[file], done[file]) = (false, true);
                    continue;
                };
                stack.push((file, next + 1));
                match path[*other] {
                    true => {
                        let name = &self.loaded.sources.files[*other].name;
                        self.loaded.diagnostics.push(circle(*span, name));
                    }
                    false => stack.push((*other, 0)),
                }
            }
        }
    }
}

/// Takes `.` and `a/..` out of a path, so that one file has one name.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if matches!(normal.components().next_back(), Some(Component::Normal(_))) => {
                normal.pop();
            }
            component => normal.push(component),
        }
    }
    normal
}

fn not_utf8(file: FileId, at: usize) -> Diagnostic {
    let at = u32::try_from(at).unwrap_or(u32::MAX);
    let span = Span { file, start: at, end: at };
    Diagnostic::error(codes::NOT_UTF8, "this file is not UTF-8 text", span, "the first byte that is not")
        .with_help("save the file as UTF-8")
}

fn missing(path: &ast::Text, folder: &Path, error: &io::Error) -> Diagnostic {
    let looked = normal(&folder.join(&path.value));
    let message = format!("`{}` cannot be imported: {error}", path.value);
    Diagnostic::error(codes::IMPORT_MISSING, message, path.span, "")
        .with_help(format!("the path is relative to this file: looked for {}", looked.display()))
}

fn circle(at: Span, name: &str) -> Diagnostic {
    Diagnostic::error(
        codes::IMPORT_CYCLE,
        format!("`{name}` is imported while it imports this file"),
        at,
        "closes the circle",
    )
    .with_help("move what both need into a file of its own")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(files: &[(&str, &[u8])], roots: &[&str]) -> Loaded {
        let files: HashMap<PathBuf, Vec<u8>> =
            files.iter().map(|(name, bytes)| (PathBuf::from(name), bytes.to_vec())).collect();
        let read = |path: &Path| files.get(path).cloned().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound));
        let roots: Vec<PathBuf> = roots.iter().map(PathBuf::from).collect();
        load(&roots, &read).expect("the roots are there")
    }

    fn codes_of(loaded: &Loaded) -> Vec<&'static str> {
        loaded.diagnostics.iter().map(|diagnostic| diagnostic.code).collect()
    }

    #[test]
    fn imports_are_followed_once() {
        let loaded = loaded(
            &[("p/a.proj", b"import \"s/c.proj\""), ("p/b.proj", b"import \"./s/../s/c.proj\""), ("p/s/c.proj", b"")],
            &["p/a.proj", "./p/b.proj"],
        );
        assert_eq!(codes_of(&loaded), [] as [&str; 0]);
        let names: Vec<_> = loaded.sources.files().iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["p/a.proj", "p/b.proj", "p/s/c.proj"]);
        assert_eq!(loaded.imports[&FileId(0)], [FileId(2)]);
        assert_eq!(loaded.imports[&FileId(1)], [FileId(2)]);
    }

    #[test]
    fn circles_are_reported_where_they_close() {
        let found = loaded(&[("a.proj", b"import \"b.proj\""), ("b.proj", b"import \"a.proj\"")], &["a.proj"]);
        assert_eq!(codes_of(&found), [codes::IMPORT_CYCLE]);
        let found = loaded(&[("a.proj", b"import \"a.proj\"")], &["a.proj"]);
        assert_eq!(codes_of(&found), [codes::IMPORT_CYCLE]);
        let diamond: &[(&str, &[u8])] = &[
            ("a.proj", b"import \"b.proj\" import \"c.proj\""),
            ("b.proj", b"import \"d.proj\""),
            ("c.proj", b"import \"d.proj\""),
            ("d.proj", b""),
        ];
        assert_eq!(codes_of(&loaded(diamond, &["a.proj"])), [] as [&str; 0]);
    }

    #[test]
    fn what_cannot_be_read_has_a_place() {
        let found = loaded(&[("a.proj", b"\nimport \"b.proj\"")], &["a.proj"]);
        assert_eq!(codes_of(&found), [codes::IMPORT_MISSING]);
        assert_eq!(found.sources.place(found.diagnostics[0].span()).to_string(), "a.proj:2:8");
        let found = loaded(&[("a.proj", b"const a = 1\n  \xff")], &["a.proj"]);
        assert_eq!(codes_of(&found), [codes::NOT_UTF8]);
        assert_eq!(found.sources.place(found.diagnostics[0].span()).to_string(), "a.proj:2:3");
    }

    #[test]
    fn columns_are_characters() {
        let mut sources = Sources::default();
        let file = sources.add("a.proj", "ab\nåé x\n");
        let place = sources.place(Span { file, start: 8, end: 9 });
        assert_eq!((place.line, place.column, place.end_column), (2, 4, 5));
        assert_eq!(sources.text(Span { file, start: 8, end: 9 }), "x");
        assert_eq!(sources.place(Span { file, start: 10, end: 10 }).line, 3);
    }
}
