//! How GGUF stores the elements of a tensor: blocks of a fixed number of elements in a fixed number of bytes.

/// Element formats that can be read. Numbers and layouts are those of `ggml.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TensorType {
    F32,
    F16,
    Bf16,
    /// 32 signed 4-bit values, one f16 scale.
    Q4_0,
    /// 32 unsigned 4-bit values, f16 scale and minimum.
    Q4_1,
    /// 32 signed 5-bit values (fifth bits apart), one f16 scale.
    Q5_0,
    /// 32 unsigned 5-bit values, f16 scale and minimum.
    Q5_1,
    /// 32 signed bytes, one f16 scale.
    Q8_0,
    /// 256 unsigned 4-bit values in 8 groups, 6-bit scales and minima of the groups under two f16 factors.
    Q4K,
    /// 256 signed 6-bit values in 16 groups, 8-bit scales of the groups under one f16 factor.
    Q6K,
}

impl TensorType {
    /// The type with this number in the file.
    ///
    /// # Errors
    /// The name of the type (or its number, if unknown) when it cannot be read.
    pub fn from_number(number: u32) -> Result<Self, String> {
        Ok(match number {
            0 => Self::F32,
            1 => Self::F16,
            2 => Self::Q4_0,
            3 => Self::Q4_1,
            6 => Self::Q5_0,
            7 => Self::Q5_1,
            8 => Self::Q8_0,
            12 => Self::Q4K,
            14 => Self::Q6K,
            30 => Self::Bf16,
            10 => return Err("Q2_K".to_owned()),
            11 => return Err("Q3_K".to_owned()),
            13 => return Err("Q5_K".to_owned()),
            15 => return Err("Q8_K".to_owned()),
            16..=23 | 29 => return Err(format!("IQ (number {number})")),
            34 | 35 => return Err(format!("TQ (number {number})")),
            39 => return Err("MXFP4".to_owned()),
            _ => return Err(format!("number {number}")),
        })
    }

    /// The number that stands for this type in a file.
    pub fn number(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Q4_0 => 2,
            Self::Q4_1 => 3,
            Self::Q5_0 => 6,
            Self::Q5_1 => 7,
            Self::Q8_0 => 8,
            Self::Q4K => 12,
            Self::Q6K => 14,
            Self::Bf16 => 30,
        }
    }

    /// The name used by other tools.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Q4_0 => "Q4_0",
            Self::Q4_1 => "Q4_1",
            Self::Q5_0 => "Q5_0",
            Self::Q5_1 => "Q5_1",
            Self::Q8_0 => "Q8_0",
            Self::Q4K => "Q4_K",
            Self::Q6K => "Q6_K",
            Self::Bf16 => "BF16",
        }
    }

    /// Elements in a block.
    pub fn block_elements(self) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::Bf16 => 1,
            Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 | Self::Q8_0 => 32,
            Self::Q4K | Self::Q6K => 256,
        }
    }

    /// Bytes of a block.
    pub fn block_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::Q4_0 => 2 + 16,
            Self::Q4_1 => 4 + 16,
            Self::Q5_0 => 2 + 4 + 16,
            Self::Q5_1 => 4 + 4 + 16,
            Self::Q8_0 => 2 + 32,
            Self::Q4K => 4 + 12 + 128,
            Self::Q6K => 128 + 64 + 16 + 2,
        }
    }

    /// Bytes of `elements` elements, if they fill whole blocks and the size can be represented.
    pub fn bytes(self, elements: u64) -> Option<u64> {
        let block = self.block_elements() as u64;
        if !elements.is_multiple_of(block) {
            return None;
        }
        (elements / block).checked_mul(self.block_bytes() as u64)
    }
}
