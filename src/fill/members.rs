//! Members of the user center, with everything that belongs to them.
//!
//! For each member: 1.4 addresses on average, two to three login accounts (a user name, most have
//! an e-mail address and a mobile number as well) with their rows in the index table, a
//! verification for each e-mail address, and a company for one in twelve.

use jiff::civil::DateTime;
use jiff::{SignedDuration, ToSpan};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::rows::value::Value;

/// The first member's id.
pub const FIRST_MEMBER_ID: u64 = 100_000_001;

/// Years over which the members have registered, more of them each month.
const YEARS: i64 = 2;

/// A table that gets rows.
#[derive(Debug, Clone, Copy)]
pub struct TableRows {
    /// The logical table.
    pub table: &'static str,
    /// The columns that the values of a row are for, in order.
    pub columns: &'static [&'static str],
}

/// The tables, in the order of the numbers that [`Members::rows`] gives.
pub const TABLES: [TableRows; 6] = [
    TableRows {
        table: "member",
        columns: &[
            "memberId",
            "nickname",
            "realName",
            "mobile",
            "email",
            "gender",
            "birthday",
            "status",
            "level",
            "balance",
            "registeredAt",
        ],
    },
    TableRows {
        table: "member_address",
        columns: &[
            "memberId",
            "addressId",
            "receiver",
            "mobile",
            "countryCode",
            "province",
            "city",
            "street",
            "postcode",
            "isDefault",
            "createdAt",
        ],
    },
    TableRows {
        table: "member_login_account",
        columns: &[
            "memberId",
            "accountType",
            "memberAccount",
            "passwordHash",
            "status",
            "createdAt",
            "lastLoginAt",
        ],
    },
    TableRows {
        table: "member_login_account_memberAccount",
        columns: &[
            "memberAccount",
            "memberId",
            "accountType",
            "passwordHash",
            "status",
        ],
    },
    TableRows {
        table: "email_verify",
        columns: &["memberId", "email", "token", "sentAt", "verifiedAt"],
    },
    TableRows {
        table: "member_company",
        columns: &[
            "memberId",
            "companyName",
            "taxNumber",
            "industry",
            "employees",
            "verified",
            "createdAt",
        ],
    },
];

const MEMBER: usize = 0;
const ADDRESS: usize = 1;
const ACCOUNT: usize = 2;
const ACCOUNT_INDEX: usize = 3;
const EMAIL_VERIFY: usize = 4;
const COMPANY: usize = 5;

const FAMILY: [(&str, &str); 20] = [
    ("王", "wang"),
    ("李", "li"),
    ("张", "zhang"),
    ("刘", "liu"),
    ("陈", "chen"),
    ("杨", "yang"),
    ("赵", "zhao"),
    ("黄", "huang"),
    ("周", "zhou"),
    ("吴", "wu"),
    ("徐", "xu"),
    ("孙", "sun"),
    ("Smith", "smith"),
    ("García", "garcia"),
    ("Müller", "mueller"),
    ("O'Brien", "obrien"),
    ("Novák", "novak"),
    ("Jensen", "jensen"),
    ("Rossi", "rossi"),
    ("Dubois", "dubois"),
];
const GIVEN: [(&str, &str); 20] = [
    ("伟", "wei"),
    ("芳", "fang"),
    ("娜", "na"),
    ("敏", "min"),
    ("静", "jing"),
    ("强", "qiang"),
    ("磊", "lei"),
    ("洋", "yang"),
    ("艳", "yan"),
    ("勇", "yong"),
    ("杰", "jie"),
    ("娟", "juan"),
    ("Anna", "anna"),
    ("José", "jose"),
    ("Zoë", "zoe"),
    ("Liam", "liam"),
    ("Søren", "soren"),
    ("Chloé", "chloe"),
    ("Marco", "marco"),
    ("Ines", "ines"),
];
/// How many of the names above are Chinese: those are written family name first.
const CHINESE: usize = 12;
const CITIES: [(&str, &str); 12] = [
    ("北京市", "北京市"),
    ("上海市", "上海市"),
    ("广东省", "深圳市"),
    ("广东省", "广州市"),
    ("浙江省", "杭州市"),
    ("江苏省", "南京市"),
    ("四川省", "成都市"),
    ("湖北省", "武汉市"),
    ("陕西省", "西安市"),
    ("福建省", "厦门市"),
    ("山东省", "青岛市"),
    ("重庆市", "重庆市"),
];
const STREETS: [&str; 10] = [
    "中山路",
    "人民路",
    "解放大道",
    "建设街",
    "长江路",
    "文化路",
    "新华街",
    "和平里",
    "科技园路",
    "滨江大道",
];
const DOMAINS: [&str; 6] = [
    "example.com",
    "example.org",
    "example.net",
    "mail.example",
    "post.example",
    "corp.example",
];
const INDUSTRIES: [&str; 8] = [
    "retail",
    "logistics",
    "manufacturing",
    "software",
    "finance",
    "education",
    "health",
    "construction",
];

/// The members of a trial fleet.
#[derive(Debug, Clone, Copy)]
pub struct Members {
    seed: u64,
    count: u64,
    start: DateTime,
    span_ms: i64,
}

impl Members {
    /// `count` members, the last of whom registered at `until`.
    pub fn new(seed: u64, count: u64, until: DateTime) -> Self {
        let start = until.saturating_sub(YEARS.years());
        Self {
            seed,
            count,
            start,
            span_ms: until.duration_since(start).as_millis() as i64,
        }
    }

    /// How many members there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// A member's user name, which is always one of the accounts.
    pub fn user_name(&self, number: u64) -> String {
        let mut rng = self.rng(number);
        let (family, given) = (pick(&mut rng, &FAMILY), pick(&mut rng, &GIVEN));
        format!("{}.{}{number}", given.1, family.1)
    }

    fn rng(&self, number: u64) -> ChaCha8Rng {
        // The stream is the member's own, so that no two members share a sequence.
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(number);
        rng
    }

    /// The rows of one member: `row` gets the table's number in [`TABLES`] and the values.
    pub fn rows(&self, number: u64, row: &mut impl FnMut(usize, Vec<Value>)) {
        let rng = &mut self.rng(number);
        let id = Value::UInt(FIRST_MEMBER_ID + number);
        let family = rng.random_range(0..FAMILY.len());
        let given = rng.random_range(0..GIVEN.len());
        let name = if family < CHINESE {
            format!("{}{}", FAMILY[family].0, GIVEN[given].0)
        } else {
            format!("{} {}", GIVEN[given].0, FAMILY[family].0)
        };
        let user_name = format!("{}.{}{number}", GIVEN[given].1, FAMILY[family].1);
        // With the square root of the share, each month brings more members than the last.
        let share = (number as f64 + rng.random::<f64>()) / self.count.max(1) as f64;
        let registered_ms = (share.min(1.0).sqrt() * self.span_ms as f64) as i64;
        let registered = self.time(registered_ms);
        let later = |rng: &mut ChaCha8Rng| {
            let left = self.span_ms - registered_ms;
            self.time(registered_ms + (rng.random::<f64>() * left as f64) as i64)
        };
        let email = rng.random_bool(0.9).then(|| {
            let domain = pick(rng, &DOMAINS);
            format!("{user_name}@{domain}")
        });
        let mobile = rng.random_bool(0.95).then(|| {
            format!(
                "1{}{:09}",
                pick(rng, &["3", "5", "7", "8"]),
                number % 1_000_000_000
            )
        });
        let status = *pick(
            rng,
            &[
                1u64, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 3, 1,
            ],
        );
        let birthday = rng.random_bool(0.7).then(|| {
            format!(
                "{}-{:02}-{:02}",
                rng.random_range(1950..2008),
                rng.random_range(1..=12),
                rng.random_range(1..=28)
            )
        });
        row(
            MEMBER,
            vec![
                id.clone(),
                Value::Text(GIVEN[given].0.to_owned()),
                optional(rng.random_bool(0.6).then(|| name.clone())),
                optional(mobile.clone()),
                optional(email.clone()),
                Value::UInt(rng.random_range(0..=2)),
                optional(birthday),
                Value::UInt(status),
                Value::UInt(rng.random_range(0..=9)),
                Value::Text(format!(
                    "{}.{:02}",
                    rng.random_range(0..5_000),
                    rng.random_range(0..100)
                )),
                Value::Text(registered.clone()),
            ],
        );

        let addresses = *pick(rng, &[0u64, 1, 1, 1, 1, 1, 2, 2, 2, 3]);
        for address in 0..addresses {
            let (province, city) = *pick(rng, &CITIES);
            row(
                ADDRESS,
                vec![
                    id.clone(),
                    Value::UInt(number * 4 + address + 1),
                    Value::Text(name.clone()),
                    Value::Text(
                        mobile.clone().unwrap_or_else(|| {
                            format!("010-{:08}", rng.random_range(0..100_000_000))
                        }),
                    ),
                    Value::Text("CN".to_owned()),
                    Value::Text(province.to_owned()),
                    Value::Text(city.to_owned()),
                    Value::Text(format!(
                        "{}{}号{}室",
                        pick(rng, &STREETS),
                        rng.random_range(1..2_000),
                        rng.random_range(101..2_500)
                    )),
                    optional(
                        rng.random_bool(0.8)
                            .then(|| format!("{:06}", rng.random_range(100_000..900_000))),
                    ),
                    Value::UInt(u64::from(address == 0)),
                    Value::Text(later(rng)),
                ],
            );
        }

        let accounts = [
            Some((1, user_name)),
            email.clone().map(|email| (2, email)),
            mobile.map(|mobile| (3, mobile)),
        ];
        for (kind, account) in accounts.into_iter().flatten() {
            let mut hash = vec![0u8; 32];
            rng.fill_bytes(&mut hash);
            let password = match kind {
                3 => Value::Null,
                _ => Value::Bytes(hash),
            };
            row(
                ACCOUNT_INDEX,
                vec![
                    Value::Text(account.clone()),
                    id.clone(),
                    Value::UInt(kind),
                    password.clone(),
                    Value::UInt(status),
                ],
            );
            let last_login = rng.random_bool(0.6).then(|| later(rng));
            row(
                ACCOUNT,
                vec![
                    id.clone(),
                    Value::UInt(kind),
                    Value::Text(account),
                    password,
                    Value::UInt(status),
                    Value::Text(registered.clone()),
                    optional(last_login),
                ],
            );
        }

        if let Some(email) = email {
            let mut token = vec![0u8; 16];
            rng.fill_bytes(&mut token);
            let verified = rng.random_bool(0.75).then(|| later(rng));
            row(
                EMAIL_VERIFY,
                vec![
                    id.clone(),
                    Value::Text(email),
                    Value::Bytes(token),
                    Value::Text(registered),
                    optional(verified),
                ],
            );
        }
        if rng.random_ratio(1, 12) {
            row(
                COMPANY,
                vec![
                    id,
                    Value::Text(format!(
                        "{name} {}",
                        pick(rng, &["有限公司", "Trading Ltd", "集团"])
                    )),
                    optional(
                        rng.random_bool(0.9)
                            .then(|| format!("9{:017}", rng.random_range(0..10u64.pow(16)))),
                    ),
                    Value::Text((*pick(rng, &INDUSTRIES)).to_owned()),
                    match rng.random_bool(0.8) {
                        true => Value::UInt(rng.random_range(1..20_000)),
                        false => Value::Null,
                    },
                    Value::UInt(u64::from(rng.random_bool(0.5))),
                    Value::Text(later(rng)),
                ],
            );
        }
    }

    /// The time so many milliseconds behind the start, as SQL text.
    fn time(&self, ms: i64) -> String {
        let time = self
            .start
            .saturating_add(SignedDuration::from_millis(ms.clamp(0, self.span_ms)));
        // Digit by digit: the formatting machinery costs more than all else about a row.
        let mut text = String::with_capacity(23);
        let mut push = |number: u32, digits: u32, before: char| {
            if before != ' ' || !text.is_empty() {
                text.push(before);
            }
            for place in (0..digits).rev() {
                let digit = number / 10u32.pow(place) % 10;
                text.push(char::from(b'0' + digit as u8));
            }
        };
        // Years of this calendar are positive here.
        push(time.year().unsigned_abs().into(), 4, ' ');
        push(time.month().unsigned_abs().into(), 2, '-');
        push(time.day().unsigned_abs().into(), 2, '-');
        push(time.hour().unsigned_abs().into(), 2, ' ');
        push(time.minute().unsigned_abs().into(), 2, ':');
        push(time.second().unsigned_abs().into(), 2, ':');
        push(time.millisecond().unsigned_abs().into(), 3, '.');
        text
    }
}

fn pick<'a, T>(rng: &mut impl Rng, list: &'a [T]) -> &'a T {
    &list[rng.random_range(0..list.len())]
}

fn optional(text: Option<String>) -> Value {
    text.map_or(Value::Null, Value::Text)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn members(seed: u64, count: u64) -> Members {
        Members::new(seed, count, jiff::civil::date(2026, 1, 1).at(0, 0, 0, 0))
    }

    fn all(members: &Members) -> Vec<(usize, Vec<Value>)> {
        let mut rows = Vec::new();
        for number in 0..members.count() {
            members.rows(number, &mut |table, row| rows.push((table, row)));
        }
        rows
    }

    #[test]
    fn the_same_seed_gives_the_same_rows() {
        assert_eq!(all(&members(7, 50)), all(&members(7, 50)));
        assert_ne!(all(&members(7, 50)), all(&members(8, 50)));
    }

    #[test]
    fn rows_fit_their_columns_and_the_ratios_hold() {
        let count = 5_000;
        let mut counts = [0u64; TABLES.len()];
        for (table, row) in all(&members(1, count)) {
            assert_eq!(row.len(), TABLES[table].columns.len());
            counts[table] += 1;
        }
        let ratio = |table: usize| counts[table] as f64 / count as f64;
        assert!((ratio(ADDRESS) - 1.4).abs() < 0.1, "{counts:?}");
        assert!((ratio(ACCOUNT) - 2.85).abs() < 0.1, "{counts:?}");
        assert_eq!(counts[ACCOUNT], counts[ACCOUNT_INDEX]);
        assert!((ratio(COMPANY) - 1.0 / 12.0).abs() < 0.02, "{counts:?}");
    }

    #[test]
    fn times_are_written_as_the_servers_read_them() {
        let members = members(1, 10);
        assert_eq!(members.time(0), "2024-01-01 00:00:00.000");
        assert_eq!(
            members.time(86_400_000 * 31 + 3_723_045),
            "2024-02-01 01:02:03.045"
        );
    }

    #[test]
    fn accounts_are_unique_over_all_members() {
        let members = members(3, 3_000);
        let mut seen = HashSet::new();
        for (table, row) in all(&members) {
            if table == ACCOUNT_INDEX {
                let Value::Text(account) = &row[0] else {
                    panic!("{row:?}")
                };
                assert!(seen.insert(account.clone()), "{account}");
            }
        }
        assert!(seen.contains(&members.user_name(1234)));
    }
}
