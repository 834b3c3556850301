"""The request plane's compiled kernel: requests as arrays, queue state carried from call to call.

A slot is the time at which it falls free. A bounded queue is a ring of the times at which requests leave it (to a slot,
or because the client gives up); first come, first served with one time-out makes them rise, so taking those that are
over off the front costs one step per request. Every outcome is recorded at the time the client sees it: what lies
beyond the end of the call waits in ``spill``.

State is a handful of flat arrays; the constants name the columns of their rows. All that happens is a function of the
requests' own times and numbers, so results do not depend on how time is cut into calls. Where the branch that a
comparison would make is a toss-up, the code computes both sides and selects.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.sim.bits import GOLDEN, WHOLE_SHARE, Int, Word, at, below, below_low, bucket, compiled, mix, share
from harness.sim.service import service_ns
from harness.stats.histogram import BUCKETS

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

# The run: `run`. Requests numbered so far, outcomes in `spill`, the share of answers that get a label, rows of the data
# set (0: no model in the loop), the length of a ring less one, how many rows a request is drawn from, how long those
# take to move from the first rows to the last, in ns; users, whether a user keeps to an arm, classes of requests; which
# arm's requests are copied (-1: none), the share of them that is, and the arm that copies are counted for.
NUMBER, FLYING, LABEL_EDGE, ROWS, RING_MASK, WINDOW, WALK_NS = range(7)
USERS, STICKY, CLASSES, COPIED, COPY_EDGE, COPY = range(7, 13)
RUN_COLUMNS: Final = 16

# What a request's draws are for: `keys`.
PURPOSES: Final = ("arm", "replica", "service", "error", "row", "label", "user", "class", "mirror", "copy")
DRAW_ARM, DRAW_REPLICA, DRAW_SERVICE, DRAW_ERROR, DRAW_ROW, DRAW_LABEL = range(6)
DRAW_USER, DRAW_CLASS, DRAW_MIRROR, DRAW_COPY = range(6, 10)

# A class of requests: columns of `classes`. Where the share of the next one begins, the arm that a header sends it to
# (-1: by weight), its rows in `members`, and how many of them a request is drawn from.
CLASS_EDGE, CLASS_ARM, CLASS_FIRST, CLASS_ROWS, CLASS_WINDOW, CLASS_COLUMNS = range(6)

# What a user has met at an arm: bits of `met`; LATELY goes when shares change.
MET, FAILED, WRONG, LATELY = 1, 2, 4, 8

# An arm: columns of `arms`. SLOTS is rounded up to whole blocks; those that are not real are never free. ROUTABLE
# replicas stand in `routable` from FIRST_ROUTABLE on, FAULTS faults in `faults` from FIRST_FAULT on, and the cells of
# the present data level in `cells` from FIRST_CELL on. FIRST_NS is when the first request came, below 0 before. OWNER
# is the arm whose replicas serve it: itself, but for copies.
SLOTS, QUEUE, TIMEOUT_NS, POLICY, FIRST_ROUTABLE, ROUTABLE, NEXT, FIRST_FAULT, FAULTS, FIRST_CELL, FIRST_NS, OWNER = (
    range(12)
)
ARM_COLUMNS: Final = 16
RANDOM, ROUND_ROBIN, TWO_CHOICES, LEAST_OUTSTANDING = range(4)
BLOCK: Final = 4

# A replica: columns of `replicas`. RING is where its ring begins. With four slots it fills a cache line.
DIES, HEAD, TAIL, RING, FIRST_SLOT = range(5)

# A fault: columns of `faults`.
BEGINS, RAMP, ENDS, EFFECT, MAGNITUDE, FAULT_COLUMNS = range(6)
FACTOR, ADD, SHARE, LOSES = range(4)

# What was seen of an arm: columns of `counts`. First what became of requests, then sums; WORK is service begun.
OK, ERROR, TIMEOUT, REJECTED, CRASH, NO_REPLICA, ARRIVALS, SUM, WAIT_SUM, WAIT_COUNT, WORK = range(11)
COUNTS: Final = 16
NEVER_CAME: Final = -1
"""What became of a request whose user was lost on the way: it is counted nowhere."""

# An outcome still to be seen: columns of `spill`. TAG packs arm, kind, label, class and cell; AT is where in `replicas`
# the replica begins that has it.
FINISH, LATENCY, WAIT, TAG, AT, USER, SPILL_COLUMNS = range(7)
KIND_AT, LABEL_AT, CLASS_AT, CELL_AT = 8, 16, 24, 32
BYTE: Final = 0xFF
MOST_CLASSES: Final = BYTE
NO_WAIT: Final = -1
"""Of a request that got no slot."""

HALF: Final = 32
"""A cell counts answers in its lower half, and in its upper half those that get a label."""


class State(NamedTuple):
    """All that the request plane knows, as arrays of the given shapes; the kernel takes them flat and changes them."""

    run: IntArray
    """(RUN_COLUMNS,)"""
    keys: NDArray[np.uint64]
    """(10,) one key for each purpose."""
    edges: IntArray
    """(arms - 1, at least 1) where the share of the next arm begins, of WHOLE_SHARE."""
    arms: IntArray
    """(arms, ARM_COLUMNS)"""
    tables: FloatArray
    """(arms, PIECES, 2) service times; see `harness.sim.service`."""
    faults: FloatArray
    """(arms, any, FAULT_COLUMNS)"""
    routable: IntArray
    """(arms, any) where in `replicas` those begin that get requests."""
    replicas: IntArray
    """(all replicas of all arms, FIRST_SLOT + slots)"""
    rings: IntArray
    """(as replicas, a power of two) when requests leave the queue, in ns."""
    counts: IntArray
    """(arms, COUNTS)"""
    buckets: IntArray
    """(arms, BUCKETS) the latency histogram."""
    cells: IntArray
    """(levels, arms, rows + 1) answers by data level and row; of copies, the upper half counts those whose original was
    answered too. The last place is for answers of models that are judged no more."""
    worse: NDArray[np.uint8]
    """(levels, arms, rows + 1) WRONG where the arm's answer is worse than stable's would be, if that is known."""
    met: NDArray[np.uint8]
    """(arms, users, at least 1) what each user has met."""
    classes: IntArray
    """(classes, at least 1; CLASS_COLUMNS)"""
    factors: FloatArray
    """(classes, at least 1) how many times as long as usual they take."""
    members: IntArray
    """(any,) rows that classes ask."""
    class_counts: IntArray
    """(arms, classes, at least 1; COUNTS) what was seen of each class; the columns of `counts` up to SUM."""
    class_buckets: IntArray
    """(arms, classes, at least 1; BUCKETS) their latencies."""
    spill: IntArray
    """(any, SPILL_COLUMNS) the first FLYING are in flight."""


@compiled
def waiting(state: State, replica: Int, at_ns: Int) -> Int:
    """Requests that wait at a replica at a time; those gone by then are taken off the ring."""
    head, tail = state.replicas[at(replica + HEAD)], state.replicas[at(replica + TAIL)]
    ring, mask = state.replicas[at(replica + RING)], state.run[RING_MASK]
    # One is gone or none is, as a rule: that much without a branch.
    head += (head < tail) & (state.rings[at(ring + (head & mask))] <= at_ns)
    while head < tail and state.rings[at(ring + (head & mask))] <= at_ns:
        head += 1
    state.replicas[at(replica + HEAD)] = head
    return tail - head


@compiled
def busy(state: State, slot: Int, at_ns: Int) -> Int:
    """How many of a block of slots are taken at a time."""
    one = np.int64(state.replicas[at(slot)] > at_ns) + np.int64(state.replicas[at(slot + 1)] > at_ns)
    return one + np.int64(state.replicas[at(slot + 2)] > at_ns) + np.int64(state.replicas[at(slot + 3)] > at_ns)


@compiled
def outstanding(state: State, replica: Int, slots: Int, at_ns: Int) -> Int:
    """Requests that a replica holds at a time (slots that are not real count as taken)."""
    count = busy(state, replica + FIRST_SLOT, at_ns)
    for slot in range(FIRST_SLOT + BLOCK, FIRST_SLOT + slots, BLOCK):
        count += busy(state, replica + slot, at_ns)
    return count + waiting(state, replica, at_ns)


@compiled
def choose(state: State, arm: Int, draw: Word, at_ns: Int) -> Int:
    """The replica that the arm's balancing gives a request to; there is one at least."""
    count, policy, slots = state.arms[at(arm + ROUTABLE)], state.arms[at(arm + POLICY)], state.arms[at(arm + SLOTS)]
    first = state.arms[at(arm + FIRST_ROUTABLE)]
    if count == 1:
        return state.routable[at(first)]
    if policy == TWO_CHOICES:
        one = below(draw, count)
        other = below_low(draw, count - 1)
        other += other >= one
        this, that = state.routable[at(first + one)], state.routable[at(first + other)]
        less = outstanding(state, that, slots, at_ns) < outstanding(state, this, slots, at_ns)
        return that if less else this
    if policy == RANDOM:
        return state.routable[at(first + below(draw, count))]
    if policy == ROUND_ROBIN:
        turn = state.arms[at(arm + NEXT)]
        turn = turn if turn < count else 0
        state.arms[at(arm + NEXT)] = turn + 1
        return state.routable[at(first + turn)]
    best = state.routable[at(first)]
    least = outstanding(state, best, slots, at_ns)
    for index in range(first + 1, first + count):
        load = outstanding(state, state.routable[at(index)], slots, at_ns)
        if load < least:
            best, least = state.routable[at(index)], load
    return best


@compiled
def soonest(state: State, slot: Int) -> Int:
    """The slot of a block that falls free first."""
    one, two = state.replicas[at(slot)], state.replicas[at(slot + 1)]
    three, four = state.replicas[at(slot + 2)], state.replicas[at(slot + 3)]
    front = slot + (two < one)
    back = slot + 2 + (four < three)
    return back if min(three, four) < min(one, two) else front


@compiled
def next_free(state: State, replica: Int, slots: Int) -> Int:
    """The slot of a replica that falls free first."""
    best = soonest(state, replica + FIRST_SLOT)
    for block in range(replica + FIRST_SLOT + BLOCK, replica + FIRST_SLOT + slots, BLOCK):
        slot = soonest(state, block)
        best = slot if state.replicas[at(slot)] < state.replicas[at(best)] else best
    return best


@compiled
def in_force(state: State, arm: Int, at_ns: Int) -> tuple[float, float, float, float]:
    """Latency factor, latency added in ns, share of errors and of users lost; see `harness.domain.fault`."""
    factor, added, spared, kept = 1.0, 0.0, 1.0, 1.0
    for index in range(state.arms[at(arm + FAULTS)]):
        fault = state.arms[at(arm + FIRST_FAULT)] + index * FAULT_COLUMNS
        begins, ramp = state.faults[at(fault + BEGINS)], state.faults[at(fault + RAMP)]
        if at_ns < begins or at_ns >= state.faults[at(fault + ENDS)]:
            continue
        strength = 1.0 if at_ns >= begins + ramp else (at_ns - begins) / ramp
        effect, magnitude = state.faults[at(fault + EFFECT)], state.faults[at(fault + MAGNITUDE)]
        if effect == FACTOR:
            factor *= 1.0 + (magnitude - 1.0) * strength
        elif effect == ADD:
            added += magnitude * strength
        elif effect == SHARE:
            spared *= 1.0 - magnitude * strength
        else:
            kept *= 1.0 - magnitude * strength
    return factor, added, 1.0 - spared, 1.0 - kept


@compiled
def record(state: State, latency: Int, wait: Int, tag: Int, user: Int) -> None:
    """Count an outcome that its client has seen."""
    arm, kind = tag & BYTE, (tag >> KIND_AT) & BYTE
    counts = arm * COUNTS
    state.counts[at(counts + kind)] += 1
    if kind <= TIMEOUT:
        state.counts[at(counts + SUM)] += latency
        state.buckets[at(arm * BUCKETS + bucket(latency))] += 1
    if wait >= 0:
        state.counts[at(counts + WAIT_SUM)] += wait
        state.counts[at(counts + WAIT_COUNT)] += 1
    harm = np.uint8(FAILED if kind != OK else 0)
    if kind == OK and state.run[ROWS]:
        state.cells[at(tag >> CELL_AT)] += 1 + (((tag >> LABEL_AT) & 1) << HALF)
        harm = state.worse[at(tag >> CELL_AT)]
    if state.run[USERS]:
        state.met[at(arm * state.run[USERS] + user)] |= harm
    if state.run[CLASSES]:
        place = arm * state.run[CLASSES] + ((tag >> CLASS_AT) & BYTE)
        state.class_counts[at(place * COUNTS + kind)] += 1
        if kind <= TIMEOUT:
            state.class_counts[at(place * COUNTS + SUM)] += latency
            state.class_buckets[at(place * BUCKETS + bucket(latency))] += 1


@compiled
def land(state: State, until_ns: Int) -> None:
    """Record what was in flight and is seen before a time."""
    left = 0
    for index in range(0, state.run[FLYING] * SPILL_COLUMNS, SPILL_COLUMNS):
        finish, latency = state.spill[at(index + FINISH)], state.spill[at(index + LATENCY)]
        wait, tag = state.spill[at(index + WAIT)], state.spill[at(index + TAG)]
        replica, user = state.spill[at(index + AT)], state.spill[at(index + USER)]
        if finish < until_ns:
            record(state, latency, wait, tag, user)
        else:
            keep(state, left, finish, latency, wait, tag, replica, user)
            left += 1
    state.run[FLYING] = left


@compiled
def keep(state: State, place: Int, finish: Int, latency: Int, wait: Int, tag: Int, replica: Int, user: Int) -> None:
    """Put an outcome that is still to be seen into a place of the spill."""
    index = place * SPILL_COLUMNS
    state.spill[at(index + FINISH)] = finish
    state.spill[at(index + LATENCY)] = latency
    state.spill[at(index + WAIT)] = wait
    state.spill[at(index + TAG)] = tag
    state.spill[at(index + AT)] = replica
    state.spill[at(index + USER)] = user


@compiled
def row(state: State, kind: Int, at_ns: Int, draw: Word) -> Int:
    """The row that a request of a class at a time asks: any of those that its time is in."""
    first, count, window, walk = np.int64(0), state.run[ROWS], state.run[WINDOW], state.run[WALK_NS]
    if state.run[CLASSES]:
        count = state.classes[at(kind * CLASS_COLUMNS + CLASS_ROWS)]
        window = state.classes[at(kind * CLASS_COLUMNS + CLASS_WINDOW)]
    rest = count - window
    if rest > 0:
        first = rest if at_ns >= walk else np.int64(float(at_ns) / float(walk) * float(rest))
    place = first + below(draw, window)
    if state.run[CLASSES]:
        return state.members[at(state.classes[at(kind * CLASS_COLUMNS + CLASS_FIRST)] + place)]
    return place


@compiled
def arm_of(state: State, user: Int, salt: Word) -> Int:
    """The arm that a request goes to by weight: drawn for it, or for its user once and for all.

    A user's draw never changes, so when shares change only those move who must.
    """
    counter = np.uint64(user) * GOLDEN if state.run[STICKY] else salt
    draw = share(mix(state.keys[DRAW_ARM] + counter))
    number = np.int64(draw >= state.edges[0])
    for index in range(1, state.edges.size):
        number += draw >= state.edges[at(index)]
    return number


@compiled
def attend(  # noqa: C901, PLR0915 - all that a request meets
    state: State, number: Int, kind: Int, user: Int, at_ns: Int, until_ns: Int, salt: Word, twist: Word, known: Int
) -> Int:
    """Serve one request at an arm; answers with what becomes of it.

    Args:
        state: all there is.
        number: the arm.
        kind: its class.
        user: who asks.
        at_ns: when it comes.
        until_ns: the end of the call.
        salt: its number's counter.
        twist: changes the draws of a copy; 0 for a request.
        known: below 0 for a request, whose label is drawn; of a copy, 1 where its original was answered, else 0.
    """
    arm, counts = number * ARM_COLUMNS, number * COUNTS
    factor, added, errors, lost = 1.0, 0.0, 0.0, 0.0
    if state.arms[at(arm + FAULTS)]:
        factor, added, errors, lost = in_force(state, arm, at_ns)
        whose = np.uint64(user) * GOLDEN if state.run[USERS] else salt
        if lost > 0.0 and share(mix(~state.keys[DRAW_USER] + whose)) < lost * WHOLE_SHARE:
            return NEVER_CAME
    state.counts[at(counts + ARRIVALS)] += 1
    if state.arms[at(arm + FIRST_NS)] < 0:
        state.arms[at(arm + FIRST_NS)] = at_ns
    if state.run[USERS]:
        state.met[at(number * state.run[USERS] + user)] |= np.uint8(MET | LATELY)
    classed = (number * state.run[CLASSES] + kind) * COUNTS
    if state.run[CLASSES]:
        state.class_counts[at(classed + ARRIVALS)] += 1
    if state.arms[at(arm + ROUTABLE)] == 0:
        return refuse(state, number, kind, user, NO_REPLICA)
    replica = choose(state, arm, mix((state.keys[DRAW_REPLICA] ^ twist) + salt), at_ns)
    gives_up_ns = at_ns + state.arms[at(arm + TIMEOUT_NS)]
    dies_ns = state.replicas[at(replica + DIES)]
    limit_ns = min(gives_up_ns, dies_ns)

    slot = next_free(state, replica, state.arms[at(arm + SLOTS)])
    start_ns = max(state.replicas[at(slot)], at_ns)
    queued = start_ns > at_ns
    if queued & (waiting(state, replica, at_ns) >= state.arms[at(arm + QUEUE)]):
        return refuse(state, number, kind, user, REJECTED)
    # Written in any case, and part of the ring only if the request queues.
    tail = state.replicas[at(replica + TAIL)]
    state.rings[at(state.replicas[at(replica + RING)] + (tail & state.run[RING_MASK]))] = min(start_ns, limit_ns)
    state.replicas[at(replica + TAIL)] = tail + queued

    service = service_ns(state.tables, number, mix((state.keys[DRAW_SERVICE] ^ twist) + salt))
    if state.run[CLASSES]:
        service *= state.factors[at(kind)]
    service = service * factor + added

    fate = TIMEOUT if gives_up_ns <= dies_ns else CRASH
    finish_ns = max(limit_ns, at_ns)
    wait = NO_WAIT
    if start_ns <= gives_up_ns and start_ns < dies_ns:
        end_ns = start_ns + np.int64(service + 0.5)
        released_ns = min(end_ns, dies_ns)
        state.replicas[at(slot)] = released_ns
        state.counts[at(state.arms[at(arm + OWNER)] * COUNTS + WORK)] += released_ns - start_ns
        wait = start_ns - at_ns
        if end_ns <= limit_ns:
            finish_ns = end_ns
            fate = OK
            if errors > 0.0 and share(mix((state.keys[DRAW_ERROR] ^ twist) + salt)) < errors * WHOLE_SHARE:
                fate = ERROR

    tag = number | fate << KIND_AT | kind << CLASS_AT
    if fate == OK and state.run[ROWS]:
        cell = state.arms[at(arm + FIRST_CELL)] + row(state, kind, at_ns, mix(state.keys[DRAW_ROW] + salt))
        label = np.int64(share(mix(state.keys[DRAW_LABEL] + salt)) < state.run[LABEL_EDGE]) if known < 0 else known
        tag |= cell << CELL_AT | label << LABEL_AT
    if finish_ns < until_ns:
        record(state, finish_ns - at_ns, wait, tag, user)
    else:
        keep(state, state.run[FLYING], finish_ns, finish_ns - at_ns, wait, tag, replica, user)
        state.run[FLYING] += 1
    return fate


@compiled
def refuse(state: State, number: Int, kind: Int, user: Int, fate: Int) -> Int:
    """Count a request that no replica takes."""
    state.counts[at(number * COUNTS + fate)] += 1
    if state.run[USERS]:
        state.met[at(number * state.run[USERS] + user)] |= np.uint8(FAILED)
    if state.run[CLASSES]:
        state.class_counts[at((number * state.run[CLASSES] + kind) * COUNTS + fate)] += 1
    return fate


@compiled
def serve(state: State, at_ns: Int, until_ns: Int, salt: Word) -> None:
    """Serve one request, and its copy if there is one; ``salt`` is its number's counter."""
    user, kind, number = np.int64(0), np.int64(0), np.int64(-1)
    if state.run[USERS]:
        user = below(mix(state.keys[DRAW_USER] + salt), state.run[USERS])
    if state.run[CLASSES]:
        draw = share(mix(state.keys[DRAW_CLASS] + salt))
        while draw >= state.classes[at(kind * CLASS_COLUMNS + CLASS_EDGE)]:
            kind += 1
        number = state.classes[at(kind * CLASS_COLUMNS + CLASS_ARM)]
    if number < 0:
        number = arm_of(state, user, salt)
    copied = number == state.run[COPIED] and share(mix(state.keys[DRAW_MIRROR] + salt)) < state.run[COPY_EDGE]
    twist, known = np.uint64(0), np.int64(-1)
    for _ in range(1 + copied):  # in a loop, for a second call would be a second copy of the code
        fate = attend(state, number, kind, user, at_ns, until_ns, salt, twist, known)
        if fate == NEVER_CAME:
            break
        number, twist, known = state.run[COPY], state.keys[DRAW_COPY], np.int64(fate == OK)


@compiled
def advance(state: State, arrivals: IntArray, until_ns: Int) -> Int:
    """Serve requests, and record every outcome that is seen before ``until_ns``.

    Args:
        state: Its arrays flat; changed in place.
        arrivals: Times of requests in ns, rising, all before ``until_ns``.
        until_ns: The end of the call.

    Returns:
        How many arrivals were served: all of them, or fewer where ``spill`` is full.
    """
    land(state, until_ns)
    counter = np.uint64(state.run[NUMBER]) * GOLDEN
    room = state.spill.size // SPILL_COLUMNS - 1  # a request may have a copy
    served = 0
    while served < arrivals.size and state.run[FLYING] < room:
        serve(state, arrivals[at(served)], until_ns, counter)
        counter += GOLDEN
        served += 1
    state.run[NUMBER] += served
    return served
