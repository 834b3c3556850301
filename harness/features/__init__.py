"""Features: what models see of their data, declared, fitted on training rows only and kept with the model.

reading.py   a feature set from YAML, every error with its place
building.py  a feature set and training rows to one ColumnTransformer; known.py: parts of it that are fitted by their
             arguments; naming.py: what its columns are called
store.py     tables of features with times, point-in-time joins; storing.py: their files
sketch.py    what a model's raw columns looked like in training, kept beside it as JSON

The set itself is a value, `harness.domain.features.FeatureSet`. Everything built here is made of scikit-learn's own
parts, so that a model file loads where harness is not installed.
"""
