//! Outputs that are cut between threads without any unsafe code: halves of halves, down to one block.

use half::bf16;

use super::buffer::ValuesMut;

/// Something to be written, cut at a number of units (rows, or blocks of rows) from its start.
pub(crate) trait Split: Send + Sized {
    fn split(self, units: usize) -> (Self, Self);
}

/// A slice of which each unit owns `width` elements; the last unit may own fewer.
pub(crate) struct Strided<'a, T> {
    pub(crate) values: &'a mut [T],
    pub(crate) width: usize,
}

impl<T: Send> Split for Strided<'_, T> {
    fn split(self, units: usize) -> (Self, Self) {
        let at = (units * self.width).min(self.values.len());
        let (left, right) = self.values.split_at_mut(at);
        (Self { values: left, width: self.width }, Self { values: right, width: self.width })
    }
}

/// As [`Strided`], over either element type.
pub(crate) struct Rows<'a> {
    pub(crate) values: ValuesMut<'a>,
    pub(crate) width: usize,
}

impl Split for Rows<'_> {
    fn split(self, units: usize) -> (Self, Self) {
        fn halves<T>(values: &mut [T], at: usize) -> (&mut [T], &mut [T]) {
            let at = at.min(values.len());
            values.split_at_mut(at)
        }
        let Self { values, width } = self;
        let (left, right) = match values {
            ValuesMut::F32(values) => {
                let (left, right): (&mut [f32], _) = halves(values, units * width);
                (ValuesMut::F32(left), ValuesMut::F32(right))
            }
            ValuesMut::Bf16(values) => {
                let (left, right): (&mut [bf16], _) = halves(values, units * width);
                (ValuesMut::Bf16(left), ValuesMut::Bf16(right))
            }
        };
        (Self { values: left, width }, Self { values: right, width })
    }
}

impl<T: Split> Split for Option<T> {
    fn split(self, units: usize) -> (Self, Self) {
        self.map_or((None, None), |value| {
            let (left, right) = value.split(units);
            (Some(left), Some(right))
        })
    }
}

impl<A: Split, B: Split> Split for (A, B) {
    fn split(self, units: usize) -> (Self, Self) {
        let (a, b) = (self.0.split(units), self.1.split(units));
        ((a.0, b.0), (a.1, b.1))
    }
}

impl<A: Split, B: Split, C: Split> Split for (A, B, C) {
    fn split(self, units: usize) -> (Self, Self) {
        let (a, b, c) = (self.0.split(units), self.1.split(units), self.2.split(units));
        ((a.0, b.0, c.0), (a.1, b.1, c.1))
    }
}
