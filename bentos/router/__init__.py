"""The router before the releases' doors: sticky canary, mirror, drain. Knows no model and imports none."""
