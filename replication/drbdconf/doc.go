// Package drbdconf reads and prints the drbd.conf language of DRBD 8.3 and 8.4.
//
// The contract:
//
//  1. Load reads a file and everything it includes and returns either a
//     complete, checked *Config or an ErrorList with every mistake found, each
//     with file, line, column, the source line and, where one can be guessed, a
//     suggestion. There is no half-valid result.
//  2. The union of the 8.3 and 8.4 spellings is accepted. An 8.3 spelling is
//     moved to its 8.4 place (a syncer rate becomes the disk option resync-rate)
//     and reported in Config.Warnings; nothing else in this package changes what
//     was written.
//  3. Values are checked when they are read: numbers against the range of their
//     option, words against the list of their option. Settings (see settings.go)
//     are the effective, typed values with inheritance and defaults applied.
//  4. Dump prints exactly what `drbdadm dump` of DRBD 8.4 prints for the same
//     file, and its output loads again to an equal configuration.
//
// The participle grammar in syntax.go knows only the shape of the language:
// statements made of words that end in ';' or in a block. What a statement means
// is decided by the section it stands in (interpret.go, host.go), because that is
// what makes a message like "unknown option rsync-rate in disk, did you mean
// resync-rate?" possible. The package does no I/O but through Source.
package drbdconf
