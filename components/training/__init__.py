"""How networks are trained, whichever component's they are: steps, checkpoints, precision, several processes."""
