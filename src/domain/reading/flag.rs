//! Tick-boxes. How a bit arrives from OrderWise is not documented; these are the spellings that databases and exports use.

/// True for ticked, false for unticked, `None` for null, empty and any other spelling.
pub fn parse(text: Option<&str>) -> Option<bool> {
    match text?.to_ascii_lowercase().as_str() {
        "true" | "1" | "-1" | "1.0" | "-1.0" | "yes" | "y" | "on" | "ticked" | "t" => Some(true),
        "false" | "0" | "0.0" | "no" | "n" | "off" | "unticked" | "f" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn the_spellings_that_sources_use_are_read_and_no_other() {
        for ticked in ["true", "True", "1", "-1", "YES", "y", "on", "Ticked", "T"] {
            assert_eq!(parse(Some(ticked)), Some(true), "{ticked}");
        }
        for unticked in ["false", "FALSE", "0", "no", "N", "Off", "unticked", "f"] {
            assert_eq!(parse(Some(unticked)), Some(false), "{unticked}");
        }
        for other in [Some("2"), Some("maybe"), Some(""), Some("NaN"), Some("null"), None] {
            assert_eq!(parse(other), None, "{other:?}");
        }
    }
}
