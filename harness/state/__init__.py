"""What is not history, and what several processes must agree on, in one SQLite file below the folder of reports.

Who drives a rollout (`lease`), and what people say to a run from another terminal (`inbox`). History is in logs alone.
"""
