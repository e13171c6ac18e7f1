//! The answer of an OrderWise export, as both benchmarks read it.

use std::fmt::Write as _;

/// A row for each session: its id, whether Export is ticked, and the prefix of its orders.
#[expect(clippy::unwrap_used, reason = "a string takes everything")]
pub fn rows(sessions: impl Iterator<Item = (usize, bool, String)>) -> String {
    let mut text = String::from("[");
    for (id, export, prefix) in sessions {
        write!(
            text,
            "{{\"session_id\":{id},\"name\":\"shop-{id}.myshopify.com\",\"active\":true,\"export\":{export},\
             \"schedule\":\"Every 5 minutes\",\"notification_email\":\"integrations@acme.example\",\
             \"transfer_type\":\"Web Service\",\"import_orders_as\":\"Shopify_Orders\",\
             \"use_delivery_method_system_tax_code\":true,\"use_cvariant_system_tax_code\":true,\
             \"add_customer_contact\":true,\"add_delivery_address\":true,\"use_cvariant_stock_location\":true,\
             \"override_variant_disallow\":true,\"customer_validation_1\":true,\"customer_validation_2\":true,\
             \"customer_validation_3\":true,\"customer_validation_4\":true,\"invalid_postcodes_as_paused\":false,\
             \"default_warehouse\":\"MAIN      \",\"price_list_id\":3,\"order_prefix\":\"{prefix}\",\
             \"deposit_percentage\":15.0,\"default_analysis_code\":null}},"
        )
        .unwrap();
    }
    text.pop();
    text.push(']');
    text
}
