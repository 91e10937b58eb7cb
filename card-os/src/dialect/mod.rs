//! What a card of another make says and does otherwise, as rows of data.
//!
//! The specification leaves a card much to choose: which status word refuses what, which instructions there are, how far SELECT
//! looks. This operating system has chosen once; a [`Dialect`] lists where another card has chosen differently. [`Rule`]s are
//! about one command, by its header and the status word it got; [`Habits`] are about how files are found and shown. Neither
//! knows any response data: what is answered still comes from files, PINs and access rules.

mod habit;
mod rule;

pub use habit::Habits;
pub use rule::{Le, Octet, Rule, RuleError, Then, When};

use crate::card::Card;
use apdu::{Class, StatusWord};

/// How a card differs from this one. The default is this one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dialect {
    /// How files are found and shown.
    pub habits: Habits,
    /// Asked in their order; the first that fits is followed.
    pub rules: Vec<Rule>,
}

impl Dialect {
    /// The rows, one a line: habits by their names, then the rules.
    pub fn to_text(&self) -> String {
        let rows = self.habits.names().map(str::to_owned).chain(self.rules.iter().map(ToString::to_string));
        rows.collect::<Vec<_>>().join("\n")
    }

    /// Reads what [`to_text`](Self::to_text) wrote.
    ///
    /// # Errors
    /// A line is neither a habit nor a rule.
    pub fn from_text(text: &str) -> Result<Self, RuleError> {
        let mut dialect = Self::default();
        for line in text.lines().filter(|line| !line.is_empty()) {
            match Habits::named(line) {
                Some(habit) => dialect.habits = dialect.habits.and(habit),
                None => dialect.rules.push(line.parse()?),
            }
        }
        Ok(dialect)
    }

    fn rule(&self, command: &[u8], sw: Option<StatusWord>) -> Option<&Then> {
        self.rules.iter().find(|rule| rule.when.fits(command, sw)).map(|rule| &rule.then)
    }
}

impl Card {
    /// Carries a command out as the card's dialect has it.
    pub(crate) fn carry_out(&mut self, command: &[u8], out: &mut Vec<u8>) {
        if self.profile.dialect.rules.is_empty() {
            return self.carry_out_plainly(command, out);
        }
        let begin = out.len();
        let mut silent = false;
        let mut meant = zeroize::Zeroizing::new(command.to_vec());
        match self.profile.dialect.rule(command, None) {
            Some(Then::Say(sw)) => return self.say(command, *sw, out, begin),
            Some(Then::Silent) => silent = true,
            Some(then @ Then::Take { .. }) => then.rewrite(&mut meant),
            Some(Then::Exact) | None => {}
        }
        self.carry_out_plainly(&meant, out);
        let Some(said) = status_word(out, begin) else { return };
        match self.profile.dialect.rule(command, Some(said)) {
            Some(Then::Say(sw)) => self.say(command, *sw, out, begin),
            Some(Then::Exact) if said.sw1() == StatusWord::exact_length(0).sw1() && meant.len() == 5 => {
                if let Some(le) = meant.last_mut() {
                    *le = said.sw2();
                }
                out.truncate(begin);
                self.carry_out_plainly(&meant, out);
            }
            Some(then @ Then::Take { .. }) => {
                then.rewrite(&mut meant);
                out.truncate(begin);
                self.carry_out_plainly(&meant, out);
            }
            Some(Then::Silent) => silent = true,
            Some(Then::Exact) | None => {}
        }
        let said = status_word(out, begin);
        if silent && said.is_some_and(|sw| sw.is_ok() || sw.sw1() == StatusWord::bytes_available(0).sw1()) {
            self.say(command, StatusWord::OK, out, begin);
        }
    }

    /// Answers a status word alone; nothing waits for GET RESPONSE.
    fn say(&mut self, command: &[u8], sw: StatusWord, out: &mut Vec<u8>, begin: usize) {
        let channel = command.first().copied().and_then(Class::parse).map_or(0, Class::channel);
        if let Ok(channel) = self.kernel.channel_mut(channel) {
            channel.response = None;
        }
        out.truncate(begin);
        out.extend(sw.0.to_be_bytes());
    }
}

fn status_word(out: &[u8], begin: usize) -> Option<StatusWord> {
    let [.., high, low] = out.get(begin..)? else { return None };
    Some(StatusWord(u16::from_be_bytes([*high, *low])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dialect_survives_as_text() {
        let text = "fid-anywhere\nsearch-at-start\nins=B0 p1=8x sw=6A82 -> 6986\ncla=8x ins=A4 -> cla=0x\nins=B0 le=00 sw=6Cxx -> exact";
        let dialect = Dialect::from_text(text).unwrap();
        assert_eq!((dialect.habits.names().count(), dialect.rules.len()), (2, 3));
        assert_eq!(dialect.to_text(), text);
        assert_eq!(Dialect::from_text("").unwrap(), Dialect::default());
        assert!(Dialect::from_text("fid-anywhre").is_err());
    }
}
