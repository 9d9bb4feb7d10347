"""The pipelines as graphs: steps, parameters, settings of a task, and the proof that both runners see one graph."""
