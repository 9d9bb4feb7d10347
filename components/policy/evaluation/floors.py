"""What a verdict on a policy must rest on at least, where a spec says nothing else. No numpy: specs read it."""

LEAST_ESS = 1000.0  # effective sample size, places
MOST_UNSUPPORTED = 0.01  # share of the policy's choices that the log may never have tried
