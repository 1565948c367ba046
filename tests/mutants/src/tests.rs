//! What becomes of a source, mutant by mutant.
#![expect(clippy::unwrap_used, reason = "tests")]

use crate::list::{Genre, Mutant, Position, Span};
use crate::places::Places;
use crate::rewrite::{Owner, Refused, owner, rewrite};
use crate::sites::Sites;

/// A mutant of the first line of a text, in which `[` and `]` stand around what is replaced.
fn mutant(marked: &str, genre: Genre, replacement: &str) -> (String, Mutant) {
    let start = marked.find('[').unwrap();
    let end = marked.find(']').unwrap() - 1;
    let at = |column: usize| Position { line: 1, column: column + 1 };
    let mutant = Mutant {
        name: marked.to_owned(),
        file: "src/area/noun.rs".to_owned(),
        genre,
        replacement: replacement.to_owned(),
        span: Span { start: at(start), end: at(end) },
    };
    (marked.replace(['[', ']'], ""), mutant)
}

/// The text with these mutants in it, all of the same text, without the comments.
fn rewritten(of: &[(&str, Genre, &str)]) -> (String, Sites) {
    let (texts, mutants): (Vec<_>, Vec<_>) = of.iter().map(|(marked, g, r)| mutant(marked, *g, r)).unzip();
    let mut sites = Sites::default();
    let places = Places::of(&texts[0]).unwrap();
    let all: Vec<_> = (0..mutants.len()).collect();
    sites.add_file(&texts[0], &places, &mutants, &all).unwrap();
    let out = rewrite("src/area/noun.rs", &texts[0], &sites, &Refused::default());
    let mut plain = String::new();
    for part in out.split("/*") {
        plain.push_str(part.split_once("*/").map_or(part, |(_, rest)| rest));
    }
    (plain, sites)
}

#[test]
fn a_changed_operator_groups_as_the_text_does() {
    let (out, _) = rewritten(&[("fn f() { a - b [*] c; }", Genre::BinaryOperator, "+")]);
    assert_eq!(out, "fn f() { (match crate::mutant::at(0) { 0 => (a - b * c), _ => (a - b + c) }); }");
}

#[test]
fn the_unchanged_form_alone_holds_the_switches_inside() {
    let (out, _) = rewritten(&[
        ("fn f() { a [&&] g(!b); }", Genre::BinaryOperator, "||"),
        ("fn f() { a && g([!]b); }", Genre::UnaryOperator, ""),
    ]);
    let inner = "(match crate::mutant::at(1) { 0 => (!b), _ => (b) })";
    let outer =
        format!("fn f() {{ (match crate::mutant::at(0) {{ 0 => (a && g({inner})), _ => (a || g(!b)) }}); }}");
    assert_eq!(out, outer);
}

#[test]
fn two_changes_of_a_body_are_one_site() {
    let (out, _) = rewritten(&[
        ("fn f() -> u8 { [a] }", Genre::FnValue, "0"),
        ("fn f() -> u8 { [a] }", Genre::FnValue, "1"),
    ]);
    let switch = "match crate::mutant::at(0) { 0 => {}, 1 => return (0), _ => return (1) }";
    assert_eq!(out, format!("fn f() -> u8 {{{switch} a }}"));
}

#[test]
fn conditions_beside_a_let_are_switched_one_by_one() {
    let (out, sites) = rewritten(&[
        ("fn f() { if let A = x && b [==] c && d {} }", Genre::BinaryOperator, "!="),
        ("fn f() { if let A = x [&&] b == c && d {} }", Genre::BinaryOperator, "||"),
        ("fn f() { if let A = x && b == c [&&] d {} }", Genre::BinaryOperator, "||"),
    ]);
    let switch = "(match crate::mutant::at(0) { 0 => (b == c), _ => (b != c) })";
    assert_eq!(out, format!("fn f() {{ if let A = x && {switch} && d {{}} }}"));
    assert_eq!(sites.nonsense.into_iter().collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn what_is_evaluated_while_compiling_is_left_alone() {
    for marked in [
        "const A: u8 = 1 [<<] 2;",
        "const fn f() -> u8 { 1 [<<] 2 }",
        "enum A { B = 1 [<<] 2 }",
        "fn f() { g::<{ 1 [<<] 2 }>() }",
    ] {
        let (out, sites) = rewritten(&[(marked, Genre::BinaryOperator, ">>")]);
        assert_eq!(out, marked.replace(['[', ']'], ""));
        assert!(sites.fixed.contains(&0), "{marked}");
    }
}

#[test]
fn an_arm_is_deleted_by_a_guard_and_a_guard_replaced() {
    let text = "fn f() { match x { A => 1, B if y => 2, _ => 3 } }";
    let (out, _) = rewritten(&[
        (&text.replace("A => 1,", "[A => 1,]"), Genre::MatchArm, ""),
        (&text.replace("if y", "if [y]"), Genre::MatchArmGuard, "true"),
    ]);
    assert!(out.contains("A if crate::mutant::at(0) == 0  => 1,"), "{out}");
    assert!(out.contains("B if (match crate::mutant::at(1) { 0 => (y), _ => (true) }) => 2"), "{out}");
}

#[test]
fn an_error_belongs_to_the_innermost_text_around_it() {
    let text = "a /*s3*/b /*m7*/c/*m*/ d/*s*/ e";
    let of = |what: &str| owner(text, text.find(what).unwrap());
    assert_eq!(of("a"), Owner::Nobody);
    assert_eq!(of("b"), Owner::Site(3));
    assert_eq!(of("c"), Owner::Mutant(7));
    assert_eq!(of("d"), Owner::Site(3));
    assert_eq!(of("e"), Owner::Nobody);
}
