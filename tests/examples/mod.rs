//! The examples do what their first lines say.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

#[path = "../../examples/generate.rs"]
#[expect(dead_code, reason = "an example is a program; the test calls one function of it")]
mod generate;

/// Every file below a folder, by its path from there.
fn files(dir: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for topic in fs::read_dir(dir).expect("a folder of topics") {
        let topic = topic.expect("an entry").path();
        for partition in fs::read_dir(&topic).expect("a folder of partitions") {
            let path = partition.expect("an entry").path();
            let name = path.strip_prefix(dir).expect("below the folder").display().to_string();
            found.insert(name, fs::read_to_string(path).expect("a text file"));
        }
    }
    found
}

#[test]
fn the_committed_events_are_those_the_generator_writes() {
    let dir = tempfile::tempdir().expect("a folder");
    generate::write_small(dir.path()).expect("the events are written");
    assert_eq!(files(dir.path()), files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/events")));
}
