"""Register, gate, promote, roll back: the only place that knows MLflow's registry."""
