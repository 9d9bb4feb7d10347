"""Scheduled work: `intentflow job NAME SPEC`, which a cluster's CronJobs call as well."""
