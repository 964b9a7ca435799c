//! Csr of ids (compressed sparse rows), such as the items of each user.
//!
//! The groups are concatenated in one allocation. Their sizes are counted first, so each id is written once, directly
//! to its place, and nothing is sorted.

/// Csr of ids, numbered from 0.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Csr {
    starts: Vec<usize>,
    ids: Vec<u32>,
}

impl Csr {
    /// Memory use in bytes of `groups` groups with `ids` ids in total.
    pub(crate) fn bytes(groups: usize, ids: usize) -> usize {
        groups * size_of::<usize>() + ids * size_of::<u32>()
    }

    /// Builds `count` groups from pairs of group and id. `pairs` is called twice and must pass the same pairs in
    /// chunks each time. Ids keep their order within a group.
    pub(crate) fn new<E>(
        count: usize,
        pairs: impl Fn(&mut dyn FnMut(&[u32], &[u32])) -> Result<(), E>,
    ) -> Result<Self, E> {
        // `starts` first holds each group's size at index group + 2, then its start at index group + 1.
        let mut starts = vec![0; count + 2];
        pairs(&mut |groups, _| groups.iter().for_each(|group| starts[*group as usize + 2] += 1))?;
        for group in 2..starts.len() {
            starts[group] += starts[group - 1];
        }
        let mut ids = vec![0; starts[count + 1]];
        pairs(&mut |groups, new| {
            for (group, id) in groups.iter().zip(new) {
                let next = &mut starts[*group as usize + 1];
                ids[*next] = *id;
                *next += 1;
            }
        })?;
        // By now index group + 1 has advanced to the group's end, which is the next group's start.
        starts.pop();
        Ok(Self { starts, ids })
    }

    pub(crate) fn get(&self, group: u32) -> &[u32] {
        let group = group as usize;
        &self.ids[self.starts[group]..self.starts[group + 1]]
    }

    /// All groups, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u32]> {
        self.starts.array_windows().map(|[start, end]| &self.ids[*start..*end])
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn groups(count: usize, batches: &[(&[u32], &[u32])]) -> Csr {
        let Ok(made) = Csr::new(count, |take| {
            for (groups, ids) in batches {
                take(groups, ids);
            }
            Ok::<_, Infallible>(())
        });
        made
    }

    #[test]
    fn ids_stand_in_their_groups_as_they_came() {
        let made = groups(4, &[(&[2, 0, 2], &[7, 8, 9]), (&[], &[]), (&[0, 2], &[5, 7])]);
        assert_eq!(made.iter().collect::<Vec<_>>(), [&[8, 5][..], &[], &[7, 9, 7], &[]]);
        assert_eq!((made.get(2), made.get(3)), (&[7, 9, 7][..], &[][..]));
        assert_eq!(groups(0, &[]).iter().count(), 0);
    }
}
