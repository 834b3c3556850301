"""Adapters to what others have built: one vendor, one file.

uri.py      where a backend is, as users write it: ``memory:``, ``mlflow+sqlite:///PATH``, ``mlflow+https://HOST``
mlflow.py   a model registry and a tracker of training runs in MLflow
"""
