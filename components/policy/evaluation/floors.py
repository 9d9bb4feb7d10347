"""What a verdict on a policy must rest on at least, where a spec says nothing else. No numpy: specs read it."""

LEAST_ESS = 1000.0  # effective sample size, places
LEAST_USERS = 30  # whose answers were not learnt from: a user's own are not independent of each other
MOST_UNSUPPORTED = 0.01  # share of the policy's choices that the log may never have tried
