"""The built-in router: a reverse proxy in a process of its own, which outlives a killed harness.

table.py       pure: which arm a request goes to; words.py: a routing as JSON holds it, and what is wrong with one
replicas.py    which replica of the arm: the least busy, in turn; when one that was left out is idle
refusing.py    what is not passed on
headers.py     what is passed on, and what is between two neighbours only
asking.py      one request to one replica after another, until one has begun to answer
proxy.py       from a user's request to the answer; copying.py: copies, their answers held against the originals'
changes.py     the routing in force, and who may change it; admin.py: both over HTTP, on a socket of its own
metrics.py     what Prometheus reads
process.py     from the first socket to the last answer
"""
