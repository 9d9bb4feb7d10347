"""Training past one process: what a rank needs within torchrun, and TrainJobs on a cluster."""
