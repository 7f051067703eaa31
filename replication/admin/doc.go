// Package admin is "gcrm volume": the process that serves a resource and the commands
// that talk to it, with the words of drbdadm.
//
// The contract:
//
//  1. One process serves a resource (Serve). It listens on a control socket in the
//     run folder, for root and its own user only. A keeper starts it again when it
//     dies; the new one goes on where the old one was (state file of this boot):
//     attached, connected, Primary if no other node became Primary meanwhile.
//  2. Every command is a line of JSON to that socket, and every answer one. Metadata
//     commands work on the disk when no process runs.
//  3. Options of the configuration take effect or are named, at up and in status.
//  4. Exit codes are those of drbdadm and drbdsetup: 1 usage, 10 configuration or
//     failure, 11 a state change was refused, 17 no up-to-date data.
package admin
