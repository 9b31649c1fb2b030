//! From GGUF's blocks to f32, with the roundings of the reference implementation (`ggml-quants.c`): each product and
//! sum is rounded to f32 in the order written there, so results agree bit for bit.

use half::{bf16, f16};

use super::tensor_type::TensorType;

/// Decodes whole blocks of `kind` from `bytes` and appends their elements to `values`. A trailing partial block is
/// ignored; callers check sizes first.
pub fn dequantise(kind: TensorType, bytes: &[u8], values: &mut Vec<f32>) {
    let blocks = bytes.chunks_exact(kind.block_bytes());
    values.reserve(blocks.len().saturating_mul(kind.block_elements()));
    match kind {
        TensorType::F32 => values.extend(blocks.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))),
        TensorType::F16 => values.extend(blocks.map(|b| half_at(b, 0))),
        TensorType::Bf16 => values.extend(blocks.map(|b| bf16::from_le_bytes([b[0], b[1]]).to_f32())),
        TensorType::Q4_0 => blocks.for_each(|b| q4_0(b, values)),
        TensorType::Q4_1 => blocks.for_each(|b| q4_1(b, values)),
        TensorType::Q5_0 => blocks.for_each(|b| q5_0(b, values)),
        TensorType::Q5_1 => blocks.for_each(|b| q5_1(b, values)),
        TensorType::Q8_0 => blocks.for_each(|b| q8_0(b, values)),
        TensorType::Q4K => blocks.for_each(|b| q4_k(b, values)),
        TensorType::Q6K => blocks.for_each(|b| q6_k(b, values)),
    }
}

/// The little-endian f16 at `offset`.
fn half_at(block: &[u8], offset: usize) -> f32 {
    f16::from_le_bytes([block[offset], block[offset + 1]]).to_f32()
}

/// The sixteen low halves of `packed`, then the sixteen high halves: element i and i + 16 share a byte.
fn nibbles(packed: &[u8]) -> impl Iterator<Item = u8> {
    packed.iter().map(|byte| byte & 0x0f).chain(packed.iter().map(|byte| byte >> 4))
}

/// As `nibbles`, with bit i of `high` as the fifth bit of element i.
fn five_bit_values(packed: &[u8], high: &[u8]) -> impl Iterator<Item = u8> {
    let high = u32::from_le_bytes([high[0], high[1], high[2], high[3]]);
    nibbles(packed).enumerate().map(move |(index, low)| low | (((high >> index) & 1) as u8) << 4)
}

fn q4_0(block: &[u8], values: &mut Vec<f32>) {
    let scale = half_at(block, 0);
    values.extend(nibbles(&block[2..]).map(|value| scale * (f32::from(value) - 8.0)));
}

fn q4_1(block: &[u8], values: &mut Vec<f32>) {
    let (scale, minimum) = (half_at(block, 0), half_at(block, 2));
    values.extend(nibbles(&block[4..]).map(|value| scale * f32::from(value) + minimum));
}

fn q5_0(block: &[u8], values: &mut Vec<f32>) {
    let scale = half_at(block, 0);
    values.extend(five_bit_values(&block[6..], &block[2..6]).map(|value| scale * (f32::from(value) - 16.0)));
}

fn q5_1(block: &[u8], values: &mut Vec<f32>) {
    let (scale, minimum) = (half_at(block, 0), half_at(block, 2));
    values.extend(five_bit_values(&block[8..], &block[4..8]).map(|value| scale * f32::from(value) + minimum));
}

fn q8_0(block: &[u8], values: &mut Vec<f32>) {
    let scale = half_at(block, 0);
    values.extend(block[2..].iter().map(|&value| scale * f32::from(value.cast_signed())));
}

fn q4_k(block: &[u8], values: &mut Vec<f32>) {
    let (scale, minimum) = (half_at(block, 0), half_at(block, 2));
    let packed = &block[4..16];
    for (pair, bytes) in block[16..].chunks_exact(32).enumerate() {
        for (half, shift) in [(0, 0), (1, 4)] {
            let (group_scale, group_minimum) = q4_k_group(packed, 2 * pair + half);
            let group_scale = scale * f32::from(group_scale);
            let group_minimum = minimum * f32::from(group_minimum);
            values.extend(bytes.iter().map(|byte| group_scale * f32::from((byte >> shift) & 0x0f) - group_minimum));
        }
    }
}

/// The 6-bit scale and minimum of a group of 32. Groups 0 to 3 lie in the low six bits of bytes 0..4 and 4..8; groups
/// 4 to 7 take four bits from bytes 8..12 and their two highest bits from the top of bytes 0..4 and 4..8.
fn q4_k_group(packed: &[u8], group: usize) -> (u8, u8) {
    if group < 4 {
        return (packed[group] & 0x3f, packed[group + 4] & 0x3f);
    }
    let low = packed[group + 4];
    (low & 0x0f | (packed[group - 4] >> 6) << 4, low >> 4 | (packed[group] >> 6) << 4)
}

fn q6_k(block: &[u8], values: &mut Vec<f32>) {
    let (low_bits, rest) = block.split_at(128);
    let (high_bits, rest) = rest.split_at(64);
    let (scales, factor) = rest.split_at(16);
    let factor = half_at(factor, 0);
    for half in 0..2 {
        let low_bits = &low_bits[64 * half..64 * (half + 1)];
        let high_bits = &high_bits[32 * half..32 * (half + 1)];
        let scales = &scales[8 * half..8 * (half + 1)];
        for quarter in 0..4 {
            let low_bits = &low_bits[32 * (quarter % 2)..];
            for index in 0..32 {
                let low = if quarter < 2 { low_bits[index] & 0x0f } else { low_bits[index] >> 4 };
                let high = (high_bits[index] >> (2 * quarter)) & 3;
                let value = f32::from(low | high << 4) - 32.0;
                let scale = f32::from(scales[2 * quarter + index / 16].cast_signed());
                values.push(factor * scale * value);
            }
        }
    }
}
