"""A `transformers` pipeline over a file of texts: what a user would run. Prints texts a second.

`python -m benchmarks.pipeline FOLDER TEXTS.json THREADS`
"""

import json
import sys
import time
from pathlib import Path

import torch
from transformers import pipeline


def main() -> None:
    folder, texts, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    classify = pipeline("text-classification", model=folder, tokenizer=folder, device="cpu", batch_size=32)
    own = json.loads(Path(texts).read_text("utf-8"))
    classify(own[:8])
    began = time.perf_counter()
    for _ in classify(own, truncation=True):
        pass
    print(len(own) / (time.perf_counter() - began))


if __name__ == "__main__":
    main()
