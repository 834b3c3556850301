"""Serving a model over HTTP: the model server, its stand-in with faults to order, and the client of both.

features.py    what an estimator takes, read off its parts; probe.py: what only asking it tells
checking.py    requests held against that, every fault at once; bodies.py: JSON in UTF-8
compiled.py    pipelines without DataFrames; answering.py: used only where it gives the very same
batching.py    what waits is asked together, in threads of its own
protocols/     json, MLflow's and the Open Inference Protocol; openapi.py: all of it described
server.py      the application; logs.py, labels.py, metrics.py: what it writes down
process.py     from the first socket to the last answer
fake/          the stand-in; client/: who asks
"""
