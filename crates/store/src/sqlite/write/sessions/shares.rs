//! Adds up what accounts and API keys hold of a shared bound, and finds the one that holds most.
//!
//! A fair share is the bound divided by the accounts that hold something. Above a full bound the account that holds most
//! gives way, and in it the key that holds most. That account always holds more than its share, so a share is safe.

use std::{collections::BTreeSet, hash::Hash};

use hashbrown::HashMap;

/// The number of an account in the database.
pub(super) type AccountNumber = i64;

/// The hash of an API key, as an ordinary value: it only has to differ from others here.
pub(super) type KeyBytes = [u8; 32];

/// An API key with its account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Owner {
    pub(super) account: AccountNumber,
    pub(super) key: KeyBytes,
}

/// A type with a greatest value.
pub(super) trait Greatest {
    const GREATEST: Self;
}

impl Greatest for i64 {
    const GREATEST: Self = Self::MAX;
}

impl Greatest for KeyBytes {
    const GREATEST: Self = [u8::MAX; 32];
}

/// Amounts of items, each of which is in one group. Items without an amount are not in it.
#[derive(Debug)]
pub(super) struct Ranking<Group, Item> {
    amounts: HashMap<Item, (Group, usize)>,
    order: BTreeSet<(Group, usize, Item)>,
}

impl<Group, Item> Default for Ranking<Group, Item> {
    fn default() -> Self {
        Self { amounts: HashMap::new(), order: BTreeSet::new() }
    }
}

impl<Group: Copy + Ord, Item: Copy + Ord + Hash + Greatest> Ranking<Group, Item> {
    /// Sets the amount of an item; returns its earlier group and amount.
    pub(super) fn set(&mut self, item: Item, group: Group, amount: usize) -> Option<(Group, usize)> {
        let before = match amount {
            0 => self.amounts.remove(&item),
            _ => self.amounts.insert(item, (group, amount)),
        };
        if let Some((group, amount)) = before {
            self.order.remove(&(group, amount, item));
        }
        if amount > 0 {
            self.order.insert((group, amount, item));
        }
        before
    }

    /// The amount of an item.
    pub(super) fn amount(&self, item: Item) -> usize {
        self.amounts.get(&item).map_or(0, |(_, amount)| *amount)
    }

    /// How many items have an amount.
    pub(super) fn len(&self) -> usize {
        self.amounts.len()
    }

    /// The item of a group with the largest amount.
    pub(super) fn largest(&self, group: Group) -> Option<(Item, usize)> {
        let (found, amount, item) =
            self.order.range(..=(group, usize::MAX, Item::GREATEST)).next_back().copied()?;
        (found == group).then_some((item, amount))
    }
}

/// What accounts and their keys hold of one bound.
#[derive(Debug, Default)]
pub(super) struct Shares {
    accounts: Ranking<(), AccountNumber>,
    keys: Ranking<AccountNumber, KeyBytes>,
}

impl Shares {
    /// A key holds `after` instead of `before`.
    pub(super) fn change(&mut self, Owner { account, key }: Owner, before: usize, after: usize) {
        if before == after {
            return;
        }
        let changed = |amount: usize| (amount + after).saturating_sub(before);
        let (of_key, of_account) = (self.keys.amount(key), self.accounts.amount(account));
        self.keys.set(key, account, changed(of_key));
        self.accounts.set(account, (), changed(of_account));
    }

    /// How many accounts hold something.
    pub(super) fn accounts(&self) -> usize {
        self.accounts.len()
    }

    /// The account that holds most.
    pub(super) fn largest_account(&self) -> Option<(AccountNumber, usize)> {
        self.accounts.largest(())
    }

    /// The key that holds most of what its account holds.
    pub(super) fn largest_key(&self, account: AccountNumber) -> Option<(Owner, usize)> {
        self.keys.largest(account).map(|(key, amount)| (Owner { account, key }, amount))
    }

    /// Every key, and what it holds.
    #[cfg(test)]
    pub(super) fn keys(&self) -> impl Iterator<Item = (KeyBytes, usize)> {
        self.keys.amounts.iter().map(|(key, (_, amount))| (*key, *amount))
    }

    /// The key that gives way to `newcomer`, which wants one more of a bound that is reached: of the account that holds
    /// most, else of the newcomer's own. Only from a key that still holds as much as the newcomer afterwards, or the two
    /// would take turns.
    pub(super) fn gives_way_to(&self, newcomer: Owner) -> Option<Owner> {
        let threshold = |amount: usize| amount + 2;
        let (account, most) = self.largest_account()?;
        if most >= threshold(self.accounts.amount(newcomer.account)) {
            return self.largest_key(account).map(|(owner, _)| owner);
        }
        let (owner, most) = self.largest_key(newcomer.account)?;
        (most >= threshold(self.keys.amount(newcomer.key))).then_some(owner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(account: AccountNumber, key: u8) -> Owner {
        Owner { account, key: [key; 32] }
    }

    #[test]
    fn the_largest_account_and_key_are_known_after_every_change() {
        let mut shares = Shares::default();
        assert_eq!((shares.largest_account(), shares.largest_key(1)), (None, None));
        shares.change(owner(1, 1), 0, 5);
        shares.change(owner(1, 2), 0, 6);
        shares.change(owner(2, 3), 0, 10);
        assert_eq!(shares.largest_account(), Some((1, 11)));
        assert_eq!(shares.largest_key(1), Some((owner(1, 2), 6)));
        shares.change(owner(1, 2), 6, 1);
        assert_eq!(shares.largest_account(), Some((2, 10)));
        assert_eq!(shares.largest_key(1), Some((owner(1, 1), 5)));
        shares.change(owner(2, 3), 10, 0);
        assert_eq!((shares.accounts(), shares.largest_key(2)), (1, None));
        shares.change(owner(1, 1), 5, 0);
        shares.change(owner(1, 2), 1, 0);
        assert_eq!((shares.accounts(), shares.largest_account()), (0, None));
    }

    #[test]
    fn a_newcomer_takes_from_the_largest_and_never_in_turns() {
        let mut shares = Shares::default();
        shares.change(owner(1, 1), 0, 4);
        shares.change(owner(1, 2), 0, 3);
        shares.change(owner(2, 3), 0, 3);
        assert_eq!(shares.gives_way_to(owner(3, 9)), Some(owner(1, 1)));
        assert_eq!(shares.gives_way_to(owner(2, 3)), Some(owner(1, 1)));
        assert_eq!(shares.gives_way_to(owner(1, 8)), Some(owner(1, 1)), "in its own account");
        assert_eq!(shares.gives_way_to(owner(1, 2)), None, "one more would be the most");
        assert_eq!(shares.gives_way_to(owner(1, 1)), None, "it is the one that holds most");
    }

    #[test]
    fn an_account_below_its_share_always_finds_one_above() {
        // Every way to share 7 among three accounts, one of which asks for one more.
        const BOUND: usize = 7;
        for first in 0..=BOUND {
            for second in 0..=BOUND - first {
                let amounts = [first, second, BOUND - first - second];
                let mut shares = Shares::default();
                (0..3).for_each(|n| shares.change(owner(n as i64 + 1, n as u8 + 1), 0, amounts[n]));
                let holders = 1 + amounts[1..].iter().filter(|amount| **amount > 0).count();
                let gives = shares.gives_way_to(owner(1, 1)).filter(|owner| owner.account != 1);
                if amounts[0] < BOUND / holders {
                    assert!(gives.is_some(), "{amounts:?}");
                }
                let keeps_its_share =
                    gives.is_none_or(|owner| amounts[owner.account as usize - 1] > BOUND / holders);
                assert!(keeps_its_share, "{amounts:?} {gives:?}");
            }
        }
    }
}
