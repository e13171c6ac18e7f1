//! The labels that an expression returns, derived from the existing metrics. An expression that names anything else is wrong.

use std::collections::{BTreeMap, BTreeSet};

use promql_parser::label::{MatchOp, Matcher};
use promql_parser::parser::value::ValueType;
use promql_parser::parser::{BinaryExpr, Call, Expr, LabelModifier, VectorMatchCardinality, VectorSelector, parse};

use crate::scrape::{SCRAPED, Values};

pub type Labels = BTreeSet<String>;

/// Parses expressions and follows their labels.
pub struct Metrics {
    known: BTreeMap<String, Values>,
}

impl Metrics {
    /// The metrics of the running program.
    pub fn scraped() -> Self {
        Self { known: SCRAPED.clone() }
    }

    /// Adds the series of a recording rule.
    pub fn record(&mut self, name: &str, expression: &str) -> Result<(), String> {
        let labels = self.labels_of(expression)?;
        self.known.insert(name.to_owned(), labels.into_iter().map(|label| (label, BTreeSet::new())).collect());
        Ok(())
    }

    /// The labels of the series that an expression returns.
    pub fn labels_of(&self, expression: &str) -> Result<Labels, String> {
        let parsed = parse(expression)?;
        self.labels(&parsed).map_err(|error| format!("{error} in: {expression}"))
    }

    fn labels(&self, expression: &Expr) -> Result<Labels, String> {
        match expression {
            Expr::NumberLiteral(_) | Expr::StringLiteral(_) => Ok(Labels::new()),
            Expr::Paren(inner) => self.labels(&inner.expr),
            Expr::Unary(inner) => self.labels(&inner.expr),
            Expr::Subquery(inner) => self.labels(&inner.expr),
            Expr::VectorSelector(selector) => self.selected(selector),
            Expr::MatrixSelector(selector) => self.selected(&selector.vs),
            Expr::Call(call) => self.called(call),
            Expr::Binary(binary) => self.combined(binary),
            Expr::Aggregate(aggregate) => {
                let inner = self.labels(&aggregate.expr)?;
                let Some(modifier) = &aggregate.modifier else { return Ok(Labels::new()) };
                let named = names(modifier, &inner)?;
                Ok(if modifier.is_include() { named } else { &inner - &named })
            }
            Expr::Extension(_) => Err(String::from("an extension of PromQL")),
        }
    }

    fn selected(&self, selector: &VectorSelector) -> Result<Labels, String> {
        let name = selector.name.as_deref().ok_or("a selector without a metric")?;
        let values = self.known.get(name).ok_or_else(|| format!("there is no metric {name}"))?;
        for matcher in &selector.matchers.matchers {
            let known = values.get(&matcher.name);
            let known = known.ok_or_else(|| format!("{name} has no label {}", matcher.name))?;
            for wanted in wanted(matcher) {
                if !known.contains(wanted) {
                    return Err(format!("{name} has no series with {}=\"{wanted}\"", matcher.name));
                }
            }
        }
        Ok(values.keys().cloned().collect())
    }

    fn called(&self, call: &Call) -> Result<Labels, String> {
        let mut labels = Labels::new();
        for argument in &call.args.args {
            labels.extend(self.labels(argument)?);
        }
        match call.func.name {
            "absent" => Ok(Labels::new()),
            "histogram_quantile" if !labels.remove("le") => Err(String::from("a quantile without le")),
            _ => Ok(labels),
        }
    }

    fn combined(&self, binary: &BinaryExpr) -> Result<Labels, String> {
        let (left, right) = (self.labels(&binary.lhs)?, self.labels(&binary.rhs)?);
        let scalar = |side: &Expr| side.value_type() == ValueType::Scalar;
        match (scalar(&binary.lhs), scalar(&binary.rhs)) {
            (true, _) => return Ok(right),
            (false, true) => return Ok(left),
            (false, false) => {}
        }
        let modifier = binary.modifier.as_ref();
        let Some(matching) = modifier.and_then(|modifier| modifier.matching.as_ref()) else {
            return if left == right { Ok(left) } else { Err(format!("{left:?} never match {right:?}")) };
        };
        let named = names(matching, &left)?;
        names(matching, &right)?;
        match (modifier.map(|modifier| &modifier.card), matching.is_include()) {
            (Some(VectorMatchCardinality::ManyToMany), _) => Ok(left),
            (Some(VectorMatchCardinality::ManyToOne(taken)), _) => Ok(&left | &among(&taken.labels, &right)?),
            (Some(VectorMatchCardinality::OneToMany(taken)), _) => Ok(&right | &among(&taken.labels, &left)?),
            (_, true) => Ok(named),
            (_, false) => Ok(&left - &named),
        }
    }
}

/// The values that a matcher names; none if it is a variable of the dashboard.
fn wanted(matcher: &Matcher) -> Vec<&str> {
    if matcher.value.contains('$') {
        return Vec::new();
    }
    match matcher.op {
        MatchOp::Equal | MatchOp::NotEqual => vec![&matcher.value],
        MatchOp::Re(_) | MatchOp::NotRe(_) => matcher.value.split('|').collect(),
    }
}

/// The labels of a modifier, each of which must be among `known`.
fn names(modifier: &LabelModifier, known: &Labels) -> Result<Labels, String> {
    among(&modifier.labels().labels, known)
}

fn among(named: &[String], known: &Labels) -> Result<Labels, String> {
    let named = named.iter().cloned().collect::<Labels>();
    match named.difference(known).next() {
        Some(label) => Err(format!("no series has the label {label}")),
        None => Ok(named),
    }
}

#[test]
fn an_expression_with_a_wrong_name_is_refused() {
    let metrics = Metrics::scraped();
    for (expression, error) in [
        ("driftwise_no_such_metric == 0", "no metric driftwise_no_such_metric"),
        ("driftwise_source_up{sauce=\"erp\"}", "driftwise_source_up has no label sauce"),
        ("driftwise_drift_open{severity=\"fatal\"}", "no series with severity=\"fatal\""),
        ("rate(driftwise_source_requests_total{outcome=~\"auth|authz\"}[5m])", "outcome=\"authz\""),
        ("sum by (shop) (driftwise_source_up)", "no series has the label shop"),
        ("driftwise_session_visible / driftwise_source_up", "never match"),
        (
            "driftwise_drift_open * on (session) group_left (shop) driftwise_session_info",
            "no series has the label shop",
        ),
        ("driftwise_source_up unless on (session) driftwise_session_visible", "no series has the label session"),
        ("histogram_quantile(0.9, sum by (phase) (driftwise_audit_duration_seconds_bucket))", "without le"),
        ("sum(driftwise_source_up", "unclosed"),
    ] {
        let refused = metrics.labels_of(expression).expect_err(expression);
        assert!(refused.contains(error), "{expression}: {refused}");
    }
}
