#!/usr/bin/env python3
"""Runs a peer's settings and Camelid in turn and prints medians and ratios.

usage: compare.py gemm|step|decode|sft|dpo|reward|all [--rounds N] [--trl SETTINGS] [--json FILE]
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

import common

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PEERS_HOME = pathlib.Path(os.environ.get("PEERS_HOME", pathlib.Path.home() / ".cache/camelid-peers"))
PYTHON = PEERS_HOME / "venv/bin/python"
CAMELID = ROOT / "target/release/camelid"
MODEL = str(PEERS_HOME / "smollm2-135m-instruct-hf")
# The `harmless-base` test split of HH-RLHF, one {"chosen", "rejected"} a line; setup.sh fetches it.
TRANSCRIPTS = PEERS_HOME / "hh_harmless_test.jsonl"
CONVERSATIONS = 400
# Beside transformers where setup.sh was run with WITH_LLAMA=1.
LLAMA = any(PEERS_HOME.glob("venv/lib/python*/site-packages/llama_cpp"))
THREADS = ["--threads", "2"]


def peer(script, *arguments):
    """The figures of a peer script's RESULT line."""
    done = subprocess.run([PYTHON, HERE / script, *arguments], capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if done.returncode or not lines:
        sys.exit(f"{script} {' '.join(arguments)} failed:\n{done.stderr[-3000:]}")
    return json.loads(lines[-1].removeprefix("RESULT "))


def camelid(*arguments):
    """The figures of a `camelid bench ... --json`."""
    done = subprocess.run([CAMELID, *arguments, "--json"], capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        sys.exit(f"camelid {' '.join(arguments)} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout)


def prepared_data():
    """The first chosen transcripts as plain text and as messages: `(text file, messages file)`."""
    conversations = common.transcripts(TRANSCRIPTS, CONVERSATIONS)
    text, messages = PEERS_HOME / "step-text.txt", PEERS_HOME / "conversations.jsonl"
    text.write_text("\n".join(m["content"] for turns in conversations for m in turns), encoding="utf-8")
    messages.write_text("".join(json.dumps({"messages": turns}) + "\n" for turns in conversations), encoding="utf-8")
    return str(text), str(messages)


def prepared_pairs():
    """The first pairs as prompt, chosen, rejected: what comes after the turns that both have in common."""
    path = PEERS_HOME / "pairs.jsonl"
    with open(TRANSCRIPTS, encoding="utf-8") as lines, open(path, "w", encoding="utf-8") as out:
        rows = [json.loads(line) for _, line in zip(range(CONVERSATIONS), lines)]
        for row in rows:
            chosen, rejected = common.messages(row["chosen"]), common.messages(row["rejected"])
            shared = next((i for i, (a, b) in enumerate(zip(chosen, rejected)) if a != b), 0)
            if not shared or not all(turn["content"] for turn in chosen + rejected):
                continue
            parts = {"prompt": chosen[:shared], "chosen": chosen[shared:], "rejected": rejected[shared:]}
            out.write(json.dumps(parts) + "\n")
    return str(path)


def alternate(contenders, rounds, figure="tokens_per_second"):
    """Runs every contender once a round; returns the median of each figure of each."""
    seen = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            seen[name].append(run())
            print(f"  {name}: {seen[name][-1][figure]:.3g} {figure}", file=sys.stderr)
    return {
        name: {key: statistics.median(run[key] for run in runs) for key in (figure, "peak_memory_mb")}
        for name, runs in seen.items()
    }


def report(title, medians, figure="tokens_per_second", unit="tokens/s"):
    ours = medians["camelid"]
    # Where Camelid runs in several settings, the ratios are those of the first.
    print(f"\n{title}\n\n| | {unit} | peak memory (MB) | Camelid's speed | Camelid's memory |\n|---|---|---|---|---|")
    for name, figures in medians.items():
        speed = ours[figure] / figures[figure]
        memory = ours["peak_memory_mb"] / figures["peak_memory_mb"]
        print(
            f"| {name} | {figures[figure]:.3g} | {figures['peak_memory_mb']:.0f} "
            f"| {speed:.2f}x | {memory:.2f}x |"
        )


def report_best(medians, ours, peers):
    """The ratio to whichever of the peers is faster."""
    name = max(peers, key=lambda peer: medians[peer]["tokens_per_second"])
    ratio = medians[ours]["tokens_per_second"] / medians[name]["tokens_per_second"]
    print(f"\n{ours}: {ratio:.2f}x the better peer, {name}")
    return {"peer": name, "ratio": ratio}


def compare_gemm(rounds):
    torch_runs, our_runs = [], []
    for _ in range(rounds):
        torch_runs.append(peer("torch_gemm.py")["rates"])
        our_runs.append(camelid("bench", "gemm", *THREADS)["rates"])
    print("\nMatrix products, GFLOP/s\n\n| precision, form, rows x input x output | PyTorch | Camelid | ratio |\n|---|---|---|---|")
    rows = {}
    for key in torch_runs[0]:
        theirs = statistics.median(run[key] for run in torch_runs)
        ours = statistics.median(run[key] for run in our_runs)
        rows[key] = {"pytorch": theirs, "camelid": ours}
        print(f"| {key} | {theirs:.0f} | {ours:.0f} | {ours / theirs:.2f} |")
    return rows


def compare_step(rounds):
    (text, _), results = prepared_data(), {}
    for mode in ("full", "lora"):
        contenders = {
            f"PyTorch {precision}": lambda precision=precision: peer("torch_step.py", mode, precision, text)
            for precision in ("f32", "autocast", "bf16")
        }
        contenders["camelid"] = lambda: camelid("bench", "step", MODEL, "--tune", mode, *THREADS)
        if mode == "full":
            contenders["camelid, bf16 moments"] = lambda: camelid(
                "bench", "step", MODEL, "--tune", mode, "--moments", "bf16", *THREADS
            )
        results[mode] = alternate(contenders, rounds)
        report(f"One step of 4 x 256 tokens, {mode}", results[mode])
    return results


def compare_decode(rounds):
    results = {}
    if not LLAMA:
        print("llama.cpp is not installed and left out; WITH_LLAMA=1 tools/peers/setup.sh adds it", file=sys.stderr)
    for title, shape in (
        ("one prompt of 16 tokens", (16, 1, 1)),
        ("16 prompts of 16 tokens", (16, 16, 1)),
        ("8 samples of a prompt of 400 tokens", (400, 1, 8)),
    ):
        counts = [str(count) for count in (*shape, 64)]
        options = [part for pair in zip(("--prompt", "--prompts", "--samples", "--tokens"), counts) for part in pair]
        contenders = {
            f"transformers {precision}": lambda precision=precision: peer("torch_generate.py", precision, *counts)
            for precision in ("f32", "bf16")
        }
        if LLAMA:
            for precision in ("bf16", "q8_0"):
                contenders[f"llama.cpp {precision}"] = lambda precision=precision: peer(
                    "llama_generate.py", precision, *counts
                )
        contenders["camelid"] = lambda: camelid("bench", "decode", MODEL, *options, *THREADS)
        if LLAMA:
            contenders["camelid int8"] = lambda: camelid(
                "bench", "decode", MODEL, *options, "--weights", "int8", *THREADS
            )
        results[title] = alternate(contenders, rounds)
        report(f"64 tokens, {title}", results[title])
        eight_bit = {"llama.cpp q8_0", "camelid int8"}
        peers = [name for name in results[title] if name != "camelid" and name not in eight_bit]
        best = {"camelid": report_best(results[title], "camelid", peers)}
        if LLAMA:
            best["camelid int8"] = report_best(results[title], "camelid int8", ["llama.cpp q8_0"])
        results[title] = {"medians": results[title], "against the better peer": best}
    return results


def compare_sft(rounds, settings):
    _, messages = prepared_data()
    contenders = {
        f"TRL {setting}, {packing}": lambda setting=setting, packing=packing: peer(
            "trl_sft.py", setting, packing, messages
        )
        for setting in settings
        for packing in ("unpacked", "packed")
    }
    contenders["camelid"] = lambda: camelid("bench", "recipe", str(HERE / "sft.toml"), "--set", f"stage.data={messages}")
    medians = alternate(contenders, rounds)
    report("LoRA r = 16 SFT on conversations of mixed lengths, useful tokens", medians)
    return medians


def compare_pairs(rounds, settings, script, recipe, title):
    """A stage on pairs of responses, counted in pairs."""
    pairs = prepared_pairs()

    def ours(*changes):
        sets = [part for change in (f"stage.data={pairs}", *changes) for part in ("--set", change)]
        figures = camelid("bench", "recipe", str(HERE / recipe), *sets)
        return {"pairs_per_second": figures["examples_per_second"], **figures}

    contenders = {f"TRL {setting}": lambda setting=setting: peer(script, setting, pairs) for setting in settings}
    contenders["camelid"] = ours
    # TRL's default setting recomputes activations too.
    contenders["camelid, checkpointed"] = lambda: ours("stage.activation_checkpointing=true")
    medians = alternate(contenders, rounds, "pairs_per_second")
    report(title, medians, "pairs_per_second", "pairs/s")
    return medians


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["gemm", "step", "decode", "sft", "dpo", "reward", "all"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--trl", default="default,f32,autocast,bf16", help="which settings of TRL to run")
    parser.add_argument("--json", type=pathlib.Path, help="write the medians here")
    arguments = parser.parse_args()
    subprocess.run(["cargo", "build", "--release", "--quiet"], cwd=ROOT, check=True)
    settings = arguments.trl.split(",")
    comparisons = {
        "gemm": compare_gemm,
        "step": compare_step,
        "decode": compare_decode,
        "sft": lambda rounds: compare_sft(rounds, settings),
        "dpo": lambda rounds: compare_pairs(
            rounds, settings, "trl_dpo.py", "dpo.toml", "DPO, LoRA r = 16, HH pairs"
        ),
        "reward": lambda rounds: compare_pairs(
            rounds, settings, "trl_reward.py", "reward.toml", "Reward model, LoRA r = 16, HH pairs"
        ),
    }
    chosen = comparisons if arguments.what == "all" else {arguments.what: comparisons[arguments.what]}
    results = {name: compare(arguments.rounds) for name, compare in chosen.items()}
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
