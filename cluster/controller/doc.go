// Package controller decides, on the leader, what the cluster does next: it
// has plans computed, walks their graphs, and turns what happens into changes
// of the CIB. It is a pure state machine; time, randomness and everything that
// happens outside come in through [Controller.Step], and what is to be done
// comes out of it as [Effect]s.
//
// The caller is the node's daemon (and simulations). It must
//
//  1. call Step from one goroutine at a time, with a time that does not run
//     backwards, and carry out the effects in the order given; carrying out
//     may wait, Step must not wait for it;
//  2. give the machine [Applied] for every change in the order of the
//     replicated log, on every node at all times, leader or not, and queue it
//     before anybody is told that the change was committed. So whoever knows of
//     a commit and then talks to the leader finds it informed;
//  3. give it [BecameLeader] only when everything that earlier leaders
//     committed was applied (after a barrier), with a term higher than that of
//     every leader before and a fresh random UUID; and [LostLeader] when the
//     node stops leading;
//  4. call Step with [Tick] at the time [Controller.Wake] names;
//  5. answer every [Apply], [Query], [Dispatch] and [Fence] with exactly one
//     [ApplyDone], [Answered], [Dispatched] or [Fenced] with its Ref, after any
//     time. An answer with an error means that the outcome is not known.
//
// # How a plan is carried out
//
// An action runs when all its inputs are confirmed. Pseudo actions are
// confirmed at once. Agent actions get a pending record, many in one status
// change; when that change comes back applied they are dispatched to their
// node, whose executor commits the result; the result, seen in the applied
// change, confirms the action or fails it. Cluster actions are fencing
// requests and status changes. A failed action, and every change of the CIB
// that the transition did not cause, aborts the transition: nothing more is
// started, what is under way is waited for, and a new plan is computed from
// what the CIB then says. When a transition has run to its end the plan is
// computed once more; if it is empty the cluster is idle.
//
// # After a change of leaders
//
// The status section alone carries what a leader must know. A new leader first
// asks the executor of every online node what it is doing, which also makes
// that node refuse what earlier leaders still may have sent ([operation.Token]).
// Actions that are still under way are waited for. A pending record that the
// executor knows nothing of stands for an action whose outcome nobody knows:
// the resource's history on that node is forgotten, so that it is probed. The
// same is done for actions that overrun timeout plus cluster-delay, whose
// dispatch failed, or whose executor was started anew; in the last case the
// whole history of the node is forgotten.
package controller
