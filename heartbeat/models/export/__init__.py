"""Makes a model of the catalogue from a sequence classifier of the `transformers` library: `make export-model`.

It runs in an environment of its own (deploy/requirements-export.lock), because torch is 5 GB; nothing of Heartbeat but
its tests imports it. `python -m heartbeat.models.export --help` lists what it takes; docs/export-model.md describes it.

- `request` is what was asked for; `posts` the texts to calibrate on and to compare; `odd` texts that break tokenizers
- `source` finds the model's files; `labels` and `original` read them as transformers does
- `graph` makes the ONNX graph, `quantise`, `blocks` and `embeddings` make it small
- `shipped` reads the new files with `tokenizers` and ONNX Runtime alone, `trial` as Heartbeat does; `agreement` holds
  what they say against the original
- `folder` puts it in place, whole or not at all; `exporting` does all of it in order
"""
