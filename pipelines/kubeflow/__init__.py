"""Kubeflow as a place to run: what is declared there, and the runs that are asked for."""
