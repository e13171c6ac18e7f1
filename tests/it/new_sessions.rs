//! `sessions --format yaml`: the lines that add the unaudited sessions of a source to the configuration.

use driftwise::simulator::Simulator;
use serde_json::Value;

use crate::support::edit::replaced;
use crate::world::{Setup, World};

/// Names that YAML would read as something else, or that contain a variable.
const NAMES: [&str; 6] = ["yes: no", "true", "# shop", "${HOME} $$", "\"quoted\" 'twice'", "Ünïcode – shop"];

fn world() -> World {
    let world = World::with(Simulator::new(NAMES.len() + 1), &Setup::default());
    for (id, name) in (15..).zip(NAMES) {
        world.simulator.set(id, "name", name);
    }
    world
}

/// Includes the lines in the configuration, and returns the names of all sessions that are then audited.
#[track_caller]
fn audited(world: &World) -> Vec<String> {
    let lines = world.run(&["sessions", "--source", "erp", "--format", "yaml"]).expect(0).out;
    std::fs::write(world.path("more.yaml"), &lines).unwrap();
    let text = std::fs::read_to_string(world.path("driftwise.yaml")).unwrap();
    std::fs::write(world.path("driftwise.yaml"), format!("include: [more.yaml]\n{text}")).unwrap();
    let valid = world.run(&["validate"]);
    assert_eq!(valid.code, Some(0), "{}\n{lines}", valid.err);
    let json = world.run(&["check", "--format", "json"]).json();
    json["sessions"].as_array().unwrap().iter().map(|session| session["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_lines_add_every_session_under_its_name() {
    let world = world();
    let names = audited(&world);
    assert_eq!(names.len(), NAMES.len() + 1);
    for name in NAMES {
        assert!(names.iter().any(|audited| audited == name), "{name}: {names:?}");
    }
    let none = world.run(&["sessions", "--source", "erp", "--format", "yaml"]).expect(0).out;
    assert_eq!(none, "# The configuration audits every session of erp.\nsessions: []\n");
}

#[test]
fn without_a_fallback_the_address_that_the_source_has_becomes_the_owner() {
    let world = world();
    world.simulator.set(15, "notification_email", Value::Null);
    let text = std::fs::read_to_string(world.path("driftwise.yaml")).unwrap();
    let text = replaced(&text, "fallback: [ops@integrator.example], ", "");
    std::fs::write(world.path("driftwise.yaml"), text).unwrap();
    let lines = world.run(&["sessions", "--source", "erp", "--format", "yaml"]).expect(0).out;
    assert!(
        lines.contains("owners: [\"integrations@acme.example\"] # its notification address in the source\n"),
        "{lines}"
    );
    assert_eq!(lines.matches("# owners: [ADDRESS] # who is notified\n").count(), 1, "{lines}");
    assert_eq!(audited(&world).len(), NAMES.len() + 1);
}
