//! Rectangles by size class.
//!
//! Structure: every rectangle is one [`Node`] in one flat array, in order of evaluation. A size
//! class is an intrusive pairing heap (Fredman, Sedgewick, Sleator and Tarjan 1986): `child` is
//! a node's first child, `sibling` the next child of the same parent, `prev` the sibling before
//! or, for a first child, the parent. There is no allocation per class or per operation.
//!
//! Order: by (value, age). Gablonsky's program keeps a sorted list per class and puts a new
//! rectangle behind its equals, so a new rectangle gets the largest age; in the one case where
//! his list puts it before its equals it gets the smallest age (negative).
//!
//! Invariant: a rectangle is in at most one class; the value of a node is never NaN in a heap.
//! With the first NaN (only [`Selection::ScipyCompat`](super::Selection::ScipyCompat) stores
//! one) all heaps become the literal lists, linked by `sibling`, because where NaN ends up in
//! them depends on the walk and not on an order.

use super::grow;

/// No rectangle.
pub(super) const NONE: u32 = u32::MAX;

/// One rectangle's value and links. 24 bytes.
#[derive(Debug, Clone, Copy)]
struct Node {
    value: f64,
    age: i32,
    child: u32,
    sibling: u32,
    prev: u32,
}

/// One size class.
#[derive(Debug, Clone, Copy)]
pub(super) struct Class {
    /// Size in the unit cube.
    pub(super) size: f64,
    /// Value of the head. Kept here so that a selection reads this array only: with thousands of
    /// searches alive a node is a cache miss.
    pub(super) value: f64,
    /// Best rectangle, or [`NONE`].
    pub(super) head: u32,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Classes {
    nodes: Vec<Node>,
    /// By level: level 0 is the unit cube, sizes strictly descend.
    classes: Vec<Class>,
    /// Age of the next rectangle that goes behind its equals, counted up from 0.
    last: i32,
    /// Age of the next rectangle that goes before its equals, counted down from -1.
    first: i32,
    /// The classes are sorted lists instead of heaps.
    lists: bool,
}

impl Classes {
    /// Forgets all rectangles and classes, keeps the memory.
    pub(super) fn clear(&mut self) {
        self.nodes.clear();
        self.classes.clear();
        self.last = 0;
        self.first = 0;
        self.lists = false;
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn classes(&self) -> &[Class] {
        &self.classes
    }

    #[inline]
    pub(super) fn value(&self, rect: u32) -> f64 {
        self.nodes[rect as usize].value
    }

    pub(super) fn bytes(&self) -> usize {
        self.nodes.capacity() * size_of::<Node>() + self.classes.capacity() * size_of::<Class>()
    }

    /// Adds rectangles that are in no class yet, one per value.
    pub(super) fn extend(&mut self, values: impl ExactSizeIterator<Item = f64>, limit: usize) {
        grow(&mut self.nodes, values.len(), limit);
        self.nodes.extend(values.map(|value| Node {
            value,
            age: 0,
            child: NONE,
            sibling: NONE,
            prev: NONE,
        }));
    }

    /// Makes sure that `level` exists.
    #[inline]
    pub(super) fn ensure(&mut self, level: usize, size: impl Fn(usize) -> f64) {
        while self.classes.len() <= level {
            let size = size(self.classes.len());
            self.classes.push(Class {
                size,
                value: f64::NAN,
                head: NONE,
            });
        }
    }

    /// Puts the two children of one side into their class.
    pub(super) fn insert_pair(&mut self, level: usize, plus: u32, minus: u32) {
        if self.lists {
            return self.list_insert_pair(level, plus, minus);
        }
        let top = self.join_pair(level, plus, minus);
        self.heap_insert(level, top);
    }

    /// Puts the two children of the side that was cut last, and then the divided rectangle, into
    /// the class that they share.
    pub(super) fn insert_family(&mut self, level: usize, plus: u32, minus: u32, parent: u32) {
        if self.lists {
            self.list_insert_pair(level, plus, minus);
            return self.list_insert(level, parent);
        }
        // PERF: the three are joined before they meet the class: they are in the cache, and the
        // head gets one child instead of three.
        let top = self.join_pair(level, plus, minus);
        self.nodes[parent as usize].age = self.next_age();
        let top = self.merge(top, parent);
        self.heap_insert(level, top);
    }

    /// Gives the two children of one side their ages and joins them; returns the root.
    #[inline]
    fn join_pair(&mut self, level: usize, plus: u32, minus: u32) -> u32 {
        let class = self.classes[level];
        let (p, m) = (self.value(plus), self.value(minus));
        // The only tie that Gablonsky's lists break in favour of the newer rectangle: `plus`
        // becomes the head, and `minus`, equal to the old head, is put right behind it.
        let before_equals = class.head != NONE && p < class.value && m == class.value;
        self.nodes[plus as usize].age = self.next_age();
        self.nodes[minus as usize].age = if before_equals {
            self.first -= 1;
            self.first
        } else {
            self.next_age()
        };
        self.merge(plus, minus)
    }

    /// Loads the children of rectangles that are about to be unlinked.
    ///
    /// PERF: with a thousand searches alive every link of a chain of siblings is a cache miss,
    /// and each waits for the one before. Side by side the chains' misses overlap.
    pub(super) fn warm(&self, rects: &[u32]) {
        const LANES: usize = 8;
        for rects in rects.chunks(LANES) {
            let mut at = [NONE; LANES];
            for (at, &rect) in at.iter_mut().zip(rects) {
                *at = self.nodes[rect as usize].child;
            }
            while at.iter().any(|&at| at != NONE) {
                for at in &mut at {
                    if *at != NONE {
                        *at = self.nodes[*at as usize].sibling;
                    }
                }
            }
            std::hint::black_box(at);
        }
    }

    /// Takes a rectangle out of its class, wherever it stands there.
    pub(super) fn unlink(&mut self, level: usize, rect: u32) {
        if self.lists {
            return self.list_unlink(level, rect);
        }
        let Node {
            child,
            sibling,
            prev,
            ..
        } = self.nodes[rect as usize];
        let rest = self.combine(child);
        if self.classes[level].head == rect {
            self.set_head(level, rest);
        } else {
            if self.nodes[prev as usize].child == rect {
                self.nodes[prev as usize].child = sibling;
            } else {
                self.nodes[prev as usize].sibling = sibling;
            }
            if sibling != NONE {
                self.nodes[sibling as usize].prev = prev;
            }
            if rest != NONE {
                self.heap_insert(level, rest);
            }
        }
        let node = &mut self.nodes[rect as usize];
        node.child = NONE;
        node.sibling = NONE;
        node.prev = NONE;
    }

    /// Appends the members of a class that follow its head and whose value is within `margin`
    /// of the head's, in their order.
    pub(super) fn ties(&self, level: usize, margin: f64, out: &mut Vec<u32>) {
        let head = self.classes[level].head;
        let best = self.value(head);
        if self.lists {
            let mut rect = self.nodes[head as usize].sibling;
            while rect != NONE && self.value(rect) - best <= margin {
                out.push(rect);
                rect = self.nodes[rect as usize].sibling;
            }
            return;
        }
        let start = out.len();
        let mut next = start;
        let mut parent = head;
        loop {
            let mut child = self.nodes[parent as usize].child;
            while child != NONE {
                if self.value(child) - best <= margin {
                    out.push(child);
                }
                child = self.nodes[child as usize].sibling;
            }
            match out.get(next) {
                Some(&rect) => parent = rect,
                None => break,
            }
            next += 1;
        }
        out[start..].sort_unstable_by(|&a, &b| {
            if self.before(a, b) {
                std::cmp::Ordering::Less
            } else {
                std::cmp::Ordering::Greater
            }
        });
    }

    #[inline]
    fn next_age(&mut self) -> i32 {
        let age = self.last;
        self.last += 1;
        age
    }

    /// Whether `a` comes before `b`: smaller value, or equal values and smaller age.
    #[inline]
    fn before(&self, a: u32, b: u32) -> bool {
        let (a, b) = (&self.nodes[a as usize], &self.nodes[b as usize]);
        a.value < b.value || (a.value == b.value && a.age < b.age)
    }

    #[inline]
    fn set_head(&mut self, level: usize, head: u32) {
        self.classes[level].head = head;
        if head != NONE {
            self.classes[level].value = self.value(head);
        }
    }

    /// Joins the heap under `rect` with a class.
    #[inline]
    fn heap_insert(&mut self, level: usize, rect: u32) {
        let head = self.classes[level].head;
        let head = if head == NONE {
            rect
        } else {
            self.merge(head, rect)
        };
        self.set_head(level, head);
    }

    /// Joins two heaps; returns the root. The links of a root besides `child` are [`NONE`].
    #[inline]
    fn merge(&mut self, a: u32, b: u32) -> u32 {
        let (top, low) = if self.before(b, a) { (b, a) } else { (a, b) };
        let first = self.nodes[top as usize].child;
        if first != NONE {
            self.nodes[first as usize].prev = low;
        }
        let node = &mut self.nodes[low as usize];
        node.sibling = first;
        node.prev = top;
        self.nodes[top as usize].child = low;
        top
    }

    /// Joins a chain of siblings into one heap by pairs, first left to right, then back; returns
    /// the root.
    fn combine(&mut self, mut rest: u32) -> u32 {
        // Heaps of pairs, the newest first, linked by `sibling`.
        let mut pairs = NONE;
        while rest != NONE {
            let a = rest;
            let b = self.nodes[a as usize].sibling;
            self.detach(a);
            let top = if b == NONE {
                rest = NONE;
                a
            } else {
                rest = self.nodes[b as usize].sibling;
                self.detach(b);
                self.merge(a, b)
            };
            self.nodes[top as usize].sibling = pairs;
            pairs = top;
        }
        let mut root = pairs;
        if root != NONE {
            pairs = self.nodes[root as usize].sibling;
            self.nodes[root as usize].sibling = NONE;
        }
        while pairs != NONE {
            let next = self.nodes[pairs as usize].sibling;
            self.nodes[pairs as usize].sibling = NONE;
            root = self.merge(root, pairs);
            pairs = next;
        }
        root
    }

    #[inline]
    fn detach(&mut self, rect: u32) {
        let node = &mut self.nodes[rect as usize];
        node.sibling = NONE;
        node.prev = NONE;
    }
}

/// The literal lists of Gablonsky's program. Every comparison with NaN is false.
impl Classes {
    /// Turns all heaps into sorted lists.
    pub(super) fn use_lists(&mut self) {
        if self.lists {
            return;
        }
        let mut members = Vec::new();
        for level in 0..self.classes.len() {
            let head = self.classes[level].head;
            if head == NONE {
                continue;
            }
            members.clear();
            members.push(head);
            let mut next = 0;
            while let Some(&rect) = members.get(next) {
                let mut child = self.nodes[rect as usize].child;
                while child != NONE {
                    members.push(child);
                    child = self.nodes[child as usize].sibling;
                }
                next += 1;
            }
            members.sort_unstable_by(|&a, &b| {
                if self.before(a, b) {
                    std::cmp::Ordering::Less
                } else {
                    std::cmp::Ordering::Greater
                }
            });
            self.set_head(level, members[0]);
            for (i, &rect) in members.iter().enumerate() {
                let node = &mut self.nodes[rect as usize];
                node.child = NONE;
                node.prev = NONE;
                node.sibling = members.get(i + 1).copied().unwrap_or(NONE);
            }
        }
        self.lists = true;
    }

    pub(super) fn are_lists(&self) -> bool {
        self.lists
    }

    /// Walks from `start` while the next rectangle is not larger, and inserts there. Returns the
    /// rectangle before the new one.
    fn list_scan(&mut self, start: u32, rect: u32) -> u32 {
        let value = self.value(rect);
        let mut at = start;
        loop {
            let next = self.nodes[at as usize].sibling;
            if next == NONE || value < self.value(next) {
                self.nodes[at as usize].sibling = rect;
                self.nodes[rect as usize].sibling = next;
                return at;
            }
            at = next;
        }
    }

    fn list_insert_pair(&mut self, level: usize, plus: u32, minus: u32) {
        let head = self.classes[level].head;
        let (p, m) = (self.value(plus), self.value(minus));
        if head == NONE {
            let (first, second) = if m < p { (minus, plus) } else { (plus, minus) };
            self.set_head(level, first);
            self.nodes[first as usize].sibling = second;
            self.nodes[second as usize].sibling = NONE;
            return;
        }
        let h = self.value(head);
        // `low` is inserted first and `high`, which is not smaller, behind it.
        let (low, high) = if m < p { (minus, plus) } else { (plus, minus) };
        let (low_value, high_value) = if m < p { (m, p) } else { (p, m) };
        if low_value < h {
            self.set_head(level, low);
            // For `plus` behind `minus` the test is "smaller than the old head", for `minus`
            // behind `plus` it is "not larger": the tie that favours the newer one.
            let behind_head = h < high_value;
            let directly = if m < p { high_value < h } else { !behind_head };
            if directly {
                self.nodes[low as usize].sibling = high;
                self.nodes[high as usize].sibling = head;
            } else {
                self.nodes[low as usize].sibling = head;
                self.list_scan(head, high);
            }
        } else {
            let before = self.list_scan(head, low);
            self.list_scan(before, high);
        }
    }

    fn list_insert(&mut self, level: usize, rect: u32) {
        let head = self.classes[level].head;
        if head == NONE {
            self.set_head(level, rect);
            self.nodes[rect as usize].sibling = NONE;
        } else if self.value(rect) < self.value(head) {
            self.set_head(level, rect);
            self.nodes[rect as usize].sibling = head;
        } else {
            self.list_scan(head, rect);
        }
    }

    fn list_unlink(&mut self, level: usize, rect: u32) {
        let next = self.nodes[rect as usize].sibling;
        let mut at = self.classes[level].head;
        if at == rect {
            self.set_head(level, next);
        } else {
            while at != NONE && self.nodes[at as usize].sibling != rect {
                at = self.nodes[at as usize].sibling;
            }
            if at != NONE {
                self.nodes[at as usize].sibling = next;
            }
        }
        self.nodes[rect as usize].sibling = NONE;
    }
}
