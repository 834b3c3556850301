"""Load tests of live endpoints: open and closed loop, latency from the due time, and figures that cannot be fooled."""
