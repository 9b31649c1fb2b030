//! RMSNorm and LayerNorm, a row at a time.

use super::buffer::{Buffer, Values, ValuesMut};
use super::simd::Context;
use super::vector::{Shared, Vectorised, sum, vectorised};

/// Rows of a task, and of a partial sum of parameter gradients: their order does not depend on the threads.
const ROWS: usize = 32;

/// Which norm, with its parameters.
#[derive(Clone, Copy)]
enum Kind<'a> {
    Rms { weight: &'a [f32], offset: f32 },
    Layer { weight: &'a [f32], bias: &'a [f32] },
}

struct Forward<'a> {
    kind: Kind<'a>,
    epsilon: f32,
    x: Values<'a>,
    row: usize,
    width: usize,
    scratch: &'a mut [f32],
    y: ValuesMut<'a>,
    /// One value (inverse RMS) or two (mean, inverse deviation).
    statistics: &'a mut [f32],
}

impl Vectorised for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(mut self) {
        let (width, x) = (self.width, self.scratch);
        self.x.load(self.row * width, x);
        match self.kind {
            Kind::Rms { weight, offset } => {
                let inverse = 1.0 / (sum(width, |i| x[i] * x[i]) / width as f32 + self.epsilon).sqrt();
                self.statistics[0] = inverse;
                x.iter_mut().zip(weight).for_each(|(x, weight)| *x = *x * inverse * (offset + weight));
            }
            Kind::Layer { weight, bias } => {
                let mean = sum(width, |i| x[i]) / width as f32;
                let variance = sum(width, |i| (x[i] - mean) * (x[i] - mean)) / width as f32;
                let inverse = 1.0 / (variance + self.epsilon).sqrt();
                (self.statistics[0], self.statistics[1]) = (mean, inverse);
                let parameters = weight.iter().zip(bias);
                x.iter_mut().zip(parameters).for_each(|(x, (weight, bias))| *x = (*x - mean) * inverse * weight + bias);
            }
        }
        self.y.store(x, false);
    }
}

struct Backward<'a> {
    kind: Kind<'a>,
    dy: Values<'a>,
    x: Values<'a>,
    row: usize,
    width: usize,
    statistics: &'a [f32],
    /// Three rows: dy, normed x, dx.
    scratch: &'a mut [f32],
    dx: ValuesMut<'a>,
    accumulate: bool,
    /// Gradients of weight and bias, added to.
    dweight: Option<&'a mut [f32]>,
    dbias: Option<&'a mut [f32]>,
}

impl Vectorised for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(mut self) {
        let width = self.width;
        let (dy, rest) = self.scratch.split_at_mut(width);
        let (normed, dx) = rest.split_at_mut(width);
        self.dy.load(self.row * width, dy);
        self.x.load(self.row * width, normed);
        let (mean, inverse) = match self.kind {
            Kind::Rms { .. } => (0.0, self.statistics[self.row]),
            Kind::Layer { .. } => (self.statistics[2 * self.row], self.statistics[2 * self.row + 1]),
        };
        normed.iter_mut().for_each(|x| *x = (*x - mean) * inverse);
        if let Some(dweight) = self.dweight {
            let products = dy.iter().zip(normed.iter());
            dweight.iter_mut().zip(products).for_each(|(sum, (dy, normed))| *sum += dy * normed);
        }
        if let Some(dbias) = self.dbias {
            dbias.iter_mut().zip(dy.iter()).for_each(|(sum, dy)| *sum += dy);
        }
        let (weight, offset, centred) = match self.kind {
            Kind::Rms { weight, offset } => (weight, offset, false),
            Kind::Layer { weight, .. } => (weight, 0.0, true),
        };
        dy.iter_mut().zip(weight).for_each(|(dy, weight)| *dy *= offset + weight);
        let projection = sum(width, |i| dy[i] * normed[i]) / width as f32;
        let shift = if centred { sum(width, |i| dy[i]) / width as f32 } else { 0.0 };
        for (dx, (dy, normed)) in dx.iter_mut().zip(dy.iter().zip(normed.iter())) {
            *dx = inverse * (dy - shift - normed * projection);
        }
        self.dx.store(dx, self.accumulate);
    }
}

fn forward(
    ctx: &Context<'_>,
    kind: Kind<'_>,
    epsilon: f32,
    x: &Buffer,
    rows: usize,
    width: usize,
    y: &mut Buffer,
    statistics: &mut Buffer,
) {
    let values = if matches!(kind, Kind::Rms { .. }) { 1 } else { 2 };
    let (x, y) = (x.values(), Shared::new(y.values_mut()));
    let statistics = &mut statistics.f32_mut()[..rows * values];
    ctx.threads.run_chunks(statistics, ROWS * values, |task, statistics| {
        let mut scratch = vec![0.0; width];
        for (index, statistics) in statistics.chunks_mut(values).enumerate() {
            let row = task * ROWS + index;
            // SAFETY: each row is written by one task.
            let y = unsafe { y.part(row * width..(row + 1) * width) };
            let scratch = &mut scratch[..];
            vectorised(ctx.level, Forward { kind, epsilon, x, row, width, scratch, y, statistics });
        }
    });
}

fn backward(
    ctx: &Context<'_>,
    kind: Kind<'_>,
    dy: &Buffer,
    x: &Buffer,
    rows: usize,
    width: usize,
    statistics: &Buffer,
    dx: &mut Buffer,
    accumulate: bool,
    parameters: (Option<&mut Buffer>, Option<&mut Buffer>),
) {
    let (dy, x, statistics) = (dy.values(), x.values(), statistics.f32());
    let dx = Shared::new(dx.values_mut());
    let tasks = rows.div_ceil(ROWS);
    let (dweight, dbias) = parameters;
    // A partial sum for each task, added up in order afterwards.
    let mut partial = vec![0.0_f32; if dweight.is_some() { tasks * 2 * width } else { 0 }];
    let work = |task: usize, partial: &mut [f32]| {
        let mut scratch = vec![0.0; 3 * width];
        for row in task * ROWS..((task + 1) * ROWS).min(rows) {
            // SAFETY: each row is written by one task.
            let dx = unsafe { dx.part(row * width..(row + 1) * width) };
            let (weight_part, bias_part) = partial.split_at_mut(partial.len() / 2);
            let dweight = (!weight_part.is_empty()).then_some(weight_part);
            let dbias = (!bias_part.is_empty()).then_some(bias_part);
            let scratch = &mut scratch[..];
            let row_work = Backward { kind, dy, x, row, width, statistics, scratch, dx, accumulate, dweight, dbias };
            vectorised(ctx.level, row_work);
        }
    };
    if partial.is_empty() {
        ctx.threads.run(tasks, |task| work(task, &mut []));
        return;
    }
    ctx.threads.run_chunks(&mut partial, 2 * width, work);
    let mut add = |to: Option<&mut Buffer>, first: usize| {
        let Some(to) = to else { return };
        for part in partial.chunks(2 * width) {
            to.f32_mut().iter_mut().zip(&part[first..first + width]).for_each(|(sum, part)| *sum += part);
        }
    };
    add(dweight, 0);
    add(dbias, width);
}

pub(crate) fn rms_norm(
    ctx: &Context<'_>,
    x: &Buffer,
    rows: usize,
    width: usize,
    weight: &Buffer,
    offset: f32,
    epsilon: f32,
    y: &mut Buffer,
    inverse_rms: &mut Buffer,
) {
    forward(ctx, Kind::Rms { weight: weight.f32(), offset }, epsilon, x, rows, width, y, inverse_rms);
}

pub(crate) fn rms_norm_backward(
    ctx: &Context<'_>,
    dy: &Buffer,
    x: &Buffer,
    rows: usize,
    width: usize,
    weight: &Buffer,
    offset: f32,
    inverse_rms: &Buffer,
    dx: &mut Buffer,
    accumulate: bool,
    dweight: Option<&mut Buffer>,
) {
    let kind = Kind::Rms { weight: weight.f32(), offset };
    backward(ctx, kind, dy, x, rows, width, inverse_rms, dx, accumulate, (dweight, None));
}

pub(crate) fn layer_norm(
    ctx: &Context<'_>,
    x: &Buffer,
    rows: usize,
    width: usize,
    weight: &Buffer,
    bias: &Buffer,
    epsilon: f32,
    y: &mut Buffer,
    statistics: &mut Buffer,
) {
    let kind = Kind::Layer { weight: weight.f32(), bias: bias.f32() };
    forward(ctx, kind, epsilon, x, rows, width, y, statistics);
}

pub(crate) fn layer_norm_backward(
    ctx: &Context<'_>,
    dy: &Buffer,
    x: &Buffer,
    rows: usize,
    width: usize,
    weight: &Buffer,
    statistics: &Buffer,
    dx: &mut Buffer,
    accumulate: bool,
    parameters: Option<(&mut Buffer, &mut Buffer)>,
) {
    let kind = Kind::Layer { weight: weight.f32(), bias: &[] };
    backward(ctx, kind, dy, x, rows, width, statistics, dx, accumulate, parameters.unzip());
}
