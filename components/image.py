"""The image that pipeline steps run in on a cluster. Names hold 'python', as kfp's local runner asks."""

IMAGE = "intentflow-python:0.1.0"
