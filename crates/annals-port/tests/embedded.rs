//! A store does what every backend does.

use annals::Durability;
use annals_port::{Embedded, conformance};

fn conforms(durability: Durability) {
    let dir = tempfile::tempdir().unwrap();
    let kafka = Embedded::open(dir.path()).unwrap().durability(durability);
    for check in conformance::checks::<Embedded>() {
        let outcome = (check.run)(&kafka, "run");
        assert!(outcome.is_ok(), "{durability:?}, {}: {}", check.name, outcome.unwrap_err());
    }
}

#[test]
fn a_store_conforms() {
    conforms(Durability::Os);
}

#[test]
fn a_store_conforms_at_disk() {
    conforms(Durability::Disk);
}
