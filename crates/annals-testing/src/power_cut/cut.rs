//! What a power cut may leave of a disk.

#![expect(clippy::indexing_slicing, reason = "places that were counted before")]

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::Random;
use super::disk::{DirectoryNode, Disk, FileNode, Node, Piece};

/// One decision of a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// A piece of a unit that was written but not synced.
    Piece,
    /// The length of a file: the durable one, or one of so many that it has had since.
    Length(usize),
    /// A change of a name. It is lost when an earlier change of the same name is.
    Name,
}

/// The outcome of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It never happened.
    Lost,
    /// It happened; for a length, the one of that number.
    Kept(usize),
    /// There are zeros instead.
    Zeros,
    /// There are arbitrary bytes instead, by this seed.
    Garbage(u64),
    /// Only the first bytes of the piece are there.
    Part(u64),
}

/// Returns everything that a power cut now would decide about a disk.
pub fn points(disk: &Disk) -> Vec<Point> {
    let mut points = Vec::new();
    for node in disk.nodes() {
        match &**node {
            Node::File(file) => {
                points.extend(file.pieces.iter().map(|_| Point::Piece));
                points.extend(Some(file.lengths.len()).filter(|count| *count > 0).map(Point::Length));
            }
            Node::Directory(directory) => points.extend(directory.changes.iter().map(|_| Point::Name)),
        }
    }
    points
}

/// Returns the states that differ in what is lost and what is kept, or `None` when there are more than `most`.
pub fn all_fates(points: &[Point], most: usize) -> Option<Vec<Vec<Fate>>> {
    let ways = |point: &Point| if let Point::Length(count) = point { count + 1 } else { 2 };
    let count = points.iter().try_fold(1_usize, |product, point| product.checked_mul(ways(point)))?;
    if count > most {
        return None;
    }
    let plan = |mut number: usize| {
        let fate = |point: &Point| {
            let way = number % ways(point);
            number /= ways(point);
            way.checked_sub(1).map_or(Fate::Lost, Fate::Kept)
        };
        points.iter().map(fate).collect()
    };
    Some((0..count).map(plan).collect())
}

/// Returns state `number` of those drawn: all lost, all kept, one lost, one kept, then at random, also damaged.
pub fn drawn_fates(points: &[Point], number: usize, random: &mut Random) -> Vec<Fate> {
    let kept = |point: &Point| Fate::Kept(if let Point::Length(count) = point { count - 1 } else { 0 });
    let count = points.len();
    if number == 0 {
        return vec![Fate::Lost; count];
    }
    if number == 1 {
        return points.iter().map(kept).collect();
    }
    if number < 2 + 2 * count {
        let (one, loses) = ((number - 2) / 2, number.is_multiple_of(2));
        let fate = |(at, point)| if (at == one) == loses { Fate::Lost } else { kept(point) };
        return points.iter().enumerate().map(fate).collect();
    }
    let (loss, damage) = (1 + random.below(9), random.below(3) * 2);
    points.iter().map(|point| fate(*point, loss, damage, random)).collect()
}

fn fate(point: Point, loss: u64, damage: u64, random: &mut Random) -> Fate {
    if let Point::Length(count) = point {
        let way = random.below(count as u64 + 1);
        return usize::try_from(way).ok().and_then(|way| way.checked_sub(1)).map_or(Fate::Lost, Fate::Kept);
    }
    if point == Point::Piece && random.below(10) < damage {
        let seed = random.below(u64::MAX >> 11);
        return [Fate::Zeros, Fate::Garbage(seed), Fate::Part(seed)][index(seed, 3)];
    }
    if random.below(10) < loss { Fate::Lost } else { Fate::Kept(0) }
}

/// Returns the disk after a power cut with these outcomes.
pub fn cut(disk: &Disk, fates: &[Fate]) -> Disk {
    let mut fates = fates.iter().copied();
    disk.map(|node| match &**node {
        Node::File(file) if file.is_synced() && !file.lies && file.sealed == 0 => Arc::clone(node),
        Node::File(file) => Arc::new(Node::File(cut_file(file, &mut fates))),
        Node::Directory(directory) if directory.changes.is_empty() => Arc::clone(node),
        Node::Directory(directory) => Arc::new(Node::Directory(cut_directory(directory, &mut fates))),
    })
}

fn cut_file(file: &FileNode, fates: &mut impl Iterator<Item = Fate>) -> FileNode {
    let mut image = Arc::clone(&file.durable);
    let mut len = image.len();
    for piece in &file.pieces {
        if let Some(piece) = survivor(piece, fates.next().unwrap_or(Fate::Lost)) {
            piece.put(Arc::make_mut(&mut image));
        }
    }
    if !file.lengths.is_empty()
        && let Some(Fate::Kept(way)) = fates.next()
    {
        len = file.lengths[way];
    }
    if image.len() != len {
        Arc::make_mut(&mut image).resize(len, 0);
    }
    FileNode { durable: Arc::clone(&image), current: image, ..FileNode::default() }
}

fn survivor(piece: &Piece, fate: Fate) -> Option<Piece> {
    let bytes = match fate {
        Fate::Lost => return None,
        Fate::Kept(_) => return Some(piece.clone()),
        Fate::Zeros => vec![0; piece.bytes.len()].into(),
        Fate::Garbage(seed) => {
            let mut random = Random::new(seed);
            piece.bytes.iter().map(|_| u8::try_from(random.below(256)).unwrap_or(0)).collect()
        }
        Fate::Part(seed) => piece.bytes[..index(seed, piece.bytes.len())].into(),
    };
    Some(Piece { at: piece.at, bytes })
}

/// A place below `len` that `seed` decides.
fn index(seed: u64, len: usize) -> usize {
    usize::try_from(seed % len.max(1) as u64).unwrap_or(0)
}

fn cut_directory(directory: &DirectoryNode, fates: &mut impl Iterator<Item = Fate>) -> DirectoryNode {
    let mut names = (*directory.durable).clone();
    let mut lost = BTreeSet::new();
    for change in &directory.changes {
        let is_lost =
            fates.next() == Some(Fate::Lost) || change.names().iter().any(|name| lost.contains(*name));
        if is_lost {
            lost.extend(change.names());
        } else {
            change.apply(&mut names);
        }
    }
    let names = Arc::new(names);
    DirectoryNode { durable: Arc::clone(&names), current: names, changes: Vec::new() }
}
