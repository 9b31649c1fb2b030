"""What the peer scripts share: threads, the model folder, memory, one JSON line of result."""

import gzip
import json
import os
import pathlib
import re
import resource
import statistics

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.setdefault("MKL_NUM_THREADS", "2")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

PEERS_HOME = pathlib.Path(os.environ.get("PEERS_HOME", pathlib.Path.home() / ".cache/camelid-peers"))
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
MODEL = str(PEERS_HOME / "smollm2-135m-instruct-hf")


def result(**figures):
    """Prints the figures as the line that compare.py looks for."""
    figures["peak_memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print("RESULT " + json.dumps(figures), flush=True)


def median(values):
    return statistics.median(values)


def transcripts(path, count):
    """The `chosen` transcripts of an HH-RLHF file, as lists of chat messages."""
    opener = gzip.open if str(path).endswith(".gz") else open
    with opener(path, "rt") as lines:
        rows = [json.loads(line)["chosen"] for _, line in zip(range(count), lines)]
    return [messages(row) for row in rows]


def messages(transcript):
    """'\\n\\nHuman: ... \\n\\nAssistant: ...' as messages; neighbours of one role are one message."""
    turns = []
    for role, content in re.findall(r"\n\n(Human|Assistant): ?(.*?)(?=\n\n(?:Human|Assistant):|\Z)", transcript, re.S):
        role = {"Human": "user", "Assistant": "assistant"}[role]
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += "\n\n" + content.strip()
        else:
            turns.append({"role": role, "content": content.strip()})
    return turns
