//! Reads the documents: their blocks, their prose, and the calls of the program in both.

use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

pub struct Document {
    pub path: PathBuf,
    pub text: String,
}

/// A fenced block: its language, the line on which it begins, and its text without the indentation of the fence.
pub struct Block {
    pub language: String,
    pub line: usize,
    pub text: String,
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Markdown file at the top, and under `docs` and `deploy`; and the comments of every YAML file under `config`.
pub fn documents() -> Vec<Document> {
    let mut folders = vec![root().join("docs"), root().join("deploy")];
    let mut paths = markdown(root());
    while let Some(folder) = folders.pop() {
        paths.extend(markdown(&folder));
        folders.extend(fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()));
    }
    let document = |path: PathBuf| Document { text: fs::read_to_string(&path).unwrap(), path };
    let mut documents = paths.into_iter().map(document).collect::<Vec<_>>();
    let configurations = files(&root().join("config")).into_iter().filter(|path| has_extension(path, "yaml"));
    let before = documents.len();
    documents.extend(configurations.map(|path| Document { text: comments(&fs::read_to_string(&path).unwrap()), path }));
    assert!(documents.len() >= before + 3, "the configurations under config/ were not found");
    documents
}

/// Every file under `folder`.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let (folders, mut found): (Vec<_>, Vec<_>) = paths.into_iter().partition(|path| path.is_dir());
    found.extend(folders.iter().flat_map(|folder| files(folder)));
    found
}

pub fn has_extension(path: &Path, wanted: &str) -> bool {
    path.extension().is_some_and(|extension| extension == wanted)
}

/// The text after `# `, line by line.
fn comments(yaml: &str) -> String {
    let comment = |line: &str| line.split_once("# ").map_or_else(String::new, |(_, comment)| format!("{comment}\n"));
    yaml.lines().map(comment).collect()
}

fn markdown(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| has_extension(path, "md")).collect()
}

impl Document {
    pub fn name(&self) -> String {
        self.path.strip_prefix(root()).unwrap().display().to_string()
    }

    pub fn blocks(&self, languages: &[&str]) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut open: Option<(usize, Block)> = None;
        for (at, line) in self.text.lines().enumerate() {
            let indent = line.len() - line.trim_start().len();
            match (&mut open, line.trim_start().strip_prefix("```")) {
                (None, Some(language)) => {
                    open = Some((indent, Block { language: language.to_owned(), line: at + 1, text: String::new() }));
                }
                (Some(_), Some(_)) => blocks.extend(open.take().map(|(_, block)| block)),
                (Some((indent, block)), None) => {
                    block.text.push_str(line.get(*indent..).unwrap_or_default());
                    block.text.push('\n');
                }
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{}: a block that does not end", self.name());
        blocks.retain(|block| languages.contains(&block.language.as_str()));
        blocks
    }

    /// The text outside of fenced blocks.
    pub fn prose(&self) -> String {
        let mut inside = false;
        let outside = self.text.lines().filter(|line| {
            let fence = line.trim_start().starts_with("```");
            inside ^= fence;
            !inside && !fence
        });
        outside.collect::<Vec<_>>().join("\n")
    }

    /// The words in the prose that are formatted `as code`.
    pub fn code_words(&self) -> Vec<String> {
        let code = Regex::new("`([^`\n]+)`").unwrap();
        code.captures_iter(&self.prose()).map(|found| found[1].to_owned()).collect()
    }

    /// Every call of the program, with the line of its block, or 0 for one in the prose.
    pub fn calls(&self) -> Vec<(usize, String)> {
        let in_blocks = self
            .blocks(&["sh"])
            .into_iter()
            .flat_map(|block| block.text.lines().map(|line| (block.line, line.to_owned())).collect::<Vec<_>>());
        let in_prose = self.code_words().into_iter().map(|word| (0, word));
        let call = |(line, text): (usize, String)| {
            let text = text.split(" #").next().unwrap_or_default().trim();
            let arguments = ["driftwise ", "cargo run --release -- ", "cargo run -- "];
            arguments.iter().find_map(|start| text.strip_prefix(start)).map(|rest| (line, rest.to_owned()))
        };
        in_blocks.chain(in_prose).filter_map(call).collect()
    }
}

/// The text of every Rust file under `folder`.
pub fn rust(folder: &Path) -> Vec<String> {
    let rust = files(folder).into_iter().filter(|path| has_extension(path, "rs"));
    rust.map(|path| fs::read_to_string(path).unwrap()).collect()
}

#[test]
fn the_comments_of_a_configuration_are_read_like_any_document() {
    let text = comments("# Check it with `driftwise validate`.\na: b # as `driftwise policy show` says\nc: \"#d\"\n");
    let document = Document { path: root().join("config/any.yaml"), text };
    assert_eq!(document.calls(), [(0, "validate".to_owned()), (0, "policy show".to_owned())]);
}
