//! The table of objects in `docs/command.md`, and whether an object is one of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

/// The members of each type.
pub(crate) fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/command.md");
    let text = std::fs::read_to_string(path).expect("the document is there");
    let (_, table) = text.split_once("| type | members | printed by |").expect("the table is there");
    let mut types = BTreeMap::new();
    for line in table.lines().skip(2).take_while(|line| line.starts_with('|')) {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let names =
            |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<BTreeSet<_>>();
        let kind = cells[1].trim_matches('`').to_owned();
        types.insert(kind, names(cells[2]));
    }
    assert!(types.len() > 25, "{types:?}");
    types
}

/// What is wrong with a line that should be one of the documented objects; its type otherwise.
pub(crate) fn check(line: &str, documented: &BTreeMap<String, BTreeSet<String>>) -> Result<String, String> {
    let object: Value = serde_json::from_str(line).map_err(|error| format!("{error}: {line}"))?;
    let object = object.as_object().ok_or_else(|| format!("no object: {line}"))?;
    let kind = object.get("type").and_then(Value::as_str).ok_or_else(|| format!("no type: {line}"))?;
    let members = documented.get(kind).ok_or_else(|| format!("{kind} is not documented: {line}"))?;
    let found: BTreeSet<String> = object
        .keys()
        .filter(|name| *name != "type" && !(kind == "record" && *name == "words"))
        .map(|name| name.strip_suffix("_hex").unwrap_or(name).to_owned())
        .collect();
    if found == *members { Ok(kind.to_owned()) } else { Err(format!("{kind} has not its members: {line}")) }
}

#[test]
fn an_object_with_other_members_is_noticed() {
    let documented = documented();
    let good = r#"{"type":"done","action":"create","name":"orders"}"#;
    assert_eq!(check(good, &documented), Ok("done".to_owned()));
    for wrong in [
        r#"{"type":"done","action":"create"}"#,
        r#"{"type":"done","action":"create","name":"orders","more":1}"#,
        r#"{"type":"nothing"}"#,
        r#"{"action":"create","name":"orders"}"#,
        "[]",
    ] {
        assert!(check(wrong, &documented).is_err(), "{wrong}");
    }
}
