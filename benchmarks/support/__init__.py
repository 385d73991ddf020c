"""What several benchmarks share: photo sets, peers, servers, measurement of processes."""
