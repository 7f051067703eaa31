// Package simtest holds the tests that run a whole cluster under a simulated
// clock: real controllers, real executors' cores, the real scheduler, and
// simulated agents, network, consensus, membership and fencing. A run is one
// goroutine and one random generator, so a seed replays it exactly:
//
//	go test ./cluster/simtest -seeds 1000     more runs than usual
//	go test ./cluster/simtest -first 1001     other runs than usual
//	go test ./cluster/simtest -seed 42 -v     one run, with its journal
//	go test ./cluster/simtest -pacemaker      plans by crm_simulate, for comparison
//
// The simulated agents themselves notice a primitive that is active twice.
package simtest
