"""The intent model: the probability of each declared intent within its horizon."""
