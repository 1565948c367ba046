//! The dashboard asks for what a scrape has. That the scrape is one is seen to by `examples/metrics`.

use std::collections::BTreeSet;
use std::path::Path;

fn grafana(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/grafana").join(name)).unwrap()
}

fn is_of_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

/// The words of ours, each with what stands behind it.
fn words(text: &str) -> impl Iterator<Item = (&str, char)> {
    let is_ours = |word: &&str| word.starts_with("annals_") || word.starts_with("messaging_");
    text.split(|letter| !is_of_word(letter)).filter(is_ours).map(move |word| {
        let end = word.as_ptr() as usize - text.as_ptr() as usize + word.len();
        (word, text[end..].chars().next().unwrap_or(' '))
    })
}

#[test]
fn every_metric_and_label_that_the_dashboard_names_is_in_the_scrape() {
    let (dashboard, scrape) = (grafana("annals.json"), grafana("scrape.txt"));
    let series = || scrape.lines().filter(|line| !line.starts_with('#'));
    let of_scrape: BTreeSet<_> =
        series().flat_map(words).filter(|(_, next)| *next != '=').map(|(word, _)| word).collect();
    let labels: BTreeSet<_> =
        series().flat_map(words).filter(|(_, next)| *next == '=').map(|(word, _)| word).collect();
    let asked: Vec<_> =
        dashboard.lines().filter(|line| line.contains("\"expr\"") || line.contains("legendFormat")).collect();
    let metrics: BTreeSet<_> = asked
        .iter()
        .flat_map(|line| words(line))
        .filter(|(_, next)| *next == '{')
        .map(|(word, _)| word)
        .collect();
    let named: BTreeSet<_> = asked
        .iter()
        .flat_map(|line| words(line))
        .filter(|(_, next)| *next != '{')
        .map(|(word, _)| word)
        .collect();
    assert!(
        metrics.len() > 20 && named.len() > 3 && of_scrape.len() > 30,
        "{metrics:?} {named:?} {of_scrape:?}"
    );
    let missing: Vec<_> = metrics.difference(&of_scrape).chain(named.difference(&labels)).collect();
    assert!(missing.is_empty(), "the scrape has no {missing:?}");
    assert!(of_scrape.contains("annals_appended_records"), "the list of jobs is made of it");
}

#[test]
fn every_gauge_and_counter_of_the_scrape_is_in_the_document() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/figures.md");
    let document = std::fs::read_to_string(path).unwrap();
    for line in grafana("scrape.txt").lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, _) = line.split_once(' ').unwrap();
        let (dots, counter) = (name.replace('_', "."), name.trim_start_matches("annals_"));
        let short = dots.strip_prefix("annals.partition").map(|rest| format!("`{rest}`"));
        let is_there = document.contains(&dots)
            || document.contains(&format!("`{counter}`"))
            || short.is_some_and(|short| document.contains(&short));
        assert!(is_there, "{name}");
    }
}
