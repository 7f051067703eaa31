// Package lab switches virtual machines with a real kernel, for the tests that need
// one: of fencing (here), of cluster/locks, of replication/admin and of drivers. Only
// tests import it.
//
// The machines are those of a laboratory beside the repository (../shared/lab/README.md)
// whose image was built once. Without the flag -lab such a test is skipped:
//
//	go test ./cluster/simtest/lab -lab ../shared/lab/lab -timeout 3h
//
// The path is taken from the working directory or from the root of the repository.
// LAB_DIR chooses the laboratory; -patience stretches what tests wait at most, -stretch
// the times that clusters in the machines are configured with, -keep leaves the
// machines running for another try, and -ahead -15 lets other work of the host wait for
// the machines, which otherwise stand still for seconds at a time.
//
// A [Stack] is a cluster on the machines: gcrm, or Pacemaker with the agents of the
// distribution by the same script. A [Strike] takes a node out of service, and what its
// clients saw of that ([Machines.Ask] from the host, [Machines.Write] from a machine)
// comes out as [Gaps]. The tests that measure such gaps are TestFailover (here: an
// address and a process), and TestWithKernel of drivers/nfs and drivers/drbd.
package lab
