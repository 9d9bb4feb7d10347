"""Kubernetes manifests of a release: write the overlay, render it, check it."""
