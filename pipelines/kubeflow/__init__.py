"""Run pipelines on Kubeflow: declare versions and recurring runs, submit a run and follow it."""
