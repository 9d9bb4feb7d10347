"""Monitoring: drift, alerts, dashboards, and reports of runs."""
