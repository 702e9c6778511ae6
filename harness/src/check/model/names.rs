//! The names of paths, each kept once: whoever knows a path's number need not look at its name again.

use vivarium_core::hash::hash64;

/// All names there are, by number.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    /// One after the other.
    text: String,
    /// Where each ends.
    ends: Vec<u32>,
    hashes: Vec<u32>,
    /// By hash: the number of a name and one, or 0 for none. A power of two, at most half full.
    slots: Vec<u32>,
}

impl Names {
    /// The name of this number.
    #[inline]
    pub(super) fn get(&self, number: u32) -> &str {
        let number = number as usize;
        let start = if number == 0 { 0 } else { self.ends[number - 1] as usize };
        &self.text[start..self.ends[number] as usize]
    }

    /// The number of a name, if it has one; else the hash that [`Names::insert`] wants.
    pub(super) fn find(&self, name: &str) -> Result<u32, u32> {
        let hash = hash64(0, name.as_bytes()) as u32;
        if self.slots.is_empty() {
            return Err(hash);
        }
        let mask = self.slots.len() - 1;
        let mut place = hash as usize & mask;
        loop {
            match self.slots[place] {
                0 => return Err(hash),
                taken if self.hashes[taken as usize - 1] == hash && self.get(taken - 1) == name => {
                    return Ok(taken - 1);
                }
                _ => place = (place + 1) & mask,
            }
        }
    }

    /// A new name; returns its number, the next one.
    pub(super) fn insert(&mut self, name: &str, hash: u32) -> u32 {
        let number = self.ends.len() as u32;
        self.text.push_str(name);
        self.ends.push(self.text.len() as u32);
        self.hashes.push(hash);
        if self.ends.len() * 2 > self.slots.len() {
            let size = (self.slots.len() * 2).max(256);
            self.slots.clear();
            self.slots.resize(size, 0);
            (0..=number).for_each(|known| self.enter(known));
        } else {
            self.enter(number);
        }
        number
    }

    /// Forgets all, and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
        self.hashes.clear();
        self.slots.fill(0);
    }

    fn enter(&mut self, number: u32) {
        let mask = self.slots.len() - 1;
        let mut place = self.hashes[number as usize] as usize & mask;
        while self.slots[place] != 0 {
            place = (place + 1) & mask;
        }
        self.slots[place] = number + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_its_number() {
        let mut names = Names::default();
        for round in 0..3 {
            for number in 0..1000u32 {
                let name = format!("/{round}/{}", number * 7919);
                let hash = names.find(&name).unwrap_err();
                assert_eq!(names.insert(&name, hash), number);
            }
            for number in 0..1000u32 {
                let name = format!("/{round}/{}", number * 7919);
                assert_eq!((names.find(&name), names.get(number)), (Ok(number), &*name));
            }
            names.clear();
            assert!(names.find("/0/0").is_err());
        }
    }
}
