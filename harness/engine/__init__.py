"""The only part with effects: it runs the stages it is given, drives the rollout's machine, and makes it safe.

run.py       one run from its first event to its last, whatever happens in between
resume.py    one that was cut off, taken up again; stood.py: the fold of its log; known.py: versions it had registered
executor.py  the owner of the log: every intent before its effect, every effect after it
stages.py    gates and registration, which need nothing but rules and a registry
rollout.py   feeds the machine with what is seen, and does what it asks for
looks.py     measures both arms again and again, and judges them
settle.py    promotion, and the way back to stable, verified or escalated
attempts.py  trying a stage again after a pause, and giving it up in time

Beside a run:

graph.py     stages that need each other, as soon as they can, some side by side
store.py     their results, kept by the digest of what they were made of
"""

from harness.engine.executor import Parts
from harness.engine.resume import Cut, resume
from harness.engine.run import run

__all__ = ["Cut", "Parts", "resume", "run"]
