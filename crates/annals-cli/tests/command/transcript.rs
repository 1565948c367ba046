//! Commands and what they print, as a document shows them: a `console` block with lines that begin with `$ `.
//!
//! All blocks of a document run in one temporary directory, in order, with the store `shop-log`. What differs from run to run is
//! replaced: the directory by `DIR`, ids by `ID`, times near now by `NOW`, milliseconds taken by `N`. A status other than 0 stands in
//! a last line.

use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

/// The document again, with what its commands print now.
pub(crate) fn run(document: &str, dir: &Path) -> String {
    let mut again = String::new();
    let mut lines = document.lines().peekable();
    let mut is_console = false;
    while let Some(line) = lines.next() {
        if line.starts_with("```") {
            is_console = line == "```console";
            push(&mut again, line);
        } else if is_console {
            let Some(command) = line.strip_prefix("$ ") else { continue };
            push(&mut again, line);
            let mut command = command.to_owned();
            while command.ends_with('\\') {
                let more = lines.next().expect("a line that ends with a backslash goes on");
                push(&mut again, more);
                command = format!("{command}\n{more}");
            }
            output(&command, dir).lines().for_each(|line| push(&mut again, line));
        } else {
            push(&mut again, line);
        }
    }
    again
}

fn push(to: &mut String, line: &str) {
    to.push_str(line);
    to.push('\n');
}

/// Where the binary lies.
pub(crate) fn path_with_binary() -> String {
    let binary = Path::new(env!("CARGO_BIN_EXE_annals")).parent().expect("a directory");
    format!("{}:{}", binary.display(), std::env::var("PATH").unwrap_or_default())
}

fn output(command: &str, dir: &Path) -> String {
    let done = Command::new("sh")
        .args(["-c", &format!("exec 2>&1\n{command}")])
        .current_dir(dir)
        .env("PATH", path_with_binary())
        .env("ANNALS_STORE", "shop-log")
        .env_remove("NO_COLOR")
        .output()
        .expect("sh runs");
    let mut text = String::from_utf8_lossy(&done.stdout).into_owned();
    if !done.status.success() {
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text += &format!(
            "[status {}]\n",
            done.status.code().map_or("signal".to_owned(), |code| code.to_string())
        );
    }
    let real = dir.canonicalize().expect("the directory is there");
    let text = text.replace(&*real.to_string_lossy(), "DIR").replace(&*dir.to_string_lossy(), "DIR");
    text.lines().map(|line| settled(line) + "\n").collect()
}

/// A line without what differs from run to run.
fn settled(line: &str) -> String {
    let mut out = String::new();
    let mut word = String::new();
    let end = |word: &mut String, out: &mut String| {
        out.push_str(&settled_word(word));
        word.clear();
    };
    for letter in line.chars() {
        if letter.is_ascii_alphanumeric() {
            word.push(letter);
        } else {
            end(&mut word, &mut out);
            out.push(letter);
        }
    }
    end(&mut word, &mut out);
    settled_times(&out)
}

fn settled_word(word: &str) -> String {
    if word.len() == 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return "ID".to_owned();
    }
    match word.parse::<u128>() {
        Ok(number) if word.len() == 13 && now().abs_diff(number) < 86_400_000 => "NOW".to_owned(),
        _ => word.to_owned(),
    }
}

/// Times of today and lengths of time.
fn settled_times(line: &str) -> String {
    let mut line = line.to_owned();
    let days = now() / 86_400_000;
    for day in [days - 1, days, days + 1] {
        let date = date(i64::try_from(day).expect("a day"));
        while let Some(at) = line.find(&format!("{date}T")) {
            let end = line[at..].find('Z').map_or(line.len(), |end| at + end + 1);
            line.replace_range(at..end, "NOW");
        }
    }
    for name in ["\"milliseconds\":", "\"age_milliseconds\":"] {
        if let Some(at) = line.find(name) {
            let from = at + name.len();
            let end =
                line[from..].find(|letter: char| !letter.is_ascii_digit()).map_or(line.len(), |n| from + n);
            line.replace_range(from..end, "0");
        }
    }
    line
}

fn now() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis()
}

/// `2026-11-29`, so many days after 1970.
fn date(days: i64) -> String {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[test]
fn what_differs_from_run_to_run_is_replaced() {
    assert_eq!(settled("TopicId: a30099e13f592722d583d779e20a7d45  Configs"), "TopicId: ID  Configs");
    assert_eq!(settled(&format!("at {}, 1700000000000", now())), "at NOW, 1700000000000");
    assert_eq!(date(20_786), "2026-11-29");
    let today = date(i64::try_from(now() / 86_400_000).unwrap());
    assert_eq!(settled(&format!("a  {today}T06:50:30.384Z  b")), "a  NOW  b");
    assert_eq!(settled("{\"milliseconds\":17,\"x\":1}"), "{\"milliseconds\":0,\"x\":1}");
}
