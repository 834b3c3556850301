"""Serving a model over HTTP: the model server, its stand-in with faults to order, and the client of both."""
