"""Work that schedules ask for: `intentflow job NAME SPEC`; CronJobs of a cluster call the same verb."""
