//! A daemon that audits a file of sessions with names and values of every kind that breaks a page.

use std::fmt::Write as _;
use std::fs;

use tempfile::TempDir;

use crate::support::program::Daemon;

/// The columns of the file.
const COLUMNS: &str = "session_id,name,active,export,schedule,notification_email,transfer_type,import_orders_as,use_delivery_method_system_tax_code,use_cvariant_system_tax_code,add_customer_contact,add_delivery_address,use_cvariant_stock_location,override_variant_disallow,customer_validation_1,customer_validation_2,customer_validation_3,customer_validation_4";

/// Audited sessions; the next one is not audited.
const SESSIONS: usize = 60;

pub struct Shop {
    folder: TempDir,
    pub daemon: Daemon,
}

impl Shop {
    /// Sixty sessions, one of them drifted, and a source that cannot be read.
    pub fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        write(path, false);
        let mut config = format!(
            "sources:\n  grid: {{ type: file, path: grid.csv }}\n  {}: {{ type: file, path: gone.csv }}\nsessions:\n",
            "s".repeat(64)
        );
        for id in 1..=SESSIONS {
            writeln!(config, "  - {{ source: grid, id: {id} }}").unwrap();
        }
        writeln!(config, "  - {{ source: grid, id: {} }}", "i".repeat(64)).unwrap();
        writeln!(config, "  - {{ source: {}, id: {} }}", "s".repeat(64), "9".repeat(64)).unwrap();
        config += "defaults: { session: { schedule: '* * * * * *', params: { notification_email: it@acme.example } } }\n\
                   email: { from: d@acme.example, spool: ./mail }\nserver: { listen: 127.0.0.1:0 }\n";
        fs::write(path.join("driftwise.yaml"), config).unwrap();
        let daemon = Daemon::start(path, &[]);
        daemon.first_poll();
        Self { folder, daemon }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.daemon.address)
    }

    /// Makes session 60 export, or no longer.
    pub fn export(&self, ticked: bool) {
        write(self.folder.path(), ticked);
    }
}

fn write(folder: &std::path::Path, last_exports: bool) {
    let mut grid = String::from(COLUMNS);
    for id in 1..=SESSIONS + 1 {
        let (name, schedule, mail) = match id {
            1 => ("<script>document.title = 'taken'</script>".to_owned(), "5", "it@acme.example".to_owned()),
            2 => ("x".repeat(300), "Whenever it rains", "it@acme.example".to_owned()),
            3 => ("many words ".repeat(30), "5", format!("{}@elsewhere.example", "long".repeat(60))),
            4 => ("متجر العربية \u{202e}evil".to_owned(), "1 hour", "it@acme.example".to_owned()),
            id => (format!("shop-{id}.example"), "5", "it@acme.example".to_owned()),
        };
        let export = id == 1 || (id == SESSIONS && last_exports);
        write!(grid, "\n{id},\"{name}\",1,{export},{schedule},{mail},Web Service,Shopify,1,1,1,1,1,1,1,1,1,1").unwrap();
    }
    let fresh = folder.join("fresh.csv");
    fs::write(&fresh, grid).unwrap();
    fs::rename(fresh, folder.join("grid.csv")).unwrap();
}
