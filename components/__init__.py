"""The steps: one folder each; pure functions and a thin Kubeflow shell."""
