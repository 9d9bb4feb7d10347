"""A search for better settings of the intent model: an Optuna study, a training each trial, a proposal."""
