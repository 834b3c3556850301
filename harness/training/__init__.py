"""Training and evaluation of real models, and the files they are kept in."""
