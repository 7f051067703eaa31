// Package lab has tests only: clusters of virtual machines with a real kernel,
// which are switched by what switches real ones. They need a laboratory (see
// ../shared/lab/README.md) with a built image:
//
//	go test ./cluster/simtest/lab -lab ../shared/lab/lab -timeout 3h
//
// The path is taken relative to the root of the repository. Without -lab they are
// skipped. LAB_DIR chooses the laboratory, -rounds how often a race is run.
package lab
