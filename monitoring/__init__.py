"""The watch: drift, performance, alerts, dashboards."""
