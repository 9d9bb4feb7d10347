"""User profiles: feature tables, segments, point-in-time training rows, materialisation."""
