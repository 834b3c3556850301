"""Reports: the fold of an event log into one frozen result, and the forms a person or a program reads it in.

result.py    what a run came to: frozen values, ready to be shown
folding.py   where a run stands after the events seen so far; the live view looks at the same
assembly.py  events -> Result, pure
expect.py    a scenario's expectations, judged on what came of the run
why.py       one sentence that says why it ended so
diary.py     events in words; text.py figures as a person reads them
terminal.py  json.py  html.py    the forms; plots.py and assets/ belong to the last
junit.py  markdown.py  annotations.py    the forms that CI systems read; output.py: the files they go to
suite_page.py  compare.py  compare_page.py  listing.py    several runs; sketch.py: their plots
load_*.py    load tests and capacity searches: their results, fold, words and forms, of the same names
kinds.py     runs of any kind: told apart by their first event
"""

from harness.report.assembly import fold
from harness.report.kinds import AnyResult, fold_any, glance
from harness.report.load_fold import fold_capacity, fold_load
from harness.report.load_result import CapacityResult, LoadResult
from harness.report.result import Result
from harness.report.why import why

__all__ = [
    "AnyResult",
    "CapacityResult",
    "LoadResult",
    "Result",
    "fold",
    "fold_any",
    "fold_capacity",
    "fold_load",
    "glance",
    "why",
]
