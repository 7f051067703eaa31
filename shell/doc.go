// Package shell is how people and scripts talk to a cluster: levels and
// commands, completion, help, the interactive prompt, tables and colour.
//
// Callers are the program's main and tests. Everything the shell can do stands
// in one table of verbs ([Root]); batch files, single commands, the prompt,
// completion and help all read it. The shell works on a [client.Cluster]: a
// running cluster, an embedded one, or a CIB file ([OpenFile]), and does not
// care which.
//
// Edits are staged: a [Session] holds a copy of the CIB that commands change,
// and commit verifies it and sends it as one change. A script is all or
// nothing: see [Session.RunScript].
//
// # Exit status
//
//	0    everything was done; the prompt was left
//	1    a command failed, a commit was refused, the cluster did not settle,
//	     or a resource that should run does not
//	2    an option or the script file cannot be used
//	64   gcrm simulate: wrong options
//	65   gcrm simulate: the input is not a CIB
//	66   gcrm simulate: the input cannot be read
//	73   gcrm simulate: an output file cannot be written
//	102  there is no cluster to talk to
//	130  interrupted
package shell
