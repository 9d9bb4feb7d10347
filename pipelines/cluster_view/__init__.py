"""What runs in a Kubernetes namespace, and where that differs from the routes and the registry. Only reads."""
