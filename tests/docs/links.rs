//! The targets in the documents: links, files, functions, and the pages of the book.

use std::collections::BTreeSet;
use std::fs;

use regex::Regex;

use crate::document::{Document, documents, root, rust};

/// Files that the quick start writes: named in the documents, and absent before its first run.
const WRITTEN: [&str; 2] = ["config/mail", "config/driftwise.db"];

/// Every link of a document that leads to a file: the file and the heading in it.
fn links(document: &Document) -> Vec<(String, Option<String>)> {
    let link = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    let prose = document.prose();
    let targets = link.captures_iter(&prose).map(|found| found[1].to_owned()).filter(|target| !target.contains("://"));
    let parts = targets.map(|target| match target.split_once('#') {
        Some((file, heading)) => (file.to_owned(), Some(heading.to_owned())),
        None => (target, None),
    });
    parts.collect()
}

/// The anchors of the headings of a page, as GitHub and mdBook make them.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = page.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let kept = |c: char| match c {
        ' ' => Some('-'),
        '-' | '_' => Some(c),
        _ => c.is_alphanumeric().then(|| c.to_ascii_lowercase()),
    };
    headings.map(|heading| heading.chars().filter_map(kept).collect()).collect()
}

#[test]
fn every_link_within_the_project_leads_to_a_file_and_a_heading_that_exist() {
    let (mut wrong, mut read) = (Vec::new(), 0);
    for document in documents() {
        for (file, heading) in links(&document) {
            read += 1;
            let path = if file.is_empty() { document.path.clone() } else { document.path.with_file_name(&file) };
            if !path.exists() {
                wrong.push(format!("{}: {file} does not exist", document.name()));
            } else if heading.is_some_and(|heading| !anchors(&fs::read_to_string(&path).unwrap()).contains(&heading)) {
                wrong.push(format!("{}: {file} has no such heading", document.name()));
            }
        }
    }
    assert!(read > 40, "only {read} links were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A published book has only these pages.
#[test]
fn the_book_has_every_page_and_no_page_links_to_anything_outside_of_it() {
    let folder = root().join("docs");
    let (mut pages, mut listed) = (BTreeSet::new(), Vec::new());
    for document in documents().iter().filter(|document| document.path.parent() == Some(&folder)) {
        let files = links(document).into_iter().map(|(file, _)| file).filter(|file| !file.is_empty());
        let name = document.path.file_name().unwrap().to_string_lossy().into_owned();
        if name == "SUMMARY.md" {
            listed = files.collect();
            continue;
        }
        for file in files {
            assert!(
                !file.contains('/') && !file.starts_with('.'),
                "{}: {file} is outside of the book",
                document.name()
            );
        }
        pages.insert(name);
    }
    assert_eq!(listed.len(), pages.len(), "a page is listed twice: {listed:?}");
    assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), pages);
}

#[test]
fn every_file_and_function_that_a_document_names_exists() {
    let folders = ["src/", "tests/", "config/", "scripts/", "deploy/", "docs/", "migrations/"];
    let function = Regex::new(r"^(?:[A-Za-z_]+::)+([a-z_]+)$").unwrap();
    let sources = rust(&root().join("src"));
    let mut wrong = Vec::new();
    for document in documents() {
        for word in document.code_words() {
            let named = folders.iter().any(|folder| word.starts_with(folder)) && !word.contains([' ', '*']);
            if named && !WRITTEN.contains(&word.as_str()) && !root().join(&word).exists() {
                wrong.push(format!("{}: {word} does not exist", document.name()));
            }
            let function = function.captures(&word).map(|found| found[1].to_owned());
            let exists = |name: &String| {
                let word = Regex::new(&format!(r"\b(?:fn|mod) {name}\b")).unwrap();
                sources.iter().any(|text| word.is_match(text))
            };
            if function.as_ref().is_some_and(|name| !exists(name)) {
                wrong.push(format!("{}: there is no {word}", document.name()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
