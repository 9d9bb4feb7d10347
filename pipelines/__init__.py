"""What happens and when: the spec, the pipelines, the plan, the release, the command line."""
