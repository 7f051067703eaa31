package shell

import (
	"fmt"

	"gcrm/scheduler"
)

// simulateEvents are the options that ask what would be if something happened.
func simulateEvents() []simulateFlag {
	event := func(kind scheduler.EventKind) func(*simulateOptions, string) error {
		return func(o *simulateOptions, value string) error {
			o.run.Events = append(o.run.Events, scheduler.Event{Kind: kind, Target: value})
			return nil
		}
	}
	return []simulateFlag{
		{[]string{"-t", "--set-datetime"}, "TIME", "plan for another time, as 2026-11-21T06:00:00Z", setSimulateTime},
		{[]string{"-q", "--quorum"}, "BOOL", "what if there were quorum, or none", event(scheduler.QuorumSet)},
		{[]string{"-w", "--watchdog"}, "BOOL", "what if there were a watchdog, or none", event(scheduler.WatchdogSet)},
		{[]string{"-u", "--node-up"}, "NODE", "a node comes", event(scheduler.NodeUp)},
		{[]string{"-d", "--node-down"}, "NODE", "a node is shut down", event(scheduler.NodeDown)},
		{[]string{"-f", "--node-fail"}, "NODE", "a node is lost", event(scheduler.NodeFail)},
		{[]string{"-g", "--ticket-grant"}, "TICKET", "a ticket is granted", event(scheduler.TicketGrant)},
		{[]string{"-r", "--ticket-revoke"}, "TICKET", "a ticket is revoked", event(scheduler.TicketRevoke)},
		{[]string{"-b", "--ticket-standby"}, "TICKET", "a ticket goes to standby", event(scheduler.TicketStandby)},
		{[]string{"-e", "--ticket-activate"}, "TICKET", "a ticket is activated", event(scheduler.TicketActivate)},
		{[]string{"-i", "--op-inject"}, "OP", "an operation ended: RESOURCE_TASK_INTERVAL@NODE=RC, the interval in ms", event(scheduler.OperationDone)},
		{[]string{"-F", "--op-fail"}, "OP", "if -S carries out this operation, let it end so", failSimulated},
	}
}

func setSimulateTime(o *simulateOptions, value string) error {
	when, ok := scheduler.ParseTime(value)
	if !ok {
		return fmt.Errorf("%q is no date and time (as 2026-11-21 06:00:00)", value)
	}
	o.run.Now, o.run.NowText = when, value
	return nil
}

func failSimulated(o *simulateOptions, value string) error {
	f, err := scheduler.ParseOperationResult(value)
	if err != nil {
		return err
	}
	o.run.Fail = append(o.run.Fail, f)
	return nil
}
