//! A store does what every backend does.

use annals::Durability;
use annals_port::Embedded;
use annals_port::conformance::{Failure, checks};

fn conforms(durability: Durability) -> Result<(), Failure> {
    let dir = tempfile::tempdir()?;
    let kafka = Embedded::open(dir.path())?.durability(durability);
    for check in checks::<Embedded>() {
        (check.run)(&kafka, "run").map_err(|failure| format!("{}: {failure}", check.name))?;
    }
    Ok(())
}

#[test]
fn a_store_conforms() -> Result<(), Failure> {
    conforms(Durability::Os)
}

#[test]
fn a_store_conforms_at_disk() -> Result<(), Failure> {
    conforms(Durability::Disk)
}
