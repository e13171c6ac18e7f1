//! Parsed mails.

use std::path::Path;

use mail_parser::MessageParser;

/// A parsed mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    headers: Vec<(String, String)>,
    pub subject: String,
    pub text: String,
    pub html: String,
    pub raw: Vec<u8>,
}

impl Mail {
    pub fn parse(raw: Vec<u8>) -> Self {
        let parsed = MessageParser::default().parse(&raw).unwrap();
        assert_eq!((parsed.text_body.len(), parsed.html_body.len()), (1, 1), "one text, one HTML");
        let (subject, text, html) =
            (parsed.subject().unwrap(), parsed.body_text(0).unwrap(), parsed.body_html(0).unwrap());
        let (subject, text, html) = (subject.to_owned(), text.into_owned(), html.into_owned());
        Self { headers: headers(&raw), subject, text, html, raw }
    }

    /// Every header of this name.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str()).collect()
    }

    /// The only header of this name, or an empty text.
    pub fn header(&self, name: &str) -> &str {
        let all = self.all(name);
        assert!(all.len() <= 1, "{name} comes {} times", all.len());
        all.first().copied().unwrap_or_default()
    }

    pub fn kind(&self) -> &str {
        self.header("X-Driftwise-Kind")
    }

    pub fn to(&self) -> &str {
        self.header("To")
    }

    pub fn id(&self) -> &str {
        self.header("Message-ID")
    }

    /// Asserts that its text, with lines joined, contains these words.
    #[track_caller]
    pub fn says(&self, words: &str) {
        let joined = self.text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(joined.contains(words), "{words:?} is not in:\n{}", self.text);
    }
}

/// The headers of a message, unfolded.
fn headers(raw: &[u8]) -> Vec<(String, String)> {
    let head = String::from_utf8(raw.to_vec()).unwrap();
    let head = head.split("\r\n\r\n").next().unwrap().replace("\r\n ", " ").replace("\r\n\t", " ");
    let headers = head.split("\r\n").filter_map(|line| line.split_once(": "));
    headers.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect()
}

/// All mails in a folder, in the order of their dates.
pub fn in_folder(folder: &Path) -> Vec<Mail> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths = entries.map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "eml"));
    paths.sort();
    paths.into_iter().map(|path| Mail::parse(std::fs::read(path).unwrap())).collect()
}

/// Kind and recipient of each mail, sorted.
pub fn kinds(mails: &[Mail]) -> Vec<(String, String)> {
    let mut kinds = mails.iter().map(|mail| (mail.kind().to_owned(), mail.to().to_owned())).collect::<Vec<_>>();
    kinds.sort();
    kinds
}
