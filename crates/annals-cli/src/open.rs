//! Opening a store, and closing it whatever happened meanwhile.

use std::path::{Path, PathBuf};

use annals::backup::Backup;
use annals::report::RecoveryReport;
use annals::{Error, Store, StoreReader, TopicView};

use crate::arguments::Arguments;
use crate::failure::{Failure, Outcome, both};
use crate::show::{Object, Screen};

/// The directory that was named.
pub(crate) fn directory(arguments: &Arguments) -> Outcome<PathBuf> {
    let named = arguments.store.clone().filter(|path| !path.as_os_str().is_empty());
    named.ok_or_else(|| Failure::Usage("which store? give --store DIR, or set ANNALS_STORE".to_owned()))
}

/// Refuses a directory that holds no store. One that has lost its list of topics does: the library says what is wrong with it.
pub(crate) fn require_store(path: &Path) -> Outcome {
    let list = path.join("annals.topics");
    let is_partition = |entry: std::fs::DirEntry| entry.path().join("annals.state").is_file();
    match std::fs::metadata(&list) {
        Ok(_) => Ok(()),
        Err(error)
            if error.kind() == std::io::ErrorKind::NotFound
                && std::fs::read_dir(path).into_iter().flatten().flatten().any(is_partition) =>
        {
            Ok(())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Failure::no_store(path)),
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => Err(Failure::no_store(path)),
        Err(error) => Err(Failure::at("look at", &list, error)),
    }
}

/// The same for what works on a store that cannot be opened, its list of topics gone, too: one is where the files of partitions are.
pub(crate) fn require_files(path: &Path) -> Outcome {
    let is_partition = |entry: std::fs::DirEntry| {
        let files = std::fs::read_dir(entry.path()).into_iter().flatten().flatten();
        let mut names = files.map(|file| file.file_name());
        names.any(|name| {
            name == "annals.state" || Path::new(&name).extension().is_some_and(|kind| kind == "log")
        })
    };
    match require_store(path) {
        Err(Failure::Missing(_))
            if std::fs::read_dir(path).into_iter().flatten().flatten().any(is_partition) =>
        {
            Ok(())
        }
        outcome => outcome,
    }
}

/// What another version wrote is not damaged: an error where nothing could be looked at for that.
pub(crate) fn newer_is_left_alone(path: &Path) -> Outcome {
    match Store::open_read_only(path) {
        Err(error @ Error::UnsupportedFormat { .. }) => Err(error.into()),
        _ => Ok(()),
    }
}

/// Opens a backup.
pub(crate) fn open_backup(path: &Path) -> Outcome<Backup> {
    match std::fs::metadata(path.join("annals.backup")) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let words = "is no backup, or one that was not finished: there is no file annals.backup in it";
            Err(Failure::Missing(format!("{} {words}", path.display())))
        }
        _ => Ok(Backup::open(path)?),
    }
}

/// Opens the store to write to it, has `act` work with it, and closes it. The first failure counts.
pub(crate) fn with_store(arguments: &Arguments, act: impl FnOnce(&Store) -> Outcome) -> Outcome {
    let path = directory(arguments)?;
    require_store(&path)?;
    let store = Store::open(&path)?;
    let outcome = act(&store);
    both(outcome, store.close().map_err(Failure::from))
}

/// The same; the store is made if there is none, and that is said at once: it stays whatever `act` does.
pub(crate) fn with_made_store(
    arguments: &Arguments,
    screen: &mut Screen,
    act: impl FnOnce(&Store, &mut Screen) -> Outcome,
) -> Outcome {
    let path = directory(arguments)?;
    let is_new = require_store(&path).is_err();
    let store = Store::open(&path)?;
    let place = store.path().display();
    let object = || Object::new("done").text("action", "make_store").text("name", &place.to_string());
    let told = if is_new { screen.either(object, format_args!("Made a store in {place}.")) } else { Ok(()) };
    let outcome = told.and_then(|()| act(&store, screen));
    both(outcome, store.close().map_err(Failure::from))
}

/// How long a verb reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// It ends by itself: nobody opens the store to write to it meanwhile.
    Short,
    /// Until the user ends it: it is in nobody's way.
    Long,
}

/// Opens the store to read it, whoever writes to it: not a byte of its records changes.
pub(crate) fn with_reader(arguments: &Arguments, act: impl FnOnce(&StoreReader) -> Outcome) -> Outcome {
    act(&open_reader(arguments, Reading::Short)?)
}

/// The same for what is to show all topics: those that it cannot are named after it.
pub(crate) fn with_all_topics(arguments: &Arguments, act: impl FnOnce(&StoreReader) -> Outcome) -> Outcome {
    with_reader(arguments, |store| act(store).and_then(|()| all_are_seen(store)))
}

/// The same as [`all_are_open`] for a reader. One that is attached looks at a topic when that is first needed.
pub(crate) fn all_are_seen(store: &StoreReader) -> Outcome {
    all_are_open(store)?;
    let topics = store.topics();
    let unseen = topics.iter().filter_map(|topic| Some((topic.name().to_owned(), unseen(topic)?)));
    let unseen: Vec<_> = unseen.collect();
    if unseen.is_empty() { Ok(()) } else { Err(Failure::LeftOut(unseen)) }
}

/// Why nothing is to be seen of a topic that is listed: its files are damaged, or the process that has the store does not show it.
pub(crate) fn unseen(topic: &TopicView) -> Option<Error> {
    topic.stats().err().filter(|error| !matches!(error, Error::UnknownTopic { .. }))
}

/// An error that names the topics that could not be opened: they are in no list, and have no figures.
pub(crate) fn all_are_open(store: &dyn Opened) -> Outcome {
    let mut closed: Vec<(String, Error)> = Vec::new();
    for report in store.found().iter().filter(|report| report.failure.is_some()) {
        let name = report.topic_partition.topic();
        // Directories that nobody lists are in the reports, too.
        match store.why_closed(name) {
            None | Some(Error::UnknownTopic { .. }) => {}
            Some(error) if closed.iter().all(|(other, _)| other != name) => {
                closed.push((name.to_owned(), error));
            }
            Some(_) => {}
        }
    }
    if closed.is_empty() { Ok(()) } else { Err(Failure::LeftOut(closed)) }
}

/// What has looked at all topics.
pub(crate) trait Opened {
    fn found(&self) -> &[RecoveryReport];
    /// `None` for a topic that is open.
    fn why_closed(&self, topic: &str) -> Option<Error>;
}

impl Opened for Store {
    fn found(&self) -> &[RecoveryReport] {
        self.recovery()
    }

    fn why_closed(&self, topic: &str) -> Option<Error> {
        self.topic(topic).err()
    }
}

impl Opened for StoreReader {
    fn found(&self) -> &[RecoveryReport] {
        self.recovery()
    }

    fn why_closed(&self, topic: &str) -> Option<Error> {
        self.topic(topic).err()
    }
}

pub(crate) fn open_reader(arguments: &Arguments, reading: Reading) -> Outcome<StoreReader> {
    let path = directory(arguments)?;
    require_store(&path)?;
    if reading == Reading::Long
        && let Ok(attached) = StoreReader::attach(&path)
    {
        return Ok(attached);
    }
    match Store::open_read_only(&path) {
        // Where its owner shows nothing of it, that it is in use is what there is to say.
        Err(in_use @ Error::StoreInUse { .. }) => match StoreReader::attach(&path) {
            Err(Error::StoreInUse { .. } | Error::Io { .. }) => Err(in_use.into()),
            attached => Ok(attached?),
        },
        opened => Ok(opened?),
    }
}
