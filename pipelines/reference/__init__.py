"""What a spec and an environment may hold, from the models: pages, JSON Schemas and `intentflow explain`."""
