"""The router before the doors of the releases: sticky canary, mirroring, draining. It imports no model."""
