"""The stdlib side of the client runs: environments, the gateway under test, streams by hand, comparison."""
