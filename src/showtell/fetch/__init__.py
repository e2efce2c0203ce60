"""Photos from the web: one fetcher for the command line and the server, which asks public hosts and nothing else."""
