"""What is shown and sent of what was found: a page, metrics and rules for Prometheus, dashboards."""
