// Package netns holds tests with real daemons as processes, each in a network
// namespace of its own: partitions by packet filters, one-way and flapping,
// loss of packets, kill -9, and processes that are stopped and go on later. A
// simulated power switch kills daemons; what resources they ran is a file.
// Clients record what they read and write in the CIB, and the record is
// checked for linearizability.
//
// The tests need root, ip and iptables, and are skipped without.
//
//	go test ./cluster/simtest/netns                   about 20 s of faults
//	go test ./cluster/simtest/netns -faults 30m       for long
//	go test ./cluster/simtest/netns -seed 7           another order of faults
//	go test ./cluster/simtest/netns -run Busy -busy 10m -quiet
//	                                                  all processors busy, strict times
package netns
