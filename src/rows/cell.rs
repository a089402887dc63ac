//! What the shards send: cells of the text protocol, and what kind of column they are of.

use std::cmp::Ordering;
use std::str::FromStr;

use bigdecimal::BigDecimal;
use serde::Serialize;

/// A cell as the server wrote it; `None` is NULL.
pub type Cell = Option<Vec<u8>>;

/// A row of cells.
pub type Row = Vec<Cell>;

/// What a column holds, as far as ordering, merging and printing need it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An integer of any size, YEAR included.
    Integer,
    /// DECIMAL.
    Decimal,
    /// FLOAT: its text is rounded.
    Float,
    /// DOUBLE.
    Double,
    /// Text under a collation.
    Text,
    /// Bytes.
    Binary,
    /// DATE, DATETIME, TIMESTAMP: their texts order as they do.
    Date,
    /// TIME.
    Time,
    /// BIT.
    Bit,
    /// ENUM or SET: ordered by number, not by text.
    Enum,
    /// JSON.
    Json,
    /// Spatial and other types without an order of their own.
    Other,
    /// Only ever NULL.
    Null,
    /// Weights of text under a collation that fills the shorter text up. A key of ours, never a
    /// column of an answer.
    Weights(Filling),
}

/// What a collation fills the shorter of two texts with: the weight of a space under PAD SPACE.
///
/// Cutting trailing spaces is enough to tell equal texts, but not to order them: `a` comes behind
/// `a\t`, for it is compared as `a ` and a tab is less than a space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Filling {
    bytes: [u8; Self::BYTES_MAX],
    length: u8,
    /// Whether weights of other lengths exist, so that one can end in these bytes by chance.
    by_chance: bool,
}

impl Filling {
    /// Bytes of a weight at the most; the servers' have 1 to 4.
    const BYTES_MAX: usize = 4;

    /// A filling of this one weight. `None` where it is none: too long for one weight, or nothing.
    pub fn of(weight: &[u8], by_chance: bool) -> Option<Self> {
        let mut bytes = [0; Self::BYTES_MAX];
        bytes.get_mut(..weight.len())?.copy_from_slice(weight);
        let length = u8::try_from(weight.len()).ok()?;
        (length > 0).then_some(Self {
            bytes,
            length,
            by_chance,
        })
    }

    /// Whether the weights end in what the servers take for filling and RTRIM does not: a space
    /// before a character without weight, or a character that weighs as much as a space. A server
    /// that groups such texts by hashing finds other groups than one that compares them.
    pub fn ends(&self, weights: &[u8]) -> bool {
        !self.by_chance && weights.ends_with(self.weight())
    }

    fn weight(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    fn order(&self, a: &[u8], b: &[u8]) -> Ordering {
        let both = a.len().min(b.len());
        let filled = |rest: &[u8]| {
            rest.iter()
                .copied()
                .cmp(self.weight().iter().copied().cycle().take(rest.len()))
        };
        a[..both]
            .cmp(&b[..both])
            .then_with(|| filled(&a[both..]))
            .then_with(|| filled(&b[both..]).reverse())
    }
}

/// What a text's collation does with the shorter of two texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// Nothing (NO PAD), or it is no text.
    No,
    /// Nothing, but the server fills the keys it sorts with this.
    Sorted(Filling),
    /// It is filled with spaces (PAD SPACE), which have this weight.
    Space(Filling),
    /// It is filled with spaces, and weights have several levels, or are not known: all weights of
    /// the first level stand before any of the second, so that filling them up at their end would
    /// compare a second level with a first.
    Levels,
}

impl Kind {
    /// Whether a table shows it as hexadecimal digits.
    pub fn is_bytes(self) -> bool {
        matches!(self, Kind::Binary | Kind::Bit | Kind::Other)
    }

    /// Whether its text is a number.
    pub fn is_number(self) -> bool {
        matches!(
            self,
            Kind::Integer | Kind::Decimal | Kind::Float | Kind::Double
        )
    }
}

/// A column of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Column {
    /// Its name, as the server gives it.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
    /// Digits behind the point, for decimals.
    #[serde(skip)]
    pub scale: u8,
    /// For a column of a probe: the type that CAST gives a text so that it becomes such a value;
    /// `None` where there is none.
    #[serde(skip)]
    pub cast: Option<String>,
    /// For a text key of a probe: what its collation does with trailing spaces.
    #[serde(skip)]
    pub padding: Padding,
}

/// A cell that can be compared as its server would: by number, by bytes, or by the weights of its
/// text.
#[derive(Debug, Clone, PartialEq)]
pub enum Sortable {
    /// NULL, before everything.
    Null,
    /// A number that fits.
    Integer(i128),
    /// Any other exact number.
    Decimal(BigDecimal),
    /// A floating point number.
    Double(f64),
    /// Bytes, weights, dates.
    Bytes(Vec<u8>),
    /// Weights that are filled up.
    Weights(Vec<u8>, Filling),
}

/// A cell that is not what its column's kind says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the server sent {0:?} for a number")]
pub struct NotANumber(pub String);

impl Sortable {
    /// The cell of a column of this kind. Text must come as its weights.
    ///
    /// # Errors
    /// A number cannot be read.
    pub fn new(kind: Kind, cell: &Cell) -> Result<Self, NotANumber> {
        let Some(bytes) = cell else {
            return Ok(Sortable::Null);
        };
        let bad = || NotANumber(String::from_utf8_lossy(bytes).into_owned());
        let text = || std::str::from_utf8(bytes).map_err(|_| bad());
        Ok(match kind {
            Kind::Integer => Sortable::Integer(text()?.parse().map_err(|_| bad())?),
            Kind::Decimal | Kind::Enum => {
                let text = text()?;
                match text.parse() {
                    Ok(number) => Sortable::Integer(number),
                    Err(_) => Sortable::Decimal(BigDecimal::from_str(text).map_err(|_| bad())?),
                }
            }
            Kind::Float | Kind::Double => Sortable::Double(text()?.parse().map_err(|_| bad())?),
            Kind::Time => Sortable::Integer(microseconds(text()?).ok_or_else(bad)?),
            Kind::Weights(filling) => Sortable::Weights(bytes.clone(), filling),
            _ => Sortable::Bytes(bytes.clone()),
        })
    }

    /// The order of the servers, ascending.
    pub fn order(&self, other: &Self) -> Ordering {
        use Sortable::{Bytes, Decimal, Double, Integer, Null, Weights};
        match (self, other) {
            (Null, Null) => Ordering::Equal,
            (Null, _) => Ordering::Less,
            (_, Null) => Ordering::Greater,
            (Integer(a), Integer(b)) => a.cmp(b),
            (Decimal(a), Decimal(b)) => a.cmp(b),
            (Integer(a), Decimal(b)) => BigDecimal::from(*a).cmp(b),
            (Decimal(a), Integer(b)) => a.cmp(&BigDecimal::from(*b)),
            (Double(a), Double(b)) => a.partial_cmp(b).unwrap_or(Ordering::Equal),
            (Bytes(a), Bytes(b)) => a.cmp(b),
            (Weights(a, filling), Weights(b, _)) => filling.order(a, b),
            // One column is of one kind on every shard.
            _ => Ordering::Equal,
        }
    }

    /// Bytes that are equal exactly where the values are, to group by.
    pub fn key(&self, out: &mut Vec<u8>) {
        match self {
            Sortable::Null => out.push(0),
            Sortable::Integer(number) => {
                out.push(1);
                out.extend_from_slice(&number.to_be_bytes());
            }
            Sortable::Decimal(number) => {
                out.push(2);
                tagged(out, number.normalized().to_string().as_bytes());
            }
            Sortable::Double(number) => {
                out.push(3);
                // Minus zero equals zero.
                let number = if *number == 0.0 { 0.0 } else { *number };
                out.extend_from_slice(&number.to_bits().to_be_bytes());
            }
            Sortable::Bytes(bytes) | Sortable::Weights(bytes, _) => {
                out.push(4);
                tagged(out, bytes);
            }
        }
    }
}

fn tagged(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
    out.extend_from_slice(bytes);
}

/// `-838:59:59.000000` in microseconds.
fn microseconds(text: &str) -> Option<i128> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut parts = whole.split(':');
    let mut next = || parts.next()?.parse::<i128>().ok();
    let (hours, minutes, seconds) = (next()?, next()?, next()?);
    let micros: i128 = match fraction {
        "" => 0,
        digits => format!("{digits:0<6}").get(..6)?.parse().ok()?,
    };
    let total = ((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + micros;
    Some(if negative { -total } else { total })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_order_as_their_kind_does() {
        let order = |kind: Kind, a: &str, b: &str| {
            let cell = |text: &str| Some(text.as_bytes().to_vec());
            Sortable::new(kind, &cell(a))
                .unwrap()
                .order(&Sortable::new(kind, &cell(b)).unwrap())
        };
        assert_eq!(order(Kind::Integer, "9", "10"), Ordering::Less);
        assert_eq!(
            order(Kind::Integer, "18446744073709551615", "-1"),
            Ordering::Greater
        );
        assert_eq!(order(Kind::Decimal, "9.50", "10"), Ordering::Less);
        assert_eq!(order(Kind::Decimal, "10.0", "10"), Ordering::Equal);
        assert_eq!(
            order(Kind::Time, "-10:00:00", "-09:00:00.5"),
            Ordering::Less
        );
        assert_eq!(
            order(Kind::Time, "100:00:00", "99:59:59.999999"),
            Ordering::Greater
        );
        assert_eq!(order(Kind::Double, "1e10", "9"), Ordering::Greater);
        assert_eq!(Sortable::new(Kind::Integer, &None).unwrap(), Sortable::Null);
        assert!(Sortable::new(Kind::Integer, &Some(b"x".to_vec())).is_err());
    }

    #[test]
    fn the_shorter_text_is_filled_with_spaces() {
        // Of utf8mb4_unicode_ci: a, b, tab, space.
        let space = [0x02, 0x09];
        let filling = Filling::of(&space, false).unwrap();
        let weights = |text: &str| -> Vec<u8> {
            text.chars()
                .flat_map(|c| match c {
                    'a' => [0x0e, 0x33],
                    'b' => [0x0e, 0x4a],
                    '\t' => [0x02, 0x01],
                    _ => space,
                })
                .collect()
        };
        let sortable =
            |text: &str| Sortable::new(Kind::Weights(filling), &Some(weights(text))).unwrap();
        let sorted = ["", "a\t", "a \t", "a", "a b", "ab"];
        // An empty text is filled as well, and a tab less than that.
        assert_eq!(sortable("\t").order(&sortable("")), Ordering::Less);
        for (i, a) in sorted.iter().enumerate() {
            for (j, b) in sorted.iter().enumerate() {
                assert_eq!(sortable(a).order(&sortable(b)), i.cmp(&j), "{a:?} {b:?}");
            }
        }
        assert_eq!(sortable("a  ").order(&sortable("a")), Ordering::Equal);
        assert!(filling.ends(&weights("a ")));
        assert!(!filling.ends(&weights("a b")));
        // Of gbk: a letter's weight can end in the byte that a space weighs.
        assert!(!Filling::of(&[0x20], true).unwrap().ends(&[0xb0, 0x20]));
    }

    #[test]
    fn weights_of_several_levels_or_of_none_fill_nothing() {
        // Of utf8mb4_uca1400_as_cs: three levels of one character.
        assert_eq!(Filling::of(&[0x02, 0x09, 0, 0x20, 0, 2], false), None);
        assert_eq!(Filling::of(&[], false), None);
    }
}
