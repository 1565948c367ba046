//! The damages: which there are, and what they make of the files.

use std::sync::Arc;

use crate::corruption::stores::Sample;

/// What a disk writes together.
const UNIT: usize = 512;

/// One damage to the files of a sample, by the number of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Damage {
    FlippedBit {
        file: usize,
        bit: usize,
    },
    CutTo {
        file: usize,
        len: usize,
    },
    Unit {
        file: usize,
        unit: usize,
        how: UnitDamage,
    },
    /// Replaced by one of the earlier contents.
    Earlier {
        number: usize,
    },
    Removed {
        file: usize,
    },
    Emptied {
        file: usize,
    },
    Exchanged {
        file: usize,
        with: usize,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnitDamage {
    Zeroed,
    Set,
    /// What stands there is also what stands in that unit.
    CopiedTo(usize),
    SwappedWith(usize),
}

impl Damage {
    /// A bit of the file whose path ends like that.
    pub(crate) fn flip(sample: &Sample, path: &str, bit: usize) -> Self {
        let file = sample.image.files().keys().position(|there| there.ends_with(path)).unwrap();
        Self::FlippedBit { file, bit }
    }
}

/// The files after a damage. `None`: the file is gone.
pub(crate) type Changes = Vec<(String, Option<Arc<[u8]>>)>;

impl Damage {
    /// What it is called in the figures.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::FlippedBit { .. } => "bit flipped",
            Self::CutTo { .. } => "cut",
            Self::Unit { how: UnitDamage::Zeroed, .. } => "unit zeroed",
            Self::Unit { how: UnitDamage::Set, .. } => "unit set to 0xff",
            Self::Unit { how: UnitDamage::CopiedTo(_), .. } => "unit doubled",
            Self::Unit { how: UnitDamage::SwappedWith(_), .. } => "units swapped",
            Self::Earlier { .. } => "earlier content",
            Self::Removed { .. } => "removed",
            Self::Emptied { .. } => "emptied",
            Self::Exchanged { .. } => "exchanged",
        }
    }

    /// Every damage to a sample that changes anything.
    pub(crate) fn all(sample: &Sample) -> Vec<Self> {
        let mut all = Vec::new();
        let files: Vec<_> = sample.image.files().values().collect();
        for (file, bytes) in files.iter().enumerate() {
            all.extend((0..bytes.len() * 8).map(|bit| Self::FlippedBit { file, bit }));
            all.extend((1..bytes.len()).map(|len| Self::CutTo { file, len }));
            all.extend(unit_damages(file, bytes));
            all.push(Self::Removed { file });
            if !bytes.is_empty() {
                all.push(Self::Emptied { file });
            }
            let others = (file + 1..files.len()).filter(|other| files[*other] != *bytes);
            all.extend(others.map(|with| Self::Exchanged { file, with }));
        }
        all.extend((0..sample.earlier.len()).map(|number| Self::Earlier { number }));
        all
    }

    /// What it makes of the files it touches.
    pub(crate) fn changes(&self, sample: &Sample) -> Changes {
        let at = |file: usize| sample.image.files().iter().nth(file).unwrap();
        let edited = |file: usize, edit: &dyn Fn(&mut [u8])| {
            let (path, bytes) = at(file);
            let mut bytes = Arc::<[u8]>::from(&**bytes);
            edit(Arc::get_mut(&mut bytes).unwrap());
            vec![(path.clone(), Some(bytes))]
        };
        match *self {
            Self::FlippedBit { file, bit } => edited(file, &|bytes| bytes[bit / 8] ^= 1 << (bit % 8)),
            Self::CutTo { file, len } => {
                let (path, bytes) = at(file);
                vec![(path.clone(), Some(bytes[..len].into()))]
            }
            Self::Unit { file, unit, how } => edited(file, &|bytes| damage_unit(bytes, unit, how)),
            Self::Earlier { number } => {
                let (path, bytes) = &sample.earlier[number];
                vec![(path.clone(), Some(Arc::clone(bytes)))]
            }
            Self::Removed { file } => vec![(at(file).0.clone(), None)],
            Self::Emptied { file } => vec![(at(file).0.clone(), Some([].into()))],
            Self::Exchanged { file, with } => {
                let ((a, of_a), (b, of_b)) = (at(file), at(with));
                vec![(a.clone(), Some(Arc::clone(of_b))), (b.clone(), Some(Arc::clone(of_a)))]
            }
        }
    }
}

fn unit_damages(file: usize, bytes: &[u8]) -> Vec<Damage> {
    let mut all = Vec::new();
    let units: Vec<_> = bytes.chunks(UNIT).collect();
    for (unit, content) in units.iter().enumerate() {
        let mut kinds = vec![UnitDamage::Zeroed, UnitDamage::Set];
        for (other, _) in units.iter().enumerate().filter(|(_, there)| there != &content) {
            if other.abs_diff(unit) == 1 {
                kinds.push(UnitDamage::CopiedTo(other));
            }
            if other > unit {
                kinds.push(UnitDamage::SwappedWith(other));
            }
        }
        for how in kinds {
            let mut damaged = bytes.to_vec();
            damage_unit(&mut damaged, unit, how);
            if damaged != bytes {
                all.push(Damage::Unit { file, unit, how });
            }
        }
    }
    all
}

fn damage_unit(bytes: &mut [u8], unit: usize, how: UnitDamage) {
    let len = |unit: usize| bytes.len().min((unit + 1) * UNIT) - unit * UNIT;
    let at = unit * UNIT;
    match how {
        UnitDamage::Zeroed => bytes.chunks_mut(UNIT).nth(unit).unwrap().fill(0),
        UnitDamage::Set => bytes.chunks_mut(UNIT).nth(unit).unwrap().fill(0xff),
        UnitDamage::CopiedTo(other) => {
            let len = len(unit).min(len(other));
            bytes.copy_within(at..at + len, other * UNIT);
        }
        UnitDamage::SwappedWith(other) => {
            let len = len(unit).min(len(other));
            let copy = bytes[other * UNIT..other * UNIT + len].to_vec();
            bytes.copy_within(at..at + len, other * UNIT);
            bytes[at..at + len].copy_from_slice(&copy);
        }
    }
}
