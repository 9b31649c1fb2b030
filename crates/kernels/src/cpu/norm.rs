//! `RMSNorm` and `LayerNorm`. One body serves both: `RMSNorm` is the one whose mean is zero.

use super::buffer::{Buffer, Values, ValuesMut};
use super::elementwise::{add, add_partial_sums, block_rows, expect_len, output};
use super::exponential::multiply_add;
use super::simd::{Context, SimdLevel};
use super::split::Rows;
use super::tile::{Scratch, tiles};
use super::vectorised::for_level;
use crate::backend::DType;

/// Independent running sums; one AVX-512 register, two of AVX2.
const LANES: usize = 16;

/// `y = (x - mean) · inverse · (offset + weight)`.
#[derive(Clone, Copy)]
struct Scale {
    mean: f32,
    inverse: f32,
    offset: f32,
}

/// See [`crate::Backend::rms_norm`].
pub(super) fn rms_norm(
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
    expect_len("the norm's input", x, rows * width);
    let (level, x, weight) = (ctx.level, x.values(), weight.values());
    let parts = (output("the norm's output", y, rows * width, width), output("the inverse RMS", inverse_rms, rows, 1));
    ctx.threads.run_split(rows, block_rows(width), parts, |range, (mut y, mut statistics)| {
        for (index, row) in range.enumerate() {
            let x = x.part(row * width..(row + 1) * width);
            let inverse = inverse_deviation(centred_squares(level, x, 0.0), width, epsilon);
            statistics.values.write_tile(level, index..index + 1, |to| to[0] = inverse);
            let scale = Scale { mean: 0.0, inverse, offset };
            write_row(level, scale, x, weight, None, &mut y.values.part(index * width..(index + 1) * width));
        }
    });
}

/// See [`crate::Backend::layer_norm`].
pub(super) fn layer_norm(
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
    expect_len("the norm's input", x, rows * width);
    let (level, x, weight, bias) = (ctx.level, x.values(), weight.values(), bias.values());
    let parts =
        (output("the norm's output", y, rows * width, width), output("the norm's statistics", statistics, 2 * rows, 2));
    ctx.threads.run_split(rows, block_rows(width), parts, |range, (mut y, mut statistics)| {
        for (index, row) in range.enumerate() {
            let x = x.part(row * width..(row + 1) * width);
            let mean = (sum(level, x) / width as f64) as f32;
            let inverse = inverse_deviation(centred_squares(level, x, mean), width, epsilon);
            statistics.values.write_tile(level, 2 * index..2 * index + 2, |to| to.copy_from_slice(&[mean, inverse]));
            let scale = Scale { mean, inverse, offset: 0.0 };
            write_row(level, scale, x, weight, Some(bias), &mut y.values.part(index * width..(index + 1) * width));
        }
    });
}

fn inverse_deviation(squares: f64, width: usize, epsilon: f32) -> f32 {
    (1.0 / (squares / width as f64 + f64::from(epsilon)).sqrt()) as f32
}

fn sum(level: SimdLevel, x: Values<'_>) -> f64 {
    let mut scratch = Scratch::new();
    tiles(0..x.len()).map(|tile| f64::from(tile_sum(level, x.tile(level, tile, &mut scratch)))).sum()
}

fn centred_squares(level: SimdLevel, x: Values<'_>, mean: f32) -> f64 {
    let mut scratch = Scratch::new();
    tiles(0..x.len()).map(|tile| f64::from(tile_squares(level, x.tile(level, tile, &mut scratch), mean))).sum()
}

fn write_row(
    level: SimdLevel,
    scale: Scale,
    x: Values<'_>,
    weight: Values<'_>,
    bias: Option<Values<'_>>,
    y: &mut ValuesMut<'_>,
) {
    let (mut for_x, mut for_weight, mut for_bias) = (Scratch::new(), Scratch::new(), Scratch::new());
    for tile in tiles(0..x.len()) {
        let x = x.tile(level, tile.clone(), &mut for_x);
        let weight = weight.tile(level, tile.clone(), &mut for_weight);
        let bias = bias.map(|bias| bias.tile(level, tile.clone(), &mut for_bias));
        y.write_tile(level, tile, |y| {
            normalise(level, scale, x, weight, y);
            if let Some(bias) = bias {
                add(level, bias, 1.0, y);
            }
        });
    }
}

/// See [`crate::Backend::rms_norm_backward`].
pub(super) fn rms_norm_backward(
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
    let inverse_rms = inverse_rms.f32();
    let scale = |row: usize| Scale { mean: 0.0, inverse: inverse_rms[row], offset };
    let norm = Backward { dy: dy.values(), x: x.values(), weight: weight.values(), rows, width, centred: false };
    norm.run(ctx, scale, dx, accumulate, (dweight, None));
}

/// See [`crate::Backend::layer_norm_backward`].
pub(super) fn layer_norm_backward(
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
    let statistics = statistics.f32();
    let scale = |row: usize| Scale { mean: statistics[2 * row], inverse: statistics[2 * row + 1], offset: 0.0 };
    let norm = Backward { dy: dy.values(), x: x.values(), weight: weight.values(), rows, width, centred: true };
    norm.run(ctx, scale, dx, accumulate, parameters.unzip());
}

/// With `n = (x - mean) · inverse` and `s = dy · (offset + weight)`:
/// `dx = inverse · (s - mean(s) - n · mean(s · n))`, without `mean(s)` where the mean was not taken off;
/// `dweight += Σ dy · n` and `dbias += Σ dy` over rows.
struct Backward<'a> {
    dy: Values<'a>,
    x: Values<'a>,
    weight: Values<'a>,
    rows: usize,
    width: usize,
    centred: bool,
}

impl Backward<'_> {
    fn run(
        &self,
        ctx: &Context<'_>,
        scale: impl Fn(usize) -> Scale + Sync,
        dx: &mut Buffer,
        accumulate: bool,
        (dweight, dbias): (Option<&mut Buffer>, Option<&mut Buffer>),
    ) {
        let (rows, width) = (self.rows, self.width);
        // Each block of rows sums its own part of the parameters' gradients; the parts are then added in order.
        let block = block_rows(width);
        let blocks = rows.div_ceil(block);
        let partial = |wanted: bool| wanted.then(|| ctx.pool.buffer(DType::F32, blocks * width));
        let (mut for_weight, mut for_bias) = (partial(dweight.is_some()), partial(dbias.is_some()));
        let parts = (
            output("the norm's input cotangent", dx, rows * width, block * width),
            for_weight.as_mut().map(|buffer| Rows { values: buffer.values_mut(), width }),
            for_bias.as_mut().map(|buffer| Rows { values: buffer.values_mut(), width }),
        );
        ctx.threads.run_split(blocks, 1, parts, |range, (mut dx, mut for_weight, mut for_bias)| {
            for sums in [&mut for_weight, &mut for_bias].into_iter().flatten() {
                sums.values.fill(0.0);
            }
            for (index, row) in (range.start * block..rows.min(range.end * block)).enumerate() {
                let mut dx = dx.values.part(index * width..(index + 1) * width);
                self.row(ctx.level, row, scale(row), &mut dx, accumulate, (&mut for_weight, &mut for_bias));
            }
        });
        for (gradient, partial) in [(dweight, for_weight), (dbias, for_bias)] {
            if let (Some(gradient), Some(partial)) = (gradient, partial) {
                add_partial_sums(ctx, &partial, blocks, width, gradient);
            }
        }
    }

    fn row(
        &self,
        level: SimdLevel,
        row: usize,
        scale: Scale,
        dx: &mut ValuesMut<'_>,
        accumulate: bool,
        (for_weight, for_bias): (&mut Option<Rows<'_>>, &mut Option<Rows<'_>>),
    ) {
        let width = self.width;
        let row = row * width..(row + 1) * width;
        let (dy, x) = (self.dy.part(row.clone()), self.x.part(row));
        let (mut dy_scratch, mut x_scratch, mut weight_scratch) = (Scratch::new(), Scratch::new(), Scratch::new());
        let (mut scaled, mut projected) = (0.0, 0.0);
        for tile in tiles(0..width) {
            let dy = dy.tile(level, tile.clone(), &mut dy_scratch);
            let x = x.tile(level, tile.clone(), &mut x_scratch);
            let weight = self.weight.tile(level, tile, &mut weight_scratch);
            let sums = projections(level, scale, dy, x, weight);
            scaled += f64::from(sums[0]);
            projected += f64::from(sums[1]);
        }
        let shift = if self.centred { (scaled / width as f64) as f32 } else { 0.0 };
        let projected = (projected / width as f64) as f32;
        for tile in tiles(0..width) {
            let dy = dy.tile(level, tile.clone(), &mut dy_scratch);
            let x = x.tile(level, tile.clone(), &mut x_scratch);
            let weight = self.weight.tile(level, tile.clone(), &mut weight_scratch);
            if let Some(sums) = for_weight {
                sums.values.update_tile(level, tile.clone(), |sums| add_products(level, scale, dy, x, sums));
            }
            if let Some(sums) = for_bias {
                sums.values.update_tile(level, tile.clone(), |sums| add(level, dy, 1.0, sums));
            }
            if accumulate {
                dx.update_tile(level, tile, |dx| {
                    input_gradient_added(level, scale, shift, projected, dy, x, weight, dx);
                });
            } else {
                dx.write_tile(level, tile, |dx| input_gradient(level, scale, shift, projected, dy, x, weight, dx));
            }
        }
    }
}

for_level! {
    tile_sum = tile_sum_body(x: &[f32]) -> f32
}

#[inline(always)]
fn tile_sum_body<const FUSED: bool>(x: &[f32]) -> f32 {
    let (chunks, rest) = x.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for chunk in chunks {
        sums.iter_mut().zip(chunk).for_each(|(sum, x)| *sum += x);
    }
    sums.iter_mut().zip(rest).for_each(|(sum, x)| *sum += x);
    sums.iter().sum()
}

for_level! {
    tile_squares = tile_squares_body(x: &[f32], mean: f32) -> f32
}

#[inline(always)]
fn tile_squares_body<const FUSED: bool>(x: &[f32], mean: f32) -> f32 {
    let (chunks, rest) = x.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for chunk in chunks {
        for (sum, &x) in sums.iter_mut().zip(chunk) {
            *sum = multiply_add::<FUSED>(x - mean, x - mean, *sum);
        }
    }
    for (sum, &x) in sums.iter_mut().zip(rest) {
        *sum = multiply_add::<FUSED>(x - mean, x - mean, *sum);
    }
    sums.iter().sum()
}

for_level! {
    normalise = normalise_body(scale: Scale, x: &[f32], weight: &[f32], y: &mut [f32])
}

#[inline(always)]
fn normalise_body<const FUSED: bool>(scale: Scale, x: &[f32], weight: &[f32], y: &mut [f32]) {
    for (y, (&x, &weight)) in y.iter_mut().zip(x.iter().zip(weight)) {
        *y = (x - scale.mean) * scale.inverse * (scale.offset + weight);
    }
}

for_level! {
    /// `Σ s` and `Σ s · n` of a tile, see [`Backward`].
    projections = projections_body(scale: Scale, dy: &[f32], x: &[f32], weight: &[f32]) -> [f32; 2]
}

#[inline(always)]
fn projections_body<const FUSED: bool>(scale: Scale, dy: &[f32], x: &[f32], weight: &[f32]) -> [f32; 2] {
    let ((dy, dy_rest), (x, x_rest)) = (dy.as_chunks::<LANES>(), x.as_chunks::<LANES>());
    let (weight, weight_rest) = weight.as_chunks::<LANES>();
    let (mut scaled, mut projected) = ([0.0; LANES], [0.0; LANES]);
    let mut add = |lane: usize, dy: f32, x: f32, weight: f32| {
        let s = dy * (scale.offset + weight);
        scaled[lane] += s;
        projected[lane] = multiply_add::<FUSED>(s, (x - scale.mean) * scale.inverse, projected[lane]);
    };
    for (dy, (x, weight)) in dy.iter().zip(x.iter().zip(weight)) {
        for lane in 0..LANES {
            add(lane, dy[lane], x[lane], weight[lane]);
        }
    }
    for (lane, (dy, (x, weight))) in dy_rest.iter().zip(x_rest.iter().zip(weight_rest)).enumerate() {
        add(lane, *dy, *x, *weight);
    }
    [scaled.iter().sum(), projected.iter().sum()]
}

for_level! {
    /// `sums += dy · n`.
    add_products = add_products_body(scale: Scale, dy: &[f32], x: &[f32], sums: &mut [f32])
}

#[inline(always)]
fn add_products_body<const FUSED: bool>(scale: Scale, dy: &[f32], x: &[f32], sums: &mut [f32]) {
    for (sum, (&dy, &x)) in sums.iter_mut().zip(dy.iter().zip(x)) {
        *sum = multiply_add::<FUSED>(dy, (x - scale.mean) * scale.inverse, *sum);
    }
}

for_level! {
    input_gradient = input_gradient_body(
        scale: Scale,
        shift: f32,
        projected: f32,
        dy: &[f32],
        x: &[f32],
        weight: &[f32],
        dx: &mut [f32],
    )
}

#[inline(always)]
fn input_gradient_body<const FUSED: bool>(
    scale: Scale,
    shift: f32,
    projected: f32,
    dy: &[f32],
    x: &[f32],
    weight: &[f32],
    dx: &mut [f32],
) {
    for (dx, (&dy, (&x, &weight))) in dx.iter_mut().zip(dy.iter().zip(x.iter().zip(weight))) {
        *dx = input_cotangent::<FUSED>(scale, shift, projected, dy, x, weight);
    }
}

for_level! {
    input_gradient_added = input_gradient_added_body(
        scale: Scale,
        shift: f32,
        projected: f32,
        dy: &[f32],
        x: &[f32],
        weight: &[f32],
        dx: &mut [f32],
    )
}

#[inline(always)]
fn input_gradient_added_body<const FUSED: bool>(
    scale: Scale,
    shift: f32,
    projected: f32,
    dy: &[f32],
    x: &[f32],
    weight: &[f32],
    dx: &mut [f32],
) {
    for (dx, (&dy, (&x, &weight))) in dx.iter_mut().zip(dy.iter().zip(x.iter().zip(weight))) {
        *dx += input_cotangent::<FUSED>(scale, shift, projected, dy, x, weight);
    }
}

#[inline(always)]
fn input_cotangent<const FUSED: bool>(scale: Scale, shift: f32, projected: f32, dy: f32, x: f32, weight: f32) -> f32 {
    let normed = (x - scale.mean) * scale.inverse;
    let s = multiply_add::<FUSED>(dy, scale.offset + weight, -shift);
    scale.inverse * multiply_add::<FUSED>(-normed, projected, s)
}
