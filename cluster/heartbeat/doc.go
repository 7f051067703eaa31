// Package heartbeat tells which nodes of a cluster are alive: every node sends
// every other one small keyed datagrams over every link between them.
//
// [Machine] is a pure state machine: datagrams and the time go in, datagrams
// to be sent and [Event]s come out. [Runner] is the thin shell around it that
// owns the sockets. Timeouts of the whole cluster are derived in timing.go.
//
// The contract of the machine:
//
//   - A peer is up when, over at least one link, its heartbeats arrive here
//     and carry back one of ours that is not old: traffic goes both ways. It is
//     down when that has not been so for Timing.DeadAfter. So both ends of a
//     one-way link come to the same judgement.
//   - A heartbeat counts only if its code is right, it is meant for this node,
//     and it is newer than all before it on its link. After a restart of
//     either end a peer comes up only after it has answered to this very
//     incarnation, so that recorded datagrams bring nobody back to life.
//   - A peer that comes with a higher incarnation was restarted: it comes up
//     once more. A lower incarnation is not listened to.
//   - Time during which the own process did not run does not count as silence
//     of others.
package heartbeat
