#!/usr/bin/env python3
"""Makes the golden files of crates/model/tests/golden: what transformers and peft compute.

FAMILY.safetensors: a small random model of each family. Tensors: `weight/NAME`, `gradient/NAME` (of the summed
negative log-likelihood of all next tokens), `tokens`, `logits`. Metadata: `config` (config.json), `losses` (the mean
loss before each of ten AdamW steps), `clipped` (the same with the gradient clipped), all JSON.
adapter-NAME.safetensors: the same for a LoRA adapter; `weight/` is the base, `adapter/NAME` the adapter.
smollm2.json: prompts, token ids, greedy continuations and log-probabilities of SmolLM2-135M-Instruct in f32.

Needs: pip install torch transformers peft safetensors
Run:   python tools/golden_models.py
       python tools/golden_models.py --smollm2 FOLDER   (a Hugging Face folder of SmolLM2-135M-Instruct)
"""

import copy
import json
import sys
from pathlib import Path

import torch
import transformers
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from safetensors.torch import save_file

FOLDER = Path(__file__).parent.parent / "crates/model/tests/golden"
VOCABULARY, TOKENS, STEPS = 48, 14, 10
LEARNING_RATE, WEIGHT_DECAY, CLIP = 1e-3, 0.1, 0.5

LLAMA_LIKE = dict(
    vocab_size=VOCABULARY, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=64, rms_norm_eps=1e-5, bos_token_id=1, eos_token_id=2,
    pad_token_id=0, attn_implementation="eager",
)  # fmt: skip
NEOX = dict(
    vocab_size=VOCABULARY, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
    max_position_embeddings=64, rotary_pct=0.25, bos_token_id=1, eos_token_id=2, attn_implementation="eager",
)  # fmt: skip


def scaled(kind, **parameters):
    return {"rope_parameters": {"rope_type": kind, "rope_theta": 10000.0, **parameters}}


def family_configs():
    llama3 = dict(factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=8)
    gemma = dict(head_dim=8, query_pre_attn_scalar=10, sliding_window=4)
    return {
        "llama": transformers.LlamaConfig(**LLAMA_LIKE, tie_word_embeddings=False),
        "llama-tied": transformers.LlamaConfig(**LLAMA_LIKE, tie_word_embeddings=True),
        "llama3": transformers.LlamaConfig(**LLAMA_LIKE, tie_word_embeddings=True, **scaled("llama3", **llama3)),
        "llama-linear": transformers.LlamaConfig(**LLAMA_LIKE, **scaled("linear", factor=4.0)),
        "llama-yarn": transformers.LlamaConfig(
            **LLAMA_LIKE, **scaled("yarn", factor=4.0, original_max_position_embeddings=16)
        ),
        "mistral": transformers.MistralConfig(**LLAMA_LIKE, sliding_window=4),
        "qwen2": transformers.Qwen2Config(**LLAMA_LIKE, tie_word_embeddings=True),
        "qwen3": transformers.Qwen3Config(**LLAMA_LIKE, head_dim=8),
        "gemma2": transformers.Gemma2Config(
            **LLAMA_LIKE, **gemma, attn_logit_softcapping=5.0, final_logit_softcapping=3.0,
            layer_types=["sliding_attention", "full_attention"],
        ),
        "gemma3": transformers.Gemma3TextConfig(
            **{**LLAMA_LIKE, "num_hidden_layers": 3}, **gemma,
            layer_types=["sliding_attention", "sliding_attention", "full_attention"],
        ),
        "gptneox": transformers.GPTNeoXConfig(**NEOX, use_parallel_residual=True),
        "gptneox-sequential": transformers.GPTNeoXConfig(**NEOX, use_parallel_residual=False),
    }  # fmt: skip


def randomise(model, generator):
    """Values at which every parameter has a gradient worth comparing."""
    norms_around_one = not type(model).__name__.startswith("Gemma")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if name.endswith("bias"):
                parameter.copy_(0.1 * noise)
            elif parameter.dim() == 1:
                parameter.copy_(0.2 * noise + (1.0 if norms_around_one else 0.0))
            else:
                parameter.copy_(0.25 * noise)


def summed_loss(model, tokens):
    logits = model(input_ids=tokens[None]).logits[0]
    return logits, torch.nn.functional.cross_entropy(logits[:-1], tokens[1:], reduction="sum")


def train(model, tokens, clip):
    """The mean loss before each step; matrices are decayed, norms and biases are not."""
    model = copy.deepcopy(model)
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.dim() > 1], "weight_decay": WEIGHT_DECAY},
        {"params": [p for p in trained if p.dim() == 1], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW([g for g in groups if g["params"]], lr=LEARNING_RATE, betas=(0.9, 0.999), eps=1e-8)
    losses = []
    for _ in range(STEPS):
        loss = summed_loss(model, tokens)[1] / (len(tokens) - 1)
        losses.append(loss.item())
        loss.backward()
        if clip is not None:
            torch.nn.utils.clip_grad_norm_(trained, clip)
        optimiser.step()
        optimiser.zero_grad()
    return losses


def golden(path, model, config, tokens, extra, gradients):
    """Runs the model once with gradients and writes the file. `gradients` maps our names to parameters."""
    logits, loss = summed_loss(model, tokens)
    loss.backward()
    tensors = {**extra, "tokens": tokens.to(torch.int64), "logits": logits.detach().contiguous()}
    for name, parameter in gradients.items():
        tensors[f"gradient/{name}"] = parameter.grad.contiguous()
    model.zero_grad()
    metadata = {
        "config": json.dumps(config, sort_keys=True),
        "losses": json.dumps(train(model, tokens, None)),
        "clipped": json.dumps(train(model, tokens, CLIP)),
    }
    save_file(tensors, path, metadata=metadata)


def in_files(model, name):
    """A parameter's name in checkpoint files, which transformers renames while it loads."""
    return name.replace("lm_head.", "embed_out.") if model.config.model_type == "gpt_neox" else name


def base_weights(model, tied):
    state = model.state_dict()
    keep = {name: value for name, value in state.items() if not (tied and name == "lm_head.weight")}
    return {f"weight/{in_files(model, name)}": value.clone().contiguous() for name, value in keep.items()}


def new_model(config, seed):
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").float().eval()
    generator = torch.Generator().manual_seed(seed)
    randomise(model, generator)
    tokens = torch.randint(3, VOCABULARY, (TOKENS,), generator=generator)
    return model, tokens, config.to_dict()


def families():
    for seed, (name, config) in enumerate(family_configs().items()):
        model, tokens, as_json = new_model(config, seed)
        weights = base_weights(model, config.tie_word_embeddings)
        parameters = {in_files(model, name): parameter for name, parameter in model.named_parameters()}
        golden(FOLDER / f"{name}.safetensors", model, as_json, tokens, weights, parameters)


def adapters():
    configs = family_configs()
    cases = [("llama", False), ("llama", True), ("qwen2", False), ("gptneox", False)]
    for seed, (family, rslora) in enumerate(cases):
        model, tokens, as_json = new_model(configs[family], 100 + seed)
        weights = base_weights(model, configs[family].tie_word_embeddings)
        lora = LoraConfig(r=4, lora_alpha=8, lora_dropout=0.0, use_rslora=rslora, target_modules="all-linear",
                          task_type="CAUSAL_LM")  # fmt: skip
        model = get_peft_model(model, lora)
        generator = torch.Generator().manual_seed(200 + seed)
        own = lambda name: name.removeprefix("base_model.model.").replace(".default.", ".")
        trained = {own(name): p for name, p in model.named_parameters() if p.requires_grad}
        with torch.no_grad():
            for parameter in trained.values():
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
        state = {own(name): value for name, value in get_peft_model_state_dict(model).items()}
        assert state.keys() == trained.keys()
        extra = {**weights, **{f"adapter/{name}": value.clone().contiguous() for name, value in state.items()}}
        config = {**as_json, "adapter": {"rank": 4, "alpha": 8, "rslora": rslora}}
        label = f"adapter-{family}{'-rslora' if rslora else ''}"
        golden(FOLDER / f"{label}.safetensors", model, config, tokens, extra, trained)


PROMPTS = [
    "The capital of France is",
    "def fibonacci(n):\n    ",
    "1, 2, 3, 4, 5, 6, 7,",
    "Once upon a time, in a village by the sea,",
    "Water boils at 100 degrees",
    "La capitale de l'Italie est",
    "北京是中国的",
    "Q: What is 12 + 30?\nA:",
    "SELECT name, age FROM users WHERE",
    "{\"name\": \"Ada\", \"born\": 18",
    "Dear Sir or Madam,\n\nI am writing to",
    "The mitochondria is the",
    "To be, or not to be,",
    "<html>\n  <head>\n    <title>",
    "🙂 means happy and 😢 means",
]
QUESTIONS = [
    "What is gravity?",
    "Write a haiku about autumn.",
    "List three prime numbers.",
    "Translate 'good morning' into Spanish.",
    "Why is the sky blue? Answer in one sentence.",
    "Give me a recipe for pancakes.",
]


# Weights of the two sequences' scores in the sum that is differentiated.
SCORE_WEIGHTS = (1.0, -0.5)


def reward_models():
    """reward-FAMILY.safetensors: sequence classifiers with one label. Two sequences with a common beginning; `logits` are
    their scores, gradients those of the scores' weighted sum."""
    for seed, family in enumerate(["llama-tied", "qwen2"]):
        config = family_configs()[family]
        config.num_labels = 1
        model = transformers.AutoModelForSequenceClassification.from_config(config, attn_implementation="eager")
        model = model.float().eval()
        generator = torch.Generator().manual_seed(300 + seed)
        randomise(model, generator)
        tokens = torch.randint(3, VOCABULARY, (2, TOKENS), generator=generator)
        tokens[1, : TOKENS // 2] = tokens[0, : TOKENS // 2]
        scores = model(input_ids=tokens).logits[:, 0]
        (scores * torch.tensor(SCORE_WEIGHTS)).sum().backward()
        tensors = {f"weight/{name}": value.clone().contiguous() for name, value in model.state_dict().items()}
        tensors |= {f"gradient/{name}": p.grad.contiguous() for name, p in model.named_parameters()}
        tensors |= {"tokens": tokens.flatten().to(torch.int64), "logits": scores.detach().contiguous()}
        metadata = {"config": json.dumps(config.to_dict(), sort_keys=True), "losses": "[]", "clipped": "[]"}
        save_file(tensors, FOLDER / f"reward-{family}.safetensors", metadata=metadata)


def smollm2(folder):
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    prompts = list(PROMPTS)
    for question in QUESTIONS:
        turns = [{"role": "user", "content": question}]
        prompts.append(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))
    cases = []
    for prompt in prompts:
        ids = tokenizer(prompt, return_tensors="pt", add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            logits = model(input_ids=ids).logits[0].double()
            written = model.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=24,
                do_sample=False,
            )[0, ids.shape[1] :]  # fmt: skip
        log_probs = torch.log_softmax(logits[:-1], -1).gather(1, ids[0, 1:, None])[:, 0]
        cases.append(
            {
                "prompt": prompt,
                "ids": ids[0].tolist(),
                "log_probs": [round(p, 6) for p in log_probs.tolist()],
                "greedy": written.tolist(),
            }
        )
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
    (FOLDER / "smollm2.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def main():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    FOLDER.mkdir(exist_ok=True)
    if len(sys.argv) == 3 and sys.argv[1] == "--smollm2":
        smollm2(sys.argv[2])
    elif len(sys.argv) == 1:
        families()
        adapters()
        reward_models()
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
