"""Metrics, objectives, alerts and dashboards for Prometheus and Grafana."""
