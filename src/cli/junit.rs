//! The verdicts of `check` as JUnit XML, for a CI server: a test suite a session, a test case a finding.
//!
//! The form is the one that CI servers agree on (<https://github.com/testmoapp/junitxml>): `failure` is drift, `error` is a rule
//! or session that could not be checked, `skipped` is a rule that does not apply, or drift below `--fail-on`. So a server marks a
//! build as failed where the exit code does.

use std::fmt::Write as _;

use crate::domain::evaluate::VerdictKind;
use crate::domain::policy::Severity;
use crate::domain::reading::is_invisible;
use crate::view::finding::FindingView;
use crate::view::session::{SessionView, Status};

/// The outcome of a test case that did not pass: the element, and its text.
type JunitFailure = (&'static str, String);

/// A test case: its name, and its outcome if it did not pass.
type Case = (String, Option<JunitFailure>);

/// The document. Drift below `fail_on` is no failure.
pub(super) fn document(views: &[SessionView<'_>], fail_on: Severity) -> String {
    let suites = views.iter().map(|view| (view, cases(view, fail_on))).collect::<Vec<_>>();
    let all = counts(suites.iter().flat_map(|(_, cases)| cases));
    let mut text = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"driftwise\" {all}>\n");
    for (view, cases) in &suites {
        let key = view.session.key.to_string();
        let name = view.name().map_or_else(|| key.clone(), |name| format!("{key} {name}"));
        let _ = writeln!(text, "  <testsuite name=\"{}\" {}>", escaped(&name), counts(cases));
        for (case, trouble) in cases {
            let start = format!("    <testcase classname=\"{}\" name=\"{}\"", escaped(&key), escaped(case));
            let _ = match trouble {
                Some((element, message)) => {
                    writeln!(text, "{start}>\n      <{element} message=\"{}\"/>\n    </testcase>", escaped(message))
                }
                None => writeln!(text, "{start}/>"),
            };
        }
        text.push_str("  </testsuite>\n");
    }
    text.push_str("</testsuites>\n");
    text
}

fn cases(view: &SessionView<'_>, fail_on: Severity) -> Vec<Case> {
    let reason = || view.reason.as_deref().unwrap_or_default();
    if matches!(view.status, Status::Unreachable | Status::Missing) {
        let message = format!("{}: {}", view.status.label(), reason());
        return vec![(String::from("session"), Some(("error", message)))];
    }
    let case = |finding: &FindingView| {
        let name = format!("{} ({})", finding.rule, finding.setting);
        let message = format!("{}: {}", finding.severity.label(), finding.detail());
        let trouble = match finding.verdict {
            VerdictKind::Drifted if finding.severity >= fail_on => Some(("failure", message)),
            VerdictKind::Drifted => Some(("skipped", format!("{message} (below --fail-on {})", fail_on.label()))),
            VerdictKind::Unverifiable => Some(("error", message)),
            VerdictKind::NotApplicable => Some(("skipped", finding.detail())),
            VerdictKind::Compliant => None,
        };
        (name, trouble)
    };
    view.findings.iter().map(case).collect()
}

/// The attributes that count test cases.
fn counts<'a>(cases: impl IntoIterator<Item = &'a Case>) -> String {
    let (mut tests, mut failures, mut errors, mut skipped) = (0, 0, 0, 0);
    for (_, trouble) in cases {
        tests += 1;
        match trouble {
            Some(("failure", _)) => failures += 1,
            Some(("error", _)) => errors += 1,
            Some(_) => skipped += 1,
            None => {}
        }
    }
    format!("tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" skipped=\"{skipped}\"")
}

/// Outside text as the value of an attribute. XML has no form for most control characters and the last two code points of the
/// first plane.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\u{FFFE}' | '\u{FFFF}' => safe.push(char::REPLACEMENT_CHARACTER),
            c if is_invisible(c) => safe.push(char::REPLACEMENT_CHARACTER),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::polled_state::troubled;

    #[test]
    fn every_verdict_has_its_element_and_the_document_is_well_formed() {
        let published = troubled().published();
        let plans = published.plans();
        let document = |fail_on| {
            published.read(|present| {
                let sessions = plans.values().flat_map(|plan| plan.sessions.values());
                let views = sessions.map(|session| SessionView::of(present.state(&session.key.source), session));
                document(&views.collect::<Vec<_>>(), fail_on)
            })
        };
        let text = document(Severity::Info);
        let parsed = roxmltree::Document::parse(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
        let count = |parsed: &roxmltree::Document<'_>, element: &str| {
            parsed.descendants().filter(|node| node.has_tag_name(element)).count().to_string()
        };
        let suites = parsed.root_element();
        for (attribute, element) in
            [("tests", "testcase"), ("failures", "failure"), ("errors", "error"), ("skipped", "skipped")]
        {
            assert_eq!(suites.attribute(attribute), Some(count(&parsed, element).as_str()), "{element}: {text}");
        }
        let failure = parsed.descendants().find(|node| node.has_tag_name("failure")).unwrap();
        assert_eq!(failure.attribute("message"), Some("critical: ticked, should be unticked"));
        assert_eq!(failure.parent().unwrap().attribute("name"), Some("export-off (export)"));
        assert_eq!(count(&parsed, "testsuite"), "15");
        for trouble in ["unreachable: it did not answer", "missing: the source returned other sessions"] {
            assert!(text.contains(&format!("<error message=\"{trouble}")), "{text}");
        }
    }

    #[test]
    fn outside_text_stays_text() {
        let strange = "a<b>&\"'\0\u{1b}\u{FFFF}\u{202E}\n";
        let text = format!("<a b=\"{}\"/>", escaped(strange));
        let parsed = roxmltree::Document::parse(&text).unwrap();
        assert_eq!(parsed.root_element().attribute("b"), Some("a<b>&\"'\u{FFFD}\u{FFFD}\u{FFFD}\u{FFFD}\u{FFFD}"));
    }
}
