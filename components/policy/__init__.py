"""What is shown of what was ranked: policies, each with the probability that it shows an item."""
