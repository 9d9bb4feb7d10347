"""Build the `profiles` folder: vocabularies, user rows block by block, states of items and targets."""
