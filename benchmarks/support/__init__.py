"""Code shared by several benchmarks: photo sets, peers, servers, measurement of processes."""
