"""Asks transformers, and nothing of Heartbeat: JSON in, JSON out. Run by the export environment's Python."""

from __future__ import annotations

import json
import sys

import tokenizers
import torch
import transformers

asked = json.load(sys.stdin)
tokenizer = transformers.AutoTokenizer.from_pretrained(asked["model"])
model = transformers.AutoModelForSequenceClassification.from_pretrained(asked["model"]).eval()
ids, probabilities = [], []
with torch.inference_mode():
    for text in asked["texts"]:
        given = tokenizer(text, truncation=True, max_length=asked["max_tokens"], return_tensors="pt")
        ids.append(given["input_ids"][0].tolist())
        probabilities.append(model(**given).logits.softmax(-1)[0].tolist())
versions = {"tokenizers": tokenizers.__version__, "transformers": transformers.__version__}
json.dump({"ids": ids, "probabilities": probabilities, "versions": versions}, sys.stdout)
