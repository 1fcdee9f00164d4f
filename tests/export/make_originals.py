"""Makes the originals that exports are tried on: small encoders with random weights, whole folders like a hub's.

Run by the export environment's Python: `python make_originals.py POSTS.jsonl FOLDER`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import sentencepiece
import torch
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
}
README = "---\nlanguage:\n- en\nlicense: cc-by-4.0\n---\n# A model of random numbers\n"
THREE = {0: "negative", 1: "neutral", 2: "positive"}


def made(model_class: Any, config: Any, labels: dict[int, str], seed: int, **more: Any) -> Any:
    """A classifier whose labels differ from text to text: its last layer is large, and its bias evens out."""
    torch.manual_seed(seed)
    model = model_class(config(**more, id2label=labels, label2id={name: i for i, name in labels.items()})).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 2 and "LayerNorm" not in name:
                parameter.normal_(0, 0.25 if "classifier.out_proj" not in name else 1.5)
            elif name.endswith("bias"):
                parameter.normal_(0, 0.05)
    return model


def even_out(model: Any, tokenizer: Any, texts: list[str]) -> None:
    """Take the mean logits off, so that no label stands for nearly all texts."""
    with torch.inference_mode():
        logits = torch.cat(
            [model(**tokenizer(t, truncation=True, max_length=64, return_tensors="pt")).logits for t in texts]
        )
    last = model.classifier.out_proj if hasattr(model.classifier, "out_proj") else model.classifier
    with torch.no_grad():
        last.bias -= logits.mean(0)


def byte_level(texts: list[str], folder: Path) -> None:
    """vocab.json and merges.txt alone, as models on the hub have them."""
    trainer = trainers.BpeTrainer(
        vocab_size=900,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.model.save(str(folder))


def word_pieces(texts: list[str], folder: Path) -> None:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(texts, trainers.WordPieceTrainer(vocab_size=900, special_tokens=special))
    tokenizer.model.save(str(folder))


def sentence_pieces(texts: list[str], folder: Path) -> None:
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_prefix=str(folder / "sentencepiece.bpe"),
        vocab_size=900,
        model_type="unigram",
        normalization_rule_name="nmt_nfkc",
        hard_vocab_limit=False,
        minloglevel=2,
    )
    (folder / "sentencepiece.bpe.vocab").unlink()


def write(folder: Path, model: Any, texts: list[str], *, safe: bool = True) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    even_out(model, tokenizer, texts[:200])
    model.save_pretrained(folder, safe_serialization=safe)
    (folder / "README.md").write_text(README, encoding="utf-8")


def begin(root: Path, name: str, model_type: str, **tokenizer: Any) -> Path:
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"model_type": model_type}), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    return folder


def main(posts: Path, root: Path) -> None:
    lines = posts.read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line)["content"] for line in lines if line]
    roberta: dict[str, Any] = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "type_vocab_size": 1}

    folder = begin(root, "roberta", "roberta", model_max_length=512)
    byte_level(texts, folder)
    size = len(json.loads((folder / "vocab.json").read_text(encoding="utf-8")))
    shape = {**SIZES, **roberta, "vocab_size": size, "max_position_embeddings": 514}
    model = made(transformers.RobertaForSequenceClassification, transformers.RobertaConfig, THREE, 1, **shape)
    write(folder, model, texts, safe=False)

    folder = begin(root, "xlm-roberta", "xlm-roberta", model_max_length=512)
    sentence_pieces(texts, folder)
    shape["vocab_size"] = len(transformers.AutoTokenizer.from_pretrained(folder))
    labels = {0: "Positive", 1: "Negative", 2: "Neutral"}
    model = made(transformers.XLMRobertaForSequenceClassification, transformers.XLMRobertaConfig, labels, 2, **shape)
    write(folder, model, texts)

    folder = begin(root, "bert", "bert", do_lower_case=True, model_max_length=512)
    word_pieces(texts, folder)
    size = len((folder / "vocab.txt").read_text(encoding="utf-8").splitlines())
    shape = {**SIZES, "vocab_size": size, "max_position_embeddings": 96}
    numbered = {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}
    model = made(transformers.BertForSequenceClassification, transformers.BertConfig, numbered, 3, **shape)
    write(folder, model, texts)

    folder = begin(root, "distilbert", "distilbert", do_lower_case=False, model_max_length=512)
    word_pieces(texts, folder)
    size = len((folder / "vocab.txt").read_text(encoding="utf-8").splitlines())
    small = {"dim": 32, "hidden_dim": 64, "n_layers": 2, "n_heads": 4, "vocab_size": size}
    two = {0: "POSITIVE", 1: "NEGATIVE"}
    model = made(transformers.DistilBertForSequenceClassification, transformers.DistilBertConfig, two, 4, **small)
    write(folder, model, texts)
    # with the tokenizer that transformers makes of it: it pads and cuts by itself, which the export has to undo
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.backend_tokenizer.enable_padding(length=64)
    tokenizer.backend_tokenizer.enable_truncation(64)
    tokenizer.save_pretrained(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
