#!/usr/bin/env python3
"""Makes the recordings of crates/eval/tests/recorded from openly licensed sets: only what scoring reads.

llmbar.json.gz  verdicts of 499 judges in both orders, labels, which output is longer, the published figures (MIT)
bbh.json.gz     code-davinci-002's direct answers, the lines of its chains of thought that state an answer, targets (MIT)
gsm8k.json.gz   the last lines of four models' solutions, expected numbers, verdicts of the authors (MIT)
ifeval.json.gz  prompts' instructions, GPT-4's responses, verdicts of the published checkers (Apache-2.0)
punkt_english.json.gz is a copy (Apache-2.0) and lies in crates/eval/src/instructions.

Run: python tools/make_eval_fixtures.py FOLDER   (with llmbar, bbh, gsm8k, ifeval as published)
"""

import gzip
import json
import sys
from pathlib import Path

TO = Path(__file__).parent.parent / "crates/eval/tests/recorded"


def rows(path):
    opened = gzip.open(path, "rt") if path.suffix == ".gz" else open(path)
    with opened as lines:
        return [json.loads(line) for line in lines]


def write(name, value):
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    (TO / name).write_bytes(gzip.compress(text.encode(), 9, mtime=0))


def verdict(swapped):
    return swapped["winner"] or "-"


def llmbar(folder):
    sets = []
    for name, judges in json.loads((folder / "statistics.json").read_text()).items():
        place = folder / name.replace("LLMEval^2", "LLMEval2")
        items = json.loads((place / "dataset.json").read_text())
        recorded = []
        for judge, methods in judges.items():
            [file] = (place / "recorded").glob(f"{judge}.jsonl*")
            results = rows(file)
            for method, figures in methods.items():
                of_method = sorted((row for row in results if row["method"] == method), key=lambda row: row["i"])
                assert [row["label"] for row in of_method] == [item["label"] for item in items]
                last = [row["results"][-1] for row in of_method]
                recorded.append({
                    "judge": judge, "method": method,
                    "as_given": "".join(verdict(row["swap = False"]) for row in last),
                    "swapped": "".join(verdict(row["swap = True"]) for row in last),
                    "published": figures,
                })  # fmt: skip
        lengths = [len(item["output_1"]) - len(item["output_2"]) for item in items]
        sets.append({
            "name": name, "labels": "".join(str(item["label"]) for item in items),
            "longer": "".join("1" if more > 0 else "2" if more < 0 else "=" for more in lengths), "recorded": recorded,
        })  # fmt: skip
    write("llmbar.json.gz", sets)


def bbh(folder):
    def stated(prediction):
        # The first line from the mark on; of a solution without it, nothing that scoring reads.
        at = prediction.find("the answer is ")
        return "" if at < 0 else prediction[at:].split("\n")[0]

    direct, thought = (rows(folder / f"recorded/code-davinci-002-{mode}.jsonl.gz") for mode in ("direct", "cot"))
    thoughts = {(row["task"], row["k"]): stated(row["prediction"]) for row in thought}
    tasks = {}
    for row in direct:
        answers = tasks.setdefault(row["task"], [])
        answers.append([row["target"], row["prediction"], thoughts[row["task"], row["k"]]])
    write("bbh.json.gz", tasks)


def gsm8k(folder):
    items = rows(folder / "example_model_solutions.jsonl.gz")
    last = lambda text: text.strip().split("\n")[-1][-60:]
    models = [name for name in items[0] if isinstance(items[0][name], dict)]
    write("gsm8k.json.gz", {
        "expected": [last(item["ground_truth"]) for item in items],
        "models": {model: [[last(item[model]["solution"]), int(item[model]["is_correct"])] for item in items]
                   for model in models},
    })  # fmt: skip


def ifeval(folder):
    responses = {row["prompt"]: row["response"] for row in rows(folder / "input_response_data_gpt4_20231107_145030.jsonl.gz")}
    scores = {row["key"]: row for row in json.loads((folder / "gpt4_reference_scores.json").read_text())}
    items = []
    for row in rows(folder / "input_data.jsonl.gz"):
        given = [{key: value for key, value in arguments.items() if value is not None} for arguments in row["kwargs"]]
        items.append({
            "key": row["key"], "instructions": row["instruction_id_list"], "arguments": given,
            "response": responses[row["prompt"]], "strict": scores[row["key"]]["strict"],
            "loose": scores[row["key"]]["loose"],
        })  # fmt: skip
    write("ifeval.json.gz", items)


def main():
    folder = Path(sys.argv[1])
    TO.mkdir(parents=True, exist_ok=True)
    for make in (llmbar, bbh, gsm8k, ifeval):
        make(folder / make.__name__)


if __name__ == "__main__":
    main()
