//! The known settings: the kind of each, its label in OrderWise, and its place there.
//!
//! The labels and places are those of the public integration guide; a setting that is not listed is shown by its own name.

use super::reading::Kind;
use super::setting::SettingKey;

/// One setting of an e-commerce session as OrderWise presents it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CatalogueEntry {
    pub key: &'static str,
    pub kind: Kind,
    /// As it reads on the screen.
    pub label: &'static str,
    /// The way to it, from the menu.
    pub place: &'static str,
}

const GRID: &str = "E-Commerce > E-Commerce Sessions";
const IMPORT: &str = "E-Commerce > E-Commerce Sessions > the session > Import Setup";
const SETTINGS: &str = "E-Commerce > E-Commerce Sessions > the session > Settings";
const TAX: &str =
    "E-Commerce > E-Commerce Sessions > the session > Import Setup > Advanced Settings > Tax Configuration";
const CUSTOMER: &str =
    "E-Commerce > E-Commerce Sessions > the session > Import Setup > Advanced Settings > Customer Configuration";
const VARIANT: &str =
    "E-Commerce > E-Commerce Sessions > the session > Import Setup > Advanced Settings > Variant Configuration";
const VALIDATION: &str =
    "E-Commerce > E-Commerce Sessions > the session > Import Setup > Advanced Settings > Customer Validation";

/// The settings that the product knows by a stable key.
pub const ENTRIES: [CatalogueEntry; 13] = [
    CatalogueEntry { key: "name", kind: Kind::Text, label: "Name", place: GRID },
    CatalogueEntry { key: "active", kind: Kind::Flag, label: "Active", place: GRID },
    CatalogueEntry { key: "export", kind: Kind::Flag, label: "Export", place: GRID },
    CatalogueEntry { key: "schedule", kind: Kind::Interval, label: "Schedule", place: GRID },
    CatalogueEntry { key: "notification_email", kind: Kind::Addresses, label: "Notification email", place: GRID },
    CatalogueEntry { key: "transfer_type", kind: Kind::Choice, label: "Transfer Type", place: IMPORT },
    CatalogueEntry { key: "import_orders_as", kind: Kind::Text, label: "Import orders as", place: SETTINGS },
    CatalogueEntry {
        key: "use_delivery_method_system_tax_code",
        kind: Kind::Flag,
        label: "Use Delivery Method system tax code",
        place: TAX,
    },
    CatalogueEntry {
        key: "use_cvariant_system_tax_code",
        kind: Kind::Flag,
        label: "Use CVariant system tax code",
        place: TAX,
    },
    CatalogueEntry {
        key: "add_customer_contact",
        kind: Kind::Flag,
        label: "Add Customer Contact to existing customer if not found",
        place: CUSTOMER,
    },
    CatalogueEntry {
        key: "add_delivery_address",
        kind: Kind::Flag,
        label: "Add delivery address to existing customer if not found",
        place: CUSTOMER,
    },
    CatalogueEntry {
        key: "use_cvariant_stock_location",
        kind: Kind::Flag,
        label: "Use CVariant stock location if default is not available",
        place: VARIANT,
    },
    CatalogueEntry {
        key: "override_variant_disallow",
        kind: Kind::Flag,
        label: "Override Variant Disallow setting",
        place: VARIANT,
    },
];

/// The prefix of the Customer Validation options, of which public material gives the number (four) and not the names.
pub const CUSTOMER_VALIDATION: &str = "customer_validation_";

/// The entry of `setting`; also of the group pattern `customer_validation_*` and its members.
pub fn find(setting: &SettingKey) -> Option<CatalogueEntry> {
    if setting.folded().starts_with(CUSTOMER_VALIDATION) {
        let key = "customer_validation_*";
        return Some(CatalogueEntry { key, kind: Kind::Flag, label: "Customer Validation", place: VALIDATION });
    }
    ENTRIES.into_iter().find(|entry| entry.key == setting.folded())
}

/// The label that people see in OrderWise, or the setting's own name. A member of a group keeps its name beside the label.
pub fn label(setting: &SettingKey) -> String {
    match find(setting) {
        Some(entry) if entry.key == "customer_validation_*" && setting.folded() != entry.key => {
            format!("{} ({setting})", entry.label)
        }
        Some(entry) => entry.label.to_owned(),
        None if setting.as_str() == "*" => String::from("Other options"),
        None => setting.to_string(),
    }
}

/// The kind of a setting that the configuration says nothing about.
pub fn kind(setting: &SettingKey) -> Kind {
    find(setting).map_or(Kind::Text, |entry| entry.kind)
}
