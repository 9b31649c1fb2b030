#!/usr/bin/env python3
"""Makes the golden files of crates/model/tests/io_golden.

quantised.gguf, quantised.safetensors: one tensor of each element type, and what the `gguf` package makes of it.
tiny-FAMILY.gguf, tiny-FAMILY.json: small random models of each family, laid out as llama.cpp's converter lays them out,
and the configuration and the sha256 of each tensor of the same model in `transformers`.

Needs: pip install torch transformers gguf safetensors
Run:   python tools/golden_gguf.py
"""

import hashlib
import json
from pathlib import Path

import gguf
import numpy as np
import torch
import transformers
from gguf import GGMLQuantizationType as Type
from gguf.constants import GGML_QUANT_SIZES
from safetensors.numpy import save_file

FOLDER = Path(__file__).parent.parent / "crates/model/tests/io_golden"
TYPES = [Type.F32, Type.F16, Type.BF16, Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0, Type.Q4_K, Type.Q6_K]
# Byte offsets of the f16 scales and minima within a block; all other bytes may take any value.
SCALES = {
    Type.Q4_0: [0],
    Type.Q4_1: [0, 2],
    Type.Q5_0: [0],
    Type.Q5_1: [0, 2],
    Type.Q8_0: [0],
    Type.Q4_K: [0, 2],
    Type.Q6_K: [208],
}
VOCABULARY = 24


def quantised():
    """Blocks of random bytes under random scales, so that every bit of every field matters."""
    random = np.random.default_rng(1)
    writer = gguf.GGUFWriter(FOLDER / "quantised.gguf", "llama")
    expected = {}
    for kind in TYPES:
        if kind in SCALES:
            elements, size = GGML_QUANT_SIZES[kind]
            columns = 512
            blocks = random.integers(0, 256, (3 * columns // elements, size), dtype=np.uint8)
            for offset in SCALES[kind]:
                scales = random.normal(size=(len(blocks), 1)).astype(np.float16)
                blocks[:, offset : offset + 2] = scales.view(np.uint8)
            data = blocks.reshape(3, -1)
        else:
            values = random.normal(size=(3, 7)).astype(np.float32)
            data = gguf.quants.quantize(values, kind)
        name = f"{kind.name}.weight"
        writer.add_tensor(name, data, raw_dtype=kind)
        expected[name] = np.ascontiguousarray(gguf.quants.dequantize(data, kind), dtype=np.float32).reshape(3, -1)
    close(writer)
    save_file(expected, FOLDER / "quantised.safetensors")


def close(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def base(**more):
    return dict(
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        vocab_size=VOCABULARY,
        max_position_embeddings=64,
        bos_token_id=1,
        eos_token_id=2,
        **more,
    )


def families():
    grouped = dict(num_key_value_heads=2)
    llama3 = dict(
        rope_type="llama3",
        rope_theta=500000.0,
        factor=8.0,
        low_freq_factor=1.0,
        high_freq_factor=4.0,
        original_max_position_embeddings=8192,
    )
    yield "llama", gguf.MODEL_ARCH.LLAMA, transformers.LlamaConfig(
        **base(**grouped, head_dim=8, rope_parameters=llama3, tie_word_embeddings=True)
    )
    yield "qwen2", gguf.MODEL_ARCH.QWEN2, transformers.Qwen2Config(**base(**grouped, rope_theta=1e6))
    yield "qwen3", gguf.MODEL_ARCH.QWEN3, transformers.Qwen3Config(**base(**grouped, head_dim=8))
    yield "gemma2", gguf.MODEL_ARCH.GEMMA2, transformers.Gemma2Config(
        **base(**grouped, head_dim=8, query_pre_attn_scalar=8, sliding_window=32)
    )
    yield "gemma3", gguf.MODEL_ARCH.GEMMA3, transformers.Gemma3TextConfig(
        **base(**grouped, head_dim=8, query_pre_attn_scalar=8, sliding_window=32)
    )
    yield "gptneox", gguf.MODEL_ARCH.GPTNEOX, transformers.GPTNeoXConfig(**base(rotary_pct=0.5))


def permute(weights, heads):
    """As in convert_hf_to_gguf.py: rotary halves become neighbours."""
    rows = weights.shape[0] // heads // 2
    return weights.reshape(heads, 2, rows, *weights.shape[1:]).swapaxes(1, 2).reshape(weights.shape)


def fused(weights, heads):
    """As in convert_hf_to_gguf.py for GPT-NeoX: query, key, value by head become queries, keys, values."""
    return weights.reshape(heads, 3, -1, *weights.shape[1:]).swapaxes(0, 1).reshape(weights.shape)


def tiny(name, arch, config):
    torch.manual_seed(7)
    model = transformers.AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            # Multiples of 1/64 below 2, so that Gemma's 1 + weight is exact.
            parameter.copy_(torch.randint(-127, 128, parameter.shape) / 64)
    weights = {key: value.numpy() for key, value in model.state_dict().items()}
    if config.tie_word_embeddings:
        del weights["lm_head.weight"]
    elif name == "gptneox":
        weights["embed_out.weight"] = weights.pop("lm_head.weight")  # its name in checkpoints

    path = FOLDER / f"tiny-{name}.gguf"
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[arch])
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    heads = config.num_attention_heads
    kv_heads = getattr(config, "num_key_value_heads", heads)
    writer.add_head_count(heads)
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // heads
    if name == "gptneox":
        writer.add_rope_dimension_count(int(0.5 * head_dim))
        writer.add_parallel_residual(config.use_parallel_residual)
        writer.add_layer_norm_eps(config.layer_norm_eps)
    else:
        writer.add_head_count_kv(kv_heads)
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
        parameters = config.rope_parameters
        parameters = parameters.get("full_attention", parameters)
        writer.add_rope_freq_base(parameters["rope_theta"])
        if name == "llama":
            writer.add_rope_dimension_count(head_dim)
        if name in ("qwen3", "gemma2", "gemma3", "llama"):
            writer.add_key_length(head_dim)
            writer.add_value_length(head_dim)
        if name.startswith("gemma"):
            writer.add_sliding_window(config.sliding_window)
        if name == "gemma2":
            writer.add_attn_logit_softcapping(config.attn_logit_softcapping)
            writer.add_final_logit_softcapping(config.final_logit_softcapping)
    vocabulary(writer)

    names = gguf.get_tensor_name_map(arch, config.num_hidden_layers)
    hashes = {}
    for key, value in weights.items():
        if key.endswith(("rotary_emb.inv_freq", "attention.bias", "masked_bias")):
            continue
        hashes[key] = {"shape": list(value.shape), "sha256": hashlib.sha256(value.astype("<f4").tobytes()).hexdigest()}
        if name == "llama" and ".q_proj." in key:
            value = permute(value, heads)
        if name == "llama" and ".k_proj." in key:
            value = permute(value, kv_heads)
        if "query_key_value" in key:
            value = fused(value, heads)
        if name.startswith("gemma") and key.endswith("norm.weight"):
            value = value + 1
        writer.add_tensor(names.get_name(key, try_suffixes=(".weight", ".bias")), np.ascontiguousarray(value))
    if name == "llama":
        rotary = model.model.rotary_emb
        plain = 1.0 / (parameters["rope_theta"] ** (torch.arange(0, head_dim, 2) / head_dim))
        writer.add_tensor("rope_freqs.weight", (plain / rotary.inv_freq).numpy().astype(np.float32))
    close(writer)
    record = {"config": config.to_dict(), "tensors": hashes}
    (FOLDER / f"tiny-{name}.json").write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")


def vocabulary(writer):
    """A byte-level vocabulary of three special tokens, letters and one merge."""
    letters = [chr(ord("a") + i) for i in range(VOCABULARY - 4)]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(["<unk>", "<s>", "</s>", *letters, "ab"])
    writer.add_token_types([3, 3, 3] + [1] * (VOCABULARY - 3))
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(False)
    writer.add_chat_template("{% for m in messages %}{{ m['content'] }}{% endfor %}")


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    quantised()
    for family in families():
        tiny(*family)
