"""A record of the service on one GPU: answers, nodes, throughput, start, memory, precision, stages."""
