"""Sampling with llama.cpp through its Python package's low-level interface: one batch over one cache, the prompt of several
samples computed once and its cache shared.

usage: llama_generate.py bf16|f16|q8_0 PROMPT_TOKENS PROMPTS SAMPLES TOKENS
"""

import ctypes
import subprocess
import sys
import time

import common
import llama_cpp as llama

RUNS = 3
precision, (prompt, prompts, samples, tokens) = sys.argv[1], map(int, sys.argv[2:6])
FILE_TYPES = {"bf16": llama.LLAMA_FTYPE_MOSTLY_BF16, "q8_0": llama.LLAMA_FTYPE_MOSTLY_Q8_0}


def model_file():
    """The model as GGUF: written by Camelid in f32, brought to the precision by llama.cpp itself."""
    path = common.PEERS_HOME / f"smollm2-135m-instruct-{precision}.gguf"
    if not path.exists():
        camelid = common.ROOT / "target/release/camelid"
        source = common.PEERS_HOME / "smollm2-135m-instruct-f32.gguf"
        if not source.exists():
            subprocess.run([camelid, "export", common.MODEL, source, "--dtype", "f32"], check=True)
        parameters = llama.llama_model_quantize_default_params()
        parameters.ftype = FILE_TYPES[precision]
        parameters.nthread = 2
        if llama.llama_model_quantize(str(source).encode(), str(path).encode(), ctypes.byref(parameters)):
            sys.exit(f"llama.cpp cannot write {path}")
    return str(path)


QUIET = llama.llama_log_callback(lambda *_: None)
llama.llama_log_set(QUIET, None)
llama.llama_backend_init()
model = llama.llama_model_load_from_file(model_file().encode(), llama.llama_model_default_params())
if not model:
    sys.exit("llama.cpp cannot load the model")
sequences = prompts * samples
settings = llama.llama_context_default_params()
settings.n_ctx = sequences * (prompt + tokens + 64)
settings.n_batch = settings.n_ubatch = max(512, prompts * prompt)
settings.n_seq_max = sequences
settings.n_threads = settings.n_threads_batch = 2
settings.kv_unified = True
context = llama.llama_init_from_model(model, settings)
memory = llama.llama_get_memory(context)
vocabulary = llama.llama_model_get_vocab(model)
text = b"Once upon a time there was a fox. " * (prompt + prompts)
room = (llama.llama_token * (len(text) + 8))()
count = llama.llama_tokenize(vocabulary, text, len(text), room, len(room), False, False)
words = list(room[:count])
samplers = [llama.llama_sampler_init_dist(seed) for seed in range(sequences)]
batch = llama.llama_batch_init(max(sequences, prompts * prompt), 0, 1)


def fill(rows):
    """Rows of (token, position, sequence, whether logits are wanted)."""
    batch.n_tokens = len(rows)
    for index, (token, position, sequence, wanted) in enumerate(rows):
        batch.token[index], batch.pos[index] = token, position
        batch.n_seq_id[index], batch.seq_id[index][0] = 1, sequence
        batch.logits[index] = wanted
    if llama.llama_decode(context, batch):
        sys.exit("llama.cpp cannot decode the batch")


def generate():
    llama.llama_memory_clear(memory, True)
    rows = []
    for index in range(prompts):
        of_prompt = words[index : index + prompt]
        rows += [(token, place, index * samples, place + 1 == prompt) for place, token in enumerate(of_prompt)]
    fill(rows)
    drawn = []
    for index in range(prompts):
        place = (index + 1) * prompt - 1
        for sample in range(samples):
            sequence = index * samples + sample
            if sample:
                llama.llama_memory_seq_cp(memory, index * samples, sequence, 0, prompt)
            drawn.append(llama.llama_sampler_sample(samplers[sequence], context, place))
    for step in range(1, tokens):
        fill([(token, prompt + step - 1, sequence, True) for sequence, token in enumerate(drawn)])
        drawn = [llama.llama_sampler_sample(samplers[sequence], context, sequence) for sequence in range(sequences)]


best = float("inf")
for run in range(RUNS + 1):
    start = time.perf_counter()
    generate()
    if run > 0:
        best = min(best, time.perf_counter() - start)
common.result(tokens_per_second=sequences * tokens / best, seconds=best)
