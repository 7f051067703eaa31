package snmp

import "fmt"

// layout is where a kind of power switch keeps its outlets.
type layout struct {
	object   string // sysObjectID
	name     string
	status   string // %d stands for the outlet, of two the first for the switch
	control  string
	names    string // table of the outlets' names
	on, off  int    // values of control
	statusOn []int  // values of status
	switches bool   // outlets are SWITCH:OUTLET
}

// layouts are the kinds that are known; the last one holds for all others.
var layouts = [...]layout{
	{object: ".1.3.6.1.4.1.318.1.3.4.5", name: "APC rPDU", on: 1, off: 2, statusOn: []int{1},
		status: ".1.3.6.1.4.1.318.1.1.12.3.5.1.1.4.%d", control: ".1.3.6.1.4.1.318.1.1.12.3.3.1.1.4.%d", names: ".1.3.6.1.4.1.318.1.1.12.3.5.1.1.2"},
	{object: ".1.3.6.1.4.1.318.1.3.4.4", name: "APC MasterSwitch Plus", on: 1, off: 3, statusOn: []int{1}, switches: true,
		status: ".1.3.6.1.4.1.318.1.1.6.7.1.1.5.%d.1.%d", control: ".1.3.6.1.4.1.318.1.1.6.5.1.1.5.%d.1.%d", names: ".1.3.6.1.4.1.318.1.1.6.7.1.1.4"},
	{object: ".1.3.6.1.4.1.850.1.1.1", name: "Tripplite LX PDU", on: 2, off: 1, statusOn: []int{2},
		status: ".1.3.6.1.4.1.850.1.1.3.2.3.3.1.1.4.1.%d", control: ".1.3.6.1.4.1.850.1.1.3.2.3.3.1.1.6.1.%d", names: ".1.3.6.1.4.1.850.1.1.3.2.3.3.1.1.2.1"},
	{object: ".1.3.6.1.4.1.850.1", name: "Tripplite PDU", on: 2, off: 1, statusOn: []int{2},
		status: ".1.3.6.1.4.1.850.10.2.3.5.1.2.1.%d", control: ".1.3.6.1.4.1.850.10.2.3.5.1.4.1.%d", names: ".1.3.6.1.4.1.850.10.2.3.5.1.5"},
	{object: ".1.3.6.1.4.1.318.1.3.4.6", name: "APC MasterSwitch 6", on: 1, off: 2, statusOn: []int{1},
		status: ".1.3.6.1.4.1.318.1.1.4.4.2.1.3.%d", control: ".1.3.6.1.4.1.318.1.1.4.4.2.1.3.%d", names: ".1.3.6.1.4.1.318.1.1.4.4.2.1.4"},
	{name: "APC MasterSwitch", on: 1, off: 2, statusOn: []int{1},
		status: ".1.3.6.1.4.1.318.1.1.4.4.2.1.3.%d", control: ".1.3.6.1.4.1.318.1.1.12.3.3.1.1.4.%d", names: ".1.3.6.1.4.1.318.1.1.4.4.2.1.4"},
}

func layoutOf(object string) layout {
	for _, l := range layouts {
		if l.object == object {
			return l
		}
	}
	return layouts[len(layouts)-1]
}

// outlet is a number, with that of its switch where there are several.
type outlet struct{ bank, number int }

func (l layout) oid(format string, o outlet) string {
	if l.switches {
		return fmt.Sprintf(format, o.bank, o.number)
	}
	return fmt.Sprintf(format, o.number)
}
