"""HTTP at the door: authentication, rate limits, refusals, tracing, and bounded pools for blocking work."""
