//! Architectures as data.
//!
//! A decoder of the Llama, Mistral, Qwen, Gemma or GPT-NeoX line is one block repeated; what differs between them is
//! written here as values, so that there is one forward and one backward pass for all.

use camelid_kernels::Activation;

/// How a row is normalised.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Norm {
    /// `RMSNorm`; weights are stored relative to `offset` (1 for Gemma, else 0).
    Rms { offset: f32 },
    /// `LayerNorm` with a bias.
    Layer,
}

/// The feed-forward part of a block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mlp {
    /// `down(activation(gate(x)) · up(x))`.
    Gated(Activation),
    /// `down(activation(up(x)))`.
    Plain(Activation),
}

/// How positions far beyond those trained on are squeezed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RopeScaling {
    None,
    /// Divide every frequency (Chen 2023, arXiv 2306.15595).
    Linear {
        factor: f64,
    },
    /// Divide low frequencies, keep high ones, blend between (Llama 3.1's `rope_type = "llama3"`).
    Llama3 {
        factor: f64,
        low_frequency_factor: f64,
        high_frequency_factor: f64,
        original_positions: f64,
    },
    /// NTK by parts, with the attention factor on cos and sin (Peng 2023, arXiv 2309.00071).
    Yarn {
        factor: f64,
        original_positions: f64,
        beta_fast: f64,
        beta_slow: f64,
        attention_factor: f64,
        truncate: bool,
    },
}

/// One rotary embedding; a model may have one for local and one for global layers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rope {
    pub theta: f64,
    pub scaling: RopeScaling,
}

/// What differs from layer to layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerKind {
    /// Sliding window in positions; `None` sees everything.
    pub window: Option<u32>,
    /// Index into [`ArchConfig::ropes`].
    pub rope: usize,
}

/// Which linear layers have a bias.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Biases {
    pub query_key_value: bool,
    pub attention_output: bool,
    pub mlp: bool,
}

/// How a checkpoint names its tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// `model.layers.0.self_attn.q_proj.weight`: Llama and everything after it.
    Llama,
    /// `gpt_neox.layers.0.attention.query_key_value.weight`, with q, k and v of a head side by side.
    NeoX,
}

/// A decoder-only transformer.
#[expect(clippy::struct_excessive_bools, reason = "each is one independent property of a family")]
#[derive(Clone, Debug, PartialEq)]
pub struct ArchConfig {
    pub model_type: String,
    pub naming: Naming,
    pub vocabulary: usize,
    pub hidden: usize,
    pub layers: Vec<LayerKind>,
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    pub intermediate: usize,
    pub max_positions: usize,
    pub norm: Norm,
    pub epsilon: f32,
    /// Norms on what attention and MLP add to the residual stream too (Gemma 2 and 3).
    pub norms_after: bool,
    /// `RMSNorm` on each head of q and k (Qwen 3, Gemma 3).
    pub query_key_norm: bool,
    pub biases: Biases,
    pub mlp: Mlp,
    /// Attention and MLP read the same input (GPT-NeoX).
    pub parallel_residual: bool,
    /// Dimensions of a head that turn with position.
    pub rotary_dim: usize,
    pub ropes: Vec<Rope>,
    /// Factor on `q · k`.
    pub attention_scale: f32,
    pub attention_softcap: Option<f32>,
    pub logit_softcap: Option<f32>,
    /// Factor on token embeddings (Gemma: the square root of `hidden`).
    pub embedding_factor: f32,
    /// The output projection is the embedding table.
    pub tied: bool,
}

/// Which linear layer of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Linear {
    Query,
    Key,
    Value,
    /// q, k and v in one matrix, `[heads, 3, head_dim]` rows (GPT-NeoX).
    QueryKeyValue,
    AttentionOutput,
    Gate,
    Up,
    Down,
}

/// Which norm of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BlockNorm {
    BeforeAttention,
    AfterAttention,
    BeforeMlp,
    AfterMlp,
    Query,
    Key,
}

impl ArchConfig {
    /// The linear layers of a block, in the order they run.
    pub fn linears(&self) -> Vec<Linear> {
        let mut list = match self.naming {
            Naming::NeoX => vec![Linear::QueryKeyValue],
            Naming::Llama => vec![Linear::Query, Linear::Key, Linear::Value],
        };
        list.push(Linear::AttentionOutput);
        if matches!(self.mlp, Mlp::Gated(_)) {
            list.push(Linear::Gate);
        }
        list.extend([Linear::Up, Linear::Down]);
        list
    }

    /// Output and input width of a linear layer.
    pub fn linear_shape(&self, linear: Linear) -> (usize, usize) {
        let (queries, keys) = (self.heads * self.head_dim, self.kv_heads * self.head_dim);
        match linear {
            Linear::Query => (queries, self.hidden),
            Linear::Key | Linear::Value => (keys, self.hidden),
            Linear::QueryKeyValue => (3 * queries, self.hidden),
            Linear::AttentionOutput => (self.hidden, queries),
            Linear::Gate | Linear::Up => (self.intermediate, self.hidden),
            Linear::Down => (self.hidden, self.intermediate),
        }
    }

    pub fn linear_has_bias(&self, linear: Linear) -> bool {
        match linear {
            Linear::Query | Linear::Key | Linear::Value | Linear::QueryKeyValue => self.biases.query_key_value,
            Linear::AttentionOutput => self.biases.attention_output,
            Linear::Gate | Linear::Up | Linear::Down => self.biases.mlp,
        }
    }

    /// Path of a linear layer's module in the checkpoint, without `.weight`.
    pub fn linear_path(&self, layer: usize, linear: Linear) -> String {
        let module = match (self.naming, linear) {
            (_, Linear::Query) => "self_attn.q_proj",
            (_, Linear::Key) => "self_attn.k_proj",
            (_, Linear::Value) => "self_attn.v_proj",
            (_, Linear::QueryKeyValue) => "attention.query_key_value",
            (Naming::Llama, Linear::AttentionOutput) => "self_attn.o_proj",
            (_, Linear::Gate) => "mlp.gate_proj",
            (Naming::Llama, Linear::Up) => "mlp.up_proj",
            (Naming::Llama, Linear::Down) => "mlp.down_proj",
            (Naming::NeoX, Linear::AttentionOutput) => "attention.dense",
            (Naming::NeoX, Linear::Up) => "mlp.dense_h_to_4h",
            (Naming::NeoX, Linear::Down) => "mlp.dense_4h_to_h",
        };
        format!("{}.{layer}.{module}", self.layers_path())
    }

    fn layers_path(&self) -> &'static str {
        match self.naming {
            Naming::Llama => "model.layers",
            Naming::NeoX => "gpt_neox.layers",
        }
    }

    /// The norms of a block, in the order they run.
    pub fn block_norms(&self) -> Vec<BlockNorm> {
        let mut list = vec![BlockNorm::BeforeAttention];
        if self.query_key_norm {
            list.extend([BlockNorm::Query, BlockNorm::Key]);
        }
        if self.norms_after {
            list.push(BlockNorm::AfterAttention);
        }
        list.push(BlockNorm::BeforeMlp);
        if self.norms_after {
            list.push(BlockNorm::AfterMlp);
        }
        list
    }

    /// Path of a norm in the checkpoint, without `.weight`.
    pub fn norm_path(&self, layer: usize, norm: BlockNorm) -> String {
        let module = match norm {
            BlockNorm::BeforeAttention => "input_layernorm",
            BlockNorm::Query => "self_attn.q_norm",
            BlockNorm::Key => "self_attn.k_norm",
            BlockNorm::BeforeMlp if self.norms_after => "pre_feedforward_layernorm",
            // What it follows in the older families: the attention block.
            BlockNorm::BeforeMlp | BlockNorm::AfterAttention => "post_attention_layernorm",
            BlockNorm::AfterMlp => "post_feedforward_layernorm",
        };
        format!("{}.{layer}.{module}", self.layers_path())
    }

    /// Width of the rows a block norm works on.
    pub fn norm_width(&self, norm: BlockNorm) -> usize {
        if matches!(norm, BlockNorm::Query | BlockNorm::Key) { self.head_dim } else { self.hidden }
    }

    pub fn embedding_name(&self) -> &'static str {
        match self.naming {
            Naming::Llama => "model.embed_tokens.weight",
            Naming::NeoX => "gpt_neox.embed_in.weight",
        }
    }

    pub fn final_norm_path(&self) -> &'static str {
        match self.naming {
            Naming::Llama => "model.norm",
            Naming::NeoX => "gpt_neox.final_layer_norm",
        }
    }

    /// The output projection's own tensor; not in the checkpoint when tied.
    pub fn head_name(&self) -> &'static str {
        match self.naming {
            Naming::Llama => "lm_head.weight",
            Naming::NeoX => "embed_out.weight",
        }
    }

    /// Every tensor of a checkpoint of this architecture, with its shape, in the order of the forward pass.
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let mut list = vec![(self.embedding_name().to_owned(), vec![self.vocabulary, self.hidden])];
        let norm = |list: &mut Vec<(String, Vec<usize>)>, path: &str, width: usize, bias: bool| {
            list.push((format!("{path}.weight"), vec![width]));
            if bias {
                list.push((format!("{path}.bias"), vec![width]));
            }
        };
        let norm_bias = self.norm == Norm::Layer;
        for layer in 0..self.layers.len() {
            for block_norm in self.block_norms() {
                norm(&mut list, &self.norm_path(layer, block_norm), self.norm_width(block_norm), norm_bias);
            }
            for linear in self.linears() {
                let path = self.linear_path(layer, linear);
                let (out, input) = self.linear_shape(linear);
                list.push((format!("{path}.weight"), vec![out, input]));
                if self.linear_has_bias(linear) {
                    list.push((format!("{path}.bias"), vec![out]));
                }
            }
        }
        norm(&mut list, self.final_norm_path(), self.hidden, norm_bias);
        if !self.tied {
            list.push((self.head_name().to_owned(), vec![self.vocabulary, self.hidden]));
        }
        list
    }

    /// Number of parameters.
    pub fn parameters(&self) -> usize {
        self.tensors().iter().map(|(_, shape)| shape.iter().product::<usize>()).sum()
    }
}
