"""Makes the models that ship: character n-gram classifiers, trained here and exported as one ONNX graph each.

`python -m heartbeat.training.language` and `python -m heartbeat.training.sentiment_fast` read data, train, measure
and write `onnx_models/NAME/VERSION/`. Nothing at run time imports this room; it needs the `train` extra.
"""
