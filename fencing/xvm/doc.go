// Package xvm is fence_xvm and fence_virt: it asks the host of virtual machines
// to switch one of them, by multicast with a connection back, over TCP, or over
// AF_VSOCK.
//
// A key authenticates both sides. Where other implementations go on without
// authentication when they cannot read it, this one refuses.
package xvm
