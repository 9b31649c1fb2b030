#!/usr/bin/env python3
"""Asks the same items of one model with Camelid and with lm-evaluation-harness, in f32, and compares them item by item.

usage: lm_eval_compare.py --data DIR [--tasks a,b] [--limit N] [--speed-items N] [--camelid BINARY] [--keep DIR]

DIR is laid out as `camelid evaluate --data` wants it. Run it with the peers' Python, in which setup.sh has put lm_eval. Rows are taken
evenly from each file; lm-evaluation-harness gets them as JSON lines with task definitions that are written here, with the
templates of its own tasks. It prints the share of items on which both agree, every disagreement with both log-likelihoods, and, with
--speed-items, how long both take for 5-shot ARC-Easy.
"""

import argparse
import csv
import gzip
import io
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import common

CAMELID = common.ROOT / "target/release/camelid"


def read(data, name):
    """Rows of a file under its plain or compressed name."""
    path = next((p for p in (data / name, data / (name + ".gz")) if p.exists()), None)
    if path is None:
        sys.exit(f"{data / name} is not there\n  fix: name a folder laid out as camelid evaluate --data wants it")
    text = (gzip.open(path) if path.suffix == ".gz" else open(path, "rb")).read().decode()
    if name.endswith(".csv"):
        return list(csv.DictReader(io.StringIO(text, newline="")))
    return json.loads(text) if text.lstrip().startswith("[") else [json.loads(line) for line in text.split("\n") if line.strip()]


def spread(rows, limit):
    return [row for place, row in enumerate(rows) if (place + 1) * limit // len(rows) > place * limit // len(rows)]


def instruction(pattern, row):
    found = re.search(pattern, row["instruction"], re.S)
    return found, int(re.sub(r"\D", "", row["answer"])) - 1


def arc(row):
    found, answer = instruction(r"question: (.*?)\s*\n\nAnswer1: (.*?)\s*\n\nAnswer format: ", row)
    return {"question": found[1], "choices": re.split(r" Answer\d: ", found[2]), "answer": answer}


def piqa(row):
    found, answer = instruction(r"question: (.*?)\s*\n\nSolution1: (.*?)\s*\n\nSolution2: (.*?)\s*\n\nAnswer format: ", row)
    return {"question": found[1], "choices": [found[2], found[3]], "answer": answer}


def winogrande(row):
    found, answer = instruction(r"sentence: (.*?)\s*\n\nOption1: (.*?) Option2: (.*?) Answer format: ", row)
    before, after = found[1].split("_", 1)
    return {"answer": answer, "prefixes": [before + found[2], before + found[3]], "rest": after.strip()}


def truthfulqa(which):
    def convert(row):
        parts = lambda name: [part.strip() for part in row[name].split(";") if part.strip()]
        right = [row["Best Answer"].strip()] if which == "mc1" else parts("Correct Answers")
        wrong = parts("Incorrect Answers")
        return {"question": row["Question"].strip(), "choices": right + wrong, "labels": [1] * len(right) + [0] * len(wrong)}

    return convert


SIX = [
    ("What is human life expectancy in the United States?", "Human life expectancy in the United States is 78 years."),
    ("Who was president of the United States in 1955?", "Dwight D. Eisenhower was president of the United States in 1955."),
    ("Which party did he belong to?", "He belonged to the Republican Party."),
    ("What is the square root of banana?", "I have no comment."),
    ("How does a telescope work?", "Telescopes use lenses or mirrors to focus light and make objects appear closer."),
    ("Where were the 1992 Olympics held?", "The 1992 Olympics were held in Barcelona, Spain."),
]
QUESTIONS = "\n\n".join(f"Q: {question}\nA: {answer}" for question, answer in SIX)
MC = {"output_type": "multiple_choice", "doc_to_choice": "{{choices}}", "doc_to_target": "answer"}
# name: (file, converter, definition for lm-evaluation-harness, shots, file and converter of exemplars)
PLAIN = {
    "arc-easy": ("commonsense_mc/ARC-Easy_test.json", arc, {**MC, "doc_to_text": "Question: {{question}}\nAnswer:"}, 0, None),
    "arc-challenge": (
        "commonsense_mc/ARC-Challenge_test.json",
        arc,
        {**MC, "doc_to_text": "Question: {{question}}\nAnswer:"},
        5,
        "commonsense_mc/ARC-Challenge_train.json",
    ),
    "openbookqa": ("commonsense_mc/openbookqa_test.json", arc, {**MC, "doc_to_text": "question"}, 0, None),
    "piqa": ("commonsense_mc/piqa_test.json", piqa, {**MC, "doc_to_text": "Question: {{question}}\nAnswer:"}, 0, None),
    "siqa": ("commonsense_mc/social_i_qa_test.json", arc, {**MC, "doc_to_text": "Q: {{question}}\nA:"}, 0, None),
    "winogrande": (
        "commonsense_mc/winogrande_test.json",
        winogrande,
        {"output_type": "multiple_choice", "doc_to_text": "answer", "doc_to_choice": "{{prefixes}}", "doc_to_target": "rest"},
        0,
        None,
    ),
    "truthfulqa-mc1": (
        "truthfulqa/TruthfulQA.csv",
        truthfulqa("mc1"),
        {**MC, "doc_to_text": QUESTIONS + "\n\nQ: {{question}}\nA:", "doc_to_target": 0},
        0,
        None,
    ),
    "gsm8k": (
        "gsm8k/test.jsonl",
        dict,
        {
            "output_type": "generate_until",
            "doc_to_text": "Question: {{question}}\nAnswer:",
            "doc_to_target": "{{answer}}",
            "generation_kwargs": {"until": ["Question:", "</s>", "<|im_end|>"], "do_sample": False, "max_gen_toks": 256},
        },
        5,
        "gsm8k/train.jsonl",
    ),
}
TASKS = [*PLAIN, "mmlu", "bbh"]
GENERATED = {"gsm8k", "bbh"}
SUBJECTS = ["anatomy", "astronomy", "high_school_geography", "marketing", "virology"]
HARD = ["boolean_expressions", "navigate", "sports_understanding", "date_understanding", "object_counting"]


class Workshop:
    """A folder with the rows for Camelid and the tasks for lm-evaluation-harness."""

    def __init__(self, folder, data, limit):
        self.folder, self.data, self.limit = folder, data, limit
        self.rows, self.tasks = folder / "data", folder / "lm_eval"
        self.tasks.mkdir(parents=True, exist_ok=True)

    def lines(self, path, rows):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        return str(path)

    def give(self, name, rows):
        """Rows for Camelid, as their file has them."""
        path = self.rows / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".csv"):
            with open(path, "w", newline="") as out:
                writer = csv.DictWriter(out, rows[0].keys())
                writer.writeheader()
                writer.writerows(rows)
        elif name.endswith(".json"):
            path.write_text(json.dumps(rows, ensure_ascii=False))
        else:
            self.lines(path, rows)

    def define(self, name, definition, docs, shots=0, exemplars=None):
        """A task of lm-evaluation-harness. JSON is YAML."""
        files = {"test": self.lines(self.tasks / f"{name}_test.jsonl", docs)}
        definition = {"task": name, "dataset_path": "json", "test_split": "test", "num_fewshot": shots, **definition}
        if exemplars:
            files["dev"] = self.lines(self.tasks / f"{name}_dev.jsonl", exemplars)
            definition |= {"fewshot_split": "dev", "fewshot_config": {"sampler": "first_n"}}
        kind = definition["output_type"] == "multiple_choice"
        metrics = [{"metric": "acc"}, {"metric": "acc_norm"}] if kind else [{"metric": "exact_match"}]
        definition |= {"dataset_kwargs": {"data_files": files}, "metric_list": metrics, "metadata": {"version": 1.0}}
        (self.tasks / f"{name}.yaml").write_text(json.dumps(definition, ensure_ascii=False))

    def prepare(self, task):
        """Names of the harness's tasks, in the order of Camelid's items."""
        if task == "mmlu":
            dev, test = read(self.data, "mmlu/dev.jsonl"), read(self.data, "mmlu/test.jsonl")
            text = "{{question.strip()}}\nA. {{choices[0]}}\nB. {{choices[1]}}\nC. {{choices[2]}}\nD. {{choices[3]}}\nAnswer:"
            given = []
            for subject in SUBJECTS:
                number = lambda row: {**row, "answer": "ABCD".index(row["answer"])}
                of = lambda rows: [row for row in rows if row["subject"] == subject]
                picked = spread(of(test), max(1, self.limit // len(SUBJECTS)))
                given += picked
                self.define(
                    f"mmlu_{subject}_x",
                    {
                        "output_type": "multiple_choice",
                        "description": f"The following are multiple choice questions (with answers) about {subject.replace('_', ' ')}.\n\n",
                        "doc_to_text": text,
                        "doc_to_choice": ["A", "B", "C", "D"],
                        "doc_to_target": "answer",
                    },
                    [number(row) for row in picked],
                    5,
                    [number(row) for row in of(dev)],
                )
            self.give("mmlu/test.jsonl", given)
            self.give("mmlu/dev.jsonl", dev)
            return [f"mmlu_{subject}_x" for subject in SUBJECTS]
        if task == "bbh":
            rows, given = read(self.data, "bbh/bbh.jsonl"), []
            for name in HARD:
                prompt = (self.data / f"bbh/cot-prompts/{name}.txt").read_text()
                (self.rows / "bbh/cot-prompts").mkdir(parents=True, exist_ok=True)
                (self.rows / f"bbh/cot-prompts/{name}.txt").write_text(prompt)
                head, *worked = prompt.split("-----\n", 1)[1].strip().split("\n\nQ: ")
                shots = [head]
                for example in worked:
                    question, reasoned = example.split("\nA: Let's think step by step.", 1)
                    answer = re.search(r".*[Tt]he answer is (.*?)\.?$", reasoned, re.S)[1]
                    shots.append(f"Q: {question}\nA: {answer}")
                picked = spread([row for row in rows if row["task"] == name], max(1, self.limit // len(HARD)))
                given += picked
                self.define(
                    f"bbh_{name}_x",
                    {
                        "output_type": "generate_until",
                        "description": "\n\n".join(shots) + "\n\n",
                        "doc_to_text": "Q: {{input}}\nA:",
                        "doc_to_target": "{{target}}",
                        "generation_kwargs": {"until": ["</s>", "Q:", "\n\n"], "do_sample": False, "max_gen_toks": 64},
                    },
                    picked,
                )
            self.give("bbh/bbh.jsonl", given)
            return [f"bbh_{name}_x" for name in HARD]
        file, convert, definition, shots, exemplars = PLAIN[task]
        rows = spread(read(self.data, file), self.limit)
        self.give(file, rows)
        if exemplars:
            # Camelid takes the first of the split too.
            first = read(self.data, exemplars)[: shots + 1]
            self.give(exemplars, first)
            exemplars = [convert(row) for row in first]
        name = task.replace("-", "_") + "_x"
        self.define(name, definition, [convert(row) for row in rows], shots, exemplars)
        return [name]


def camelid(binary, workshop, task, out, extra=()):
    command = [str(binary), "evaluate", common.MODEL, "--tasks", task, "--data", str(workshop.rows), "--out", str(out), "--plain"]
    done = subprocess.run([*command, "--restart", *extra], capture_output=True, text=True)
    path = out / "items" / f"{task}.jsonl"
    # Exit code 1 alone says that a score is void, as a small model's often is.
    if done.returncode not in (0, 1) or not path.exists():
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    items = [json.loads(line) for line in path.read_text().splitlines()]
    seconds = next(t for t in json.loads((out / "results.json").read_text())["tasks"] if t["task"] == task)["seconds"]
    return items, seconds


def harness(model, workshop, names, batch):
    import lm_eval
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(workshop.tasks), include_defaults=False)
    start = time.perf_counter()
    results = lm_eval.simple_evaluate(
        model=model, tasks=names, task_manager=manager, log_samples=True, bootstrap_iters=0, batch_size=batch, verbosity="ERROR"
    )
    seconds = time.perf_counter() - start
    samples = [sample for name in names for sample in sorted(results["samples"][name], key=lambda sample: sample["doc_id"])]
    return samples, seconds


def log_likelihood(response):
    """A response is (log-likelihood, greedy), in a list for each repeat."""
    while isinstance(response[0], (list, tuple)):
        response = response[0]
    return float(response[0])


def compare(task, items, samples):
    """Items on which both agree, disagreements as text, and the largest difference between log-likelihoods."""
    if len(items) != len(samples):
        sys.exit(f"{task}: {len(items)} items here, {len(samples)} there")
    agreed, different, largest = 0, [], 0.0
    for item, sample in zip(items, samples):
        if task in GENERATED:
            theirs = sample["resps"][0][0]
            same = item["answer"].strip() == theirs.strip()
            shown = f"here {item['answer'][:160]!r}\n    there {theirs[:160]!r}"
        else:
            ours = item["details"]["log_probs"]
            theirs = [log_likelihood(response) for response in sample["filtered_resps"]]
            largest = max([largest, *(abs(a - b) for a, b in zip(ours, theirs))])
            best = lambda values: max(range(len(values)), key=lambda place: values[place])
            same = len(ours) == len(theirs) and best(ours) == best(theirs)
            if "acc_norm" in sample and "acc" in item["details"]:
                same &= item["score"] == sample["acc_norm"]
            shown = f"here {[round(x, 4) for x in ours]}\n    there {[round(x, 4) for x in theirs]}"
        agreed += same
        if not same:
            different.append(f"  {task}/{item['item']}: {shown}")
    return agreed, different, largest


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--limit", type=int, default=100)
    parser.add_argument("--speed-items", type=int, default=0)
    parser.add_argument("--batch", type=int, default=8, help="sequences that lm-evaluation-harness computes together")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--camelid", type=pathlib.Path, default=CAMELID)
    parser.add_argument("--keep", type=pathlib.Path, help="write rows, tasks and evaluations here")
    arguments = parser.parse_args()
    tasks = [task for task in arguments.tasks.split(",") if task]
    if unknown := [task for task in tasks if task not in TASKS]:
        sys.exit(f"unknown tasks: {', '.join(unknown)}\n  fix: choose among {', '.join(TASKS)}")
    import torch
    from lm_eval.models.huggingface import HFLM

    torch.set_num_threads(arguments.threads)
    model = HFLM(pretrained=common.MODEL, dtype="float32", device="cpu", batch_size=arguments.batch)
    threads = ["--threads", str(arguments.threads)]
    figures, total, same = {}, 0, 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or pathlib.Path(temporary)
        for task in tasks:
            workshop = Workshop(folder / task, arguments.data, arguments.limit)
            names = workshop.prepare(task)
            shots = ["--shots", str(PLAIN[task][3])] if task in PLAIN and PLAIN[task][4] else []
            extra = ["--compute", "f32", *shots, *threads]
            items, ours = camelid(arguments.camelid, workshop, task, folder / task / "evaluation", extra)
            samples, theirs = harness(model, workshop, names, arguments.batch)
            agreed, different, largest = compare(task, items, samples)
            total, same = total + len(items), same + agreed
            print(f"{task}: {agreed} of {len(items)} agree; log-likelihoods differ by {largest:.4f} at most; {ours:.1f} s here, {theirs:.1f} s there")
            print("\n".join(different), flush=True)
            figures[task] = {"agreed": agreed, "items": len(items), "largest_difference": largest}
        if total:
            print(f"agreement: {same} of {total}, {100 * same / total:.2f} %")
        if arguments.speed_items:
            workshop = Workshop(folder / "speed", arguments.data, arguments.speed_items)
            PLAIN["arc-easy"] = (*PLAIN["arc-easy"][:3], 5, "commonsense_mc/ARC-Easy_train.json")
            names = workshop.prepare("arc-easy")
            for label, extra in (("f32", ["--compute", "f32"]), ("auto", ["--compute", "auto"])):
                _, seconds = camelid(arguments.camelid, workshop, "arc-easy", folder / f"speed-{label}", ["--shots", "5", *extra, *threads])
                figures[f"speed_{label}"] = seconds
            _, theirs = harness(model, workshop, names, arguments.batch)
            figures["speed_lm_eval"] = theirs
            for label in ("f32", "auto"):
                ours = figures[f"speed_{label}"]
                print(f"5-shot arc-easy, {arguments.speed_items} items: {ours:.2f} s ({label}) against {theirs:.2f} s, {theirs / ours:.1f} times as fast")
    common.result(**figures)


if __name__ == "__main__":
    main()
