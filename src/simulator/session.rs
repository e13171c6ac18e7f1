//! The sessions of the stand-in: rows with the columns that a customer's SQL would name.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// The ID of the first session.
pub const FIRST_SESSION: i64 = 14;

/// The column of the session ID.
const ID: &str = "session_id";

/// Shops of the first sessions; the others are numbered.
const SHOPS: [&str; 4] = ["acme-uk", "acme-us", "acme-eu", "acme-outlet"];

/// The raw values of one row in the order of the SQL.
pub(super) type RawValues = Vec<(String, Value)>;

#[derive(Debug, Clone, Default)]
pub(super) struct SimulatedSessions(BTreeMap<i64, RawValues>);

impl SimulatedSessions {
    pub(super) fn new(count: usize) -> Self {
        let mut sessions = Self::default();
        for id in (FIRST_SESSION..).take(count) {
            sessions.add(id);
        }
        sessions
    }

    pub(super) fn add(&mut self, id: i64) {
        self.0.insert(id, compliant(id));
    }

    /// Replaces the whole row, except the ID.
    pub(super) fn replace(&mut self, id: i64, raw_values: Map<String, Value>) {
        let raw_values = raw_values.into_iter().filter(|(key, _)| key != ID);
        self.0.insert(id, std::iter::once((ID.to_owned(), json!(id))).chain(raw_values).collect());
    }

    pub(super) fn set(&mut self, id: i64, setting: &str, value: Value) {
        let raw_values = self.0.entry(id).or_insert_with(|| compliant(id));
        match raw_values.iter_mut().find(|(key, _)| key == setting) {
            Some((_, old)) => *old = value,
            None => raw_values.push((setting.to_owned(), value)),
        }
    }

    pub(super) fn unset(&mut self, id: i64, setting: &str) {
        if let Some(raw_values) = self.0.get_mut(&id) {
            raw_values.retain(|(key, _)| key != setting);
        }
    }

    pub(super) fn remove(&mut self, id: i64) -> bool {
        self.0.remove(&id).is_some()
    }

    pub(super) fn ids(&self) -> Vec<i64> {
        self.0.keys().copied().collect()
    }

    pub(super) fn row(&self, id: i64) -> Option<&RawValues> {
        self.0.get(&id)
    }

    pub(super) fn rows(&self) -> Vec<RawValues> {
        self.0.values().cloned().collect()
    }
}

/// A session that complies with the built-in baseline.
fn compliant(id: i64) -> RawValues {
    let at = usize::try_from(id - FIRST_SESSION).ok();
    let shop = at.and_then(|at| SHOPS.get(at)).map_or_else(|| format!("shop-{id}"), |shop| (*shop).to_owned());
    let mut raw_values = vec![
        (ID.to_owned(), json!(id)),
        ("name".to_owned(), json!(format!("{shop}.myshopify.com"))),
        ("active".to_owned(), json!(true)),
        ("export".to_owned(), json!(false)),
        ("schedule".to_owned(), json!("Every 5 minutes")),
        ("notification_email".to_owned(), json!("integrations@acme.example")),
        ("transfer_type".to_owned(), json!("Web Service")),
        ("import_orders_as".to_owned(), json!("Shopify_Orders")),
    ];
    let ticked = [
        "use_delivery_method_system_tax_code",
        "use_cvariant_system_tax_code",
        "add_customer_contact",
        "add_delivery_address",
        "use_cvariant_stock_location",
        "override_variant_disallow",
        "customer_validation_1",
        "customer_validation_2",
        "customer_validation_3",
        "customer_validation_4",
    ];
    raw_values.extend(ticked.map(|key| (key.to_owned(), json!(true))));
    // Other columns of a customer's SQL, which no mapping covers: numbers, nulls, and the padding spaces of SQL Server.
    raw_values.extend([
        ("invalid_postcodes_as_paused".to_owned(), json!(false)),
        ("default_warehouse".to_owned(), json!("MAIN      ")),
        ("price_list_id".to_owned(), json!(3)),
        ("order_prefix".to_owned(), json!("SH")),
        ("deposit_percentage".to_owned(), json!(15.0)),
        ("default_analysis_code".to_owned(), Value::Null),
    ]);
    raw_values
}

/// Rows as JSON text. Without a map, which would sort the columns and lose equal keys.
pub(super) fn to_json(rows: &[RawValues]) -> String {
    let raw = |(key, value): &(String, Value)| format!("{}:{value}", Value::from(key.as_str()));
    let row = |raw_values: &RawValues| format!("{{{}}}", raw_values.iter().map(raw).collect::<Vec<_>>().join(","));
    format!("[{}]", rows.iter().map(row).collect::<Vec<_>>().join(","))
}
